"""What commands import, and what becomes of the garbage collector meanwhile."""

import gc
import importlib
import socket
import subprocess
import sys

import pytest

from twisted_xfer.cli import lean

SECONDS = 60
#: What a process has loaded before it comes to us, as for the measurement of coverage, is not ours to leave out.
SCRIPT = """
import sys
before = set(sys.modules)
from twisted_xfer.cli.main import main
try:
    main({arguments!r})
except SystemExit:
    pass
print(*set(sys.modules) - before)
"""


def loaded(*arguments: str) -> set[str]:
    """Modules that are there when the command is over."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(arguments=list(arguments))],
        capture_output=True, text=True, timeout=SECONDS, check=True,
    )  # fmt: skip
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("name", ["send", "get", "ls", "rm"])
def test_the_options_of_a_command_cost_no_twisted(name):
    """Help, completion and a mistake in the options need nothing that moves bytes."""
    modules = loaded(name, "--help")
    assert f"twisted_xfer.cli.cmd_{name}" in modules
    assert not modules & {"twisted", "OpenSSL", "zope.interface", "twisted_xfer.cli.tutorial_files", "tqdm"}


#: What nobody needs who sends in clear: some of it, for each reason that something was left out.
NOT_IN_CLEAR = {
    "OpenSSL",
    "cryptography",
    "service_identity",
    "twisted.internet.ssl",
    "urllib.request",
    "email.parser",
    "asyncio",
    "ssl",
    "pickle",
    "html",
    "ctypes",
    "logging",
    "random",
    "pathlib",
    "twisted.internet.udp",
    "twisted.internet.unix",
    "backports.zstd",
    "compression.zstd",
    "twisted.internet.endpoints",
    "twisted.plugin",
    "twisted.cred",
    "netrc",
    "click.shell_completion",
    "twisted_xfer.interfaces._plugin",
    "twisted_xfer.interfaces._host",
}
NOT_TO_SEND = {
    "tqdm",
    "platformdirs",
    "twisted_xfer.cli.tutorial_files",
    "twisted_xfer.app",
    "twisted_xfer.protocols.xfer.receiving",
}


#: What looks up a name takes what looks for plugins.
FOR_A_NAME = {"twisted.internet.endpoints", "twisted.plugin", "pickle", "pathlib"}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("plain", [True, False])
def test_in_clear_nothing_of_tls_is_loaded(tmp_path, plain, host, monkeypatch):
    """``--plain`` is for a trusted network and many short calls: those do not pay for TLS."""
    monkeypatch.setenv("XFER_PASSWORD", "s3cret")
    (tmp_path / "file").write_bytes(b"content")
    # Nobody listens there, and nobody else can.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"xfer://alice@{host}:{taken.getsockname()[1]}"
        modules = loaded("send", str(tmp_path / "file"), url, *["--plain"] * plain)
    assert "twisted_xfer.protocols.xfer.sending" in modules
    assert not modules & NOT_TO_SEND
    assert ("OpenSSL" in modules) is not plain
    assert ("twisted.internet.endpoints" in modules) is (host == "localhost")
    if plain:
        assert not modules & (NOT_IN_CLEAR - FOR_A_NAME if host == "localhost" else NOT_IN_CLEAR)


def test_what_was_left_out_can_still_be_imported():
    """Only while the command's modules are imported there is no OpenSSL; what is lazy is whole when it is used."""
    script = (
        "import sys\nfrom twisted_xfer.cli import lean\n"
        "with lean.process(), lean.twisted(tls=False):\n    import twisted.internet.endpoints\n"
        "import OpenSSL.SSL\nimport twisted.internet.ssl\nfrom twisted.python.compat import cookielib\n"
        "before = 'urllib.request' in sys.modules\n"
        "print(before, cookielib.CookieJar.__module__, 'urllib.request' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=SECONDS, check=True
    )
    assert done.stdout == "False http.cookiejar True\n"


STANDS_IN = """
import sys
before = set(sys.modules)
from twisted_xfer.cli import lean
with lean.process(), lean.imports():
    lean.attrs()
with lean.process(), lean.twisted(tls=False):
    import twisted.internet.defer
print({absent!r} & set(sys.modules) - before)
"""


def whole(script: str) -> list[str]:
    """What a process prints, a line each, that has imported Twisted as a command does."""
    absent = {name for names in (*lean.WITHOUT.values(), lean.VALIDATORS) for name in names}
    done = subprocess.run(
        [sys.executable, "-c", STANDS_IN.format(absent=absent) + script],
        capture_output=True, text=True, timeout=SECONDS, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


def test_whoever_wants_what_was_stood_in_for_gets_it():
    """The stand-ins are gone with the import that they were for: each is the real one."""
    lines = whole(
        "import asyncio, asyncio.events, ctypes, html, pickle\n"
        "async def three():\n    await asyncio.sleep(0)\n    return 3\n"
        "print(asyncio.run(three()), issubclass(asyncio.Future, object), asyncio.AbstractEventLoop.__module__)\n"
        "print(ctypes.sizeof(ctypes.c_char), html.unescape('&lt;'), pickle.loads(pickle.dumps([1])))\n"
    )
    assert lines == ["set()", "3 True asyncio.events", "1 < [1]"]


def test_a_deferred_and_asyncio_still_know_each_other():
    """Whoever runs a loop of asyncio's later in the process has Deferreds that are futures, both ways."""
    lines = whole(
        "import asyncio\n"
        "from twisted.internet.defer import Deferred, succeed\n"
        "async def both():\n"
        "    loop = asyncio.get_running_loop()\n"
        "    print(await succeed(1).asFuture(loop))\n"
        "    future = loop.create_future()\n"
        "    got = []\n"
        "    Deferred.fromFuture(future).addCallback(got.append)\n"
        "    future.set_result(2)\n"
        "    await asyncio.sleep(0)\n"
        "    print(got)\n"
        "asyncio.run(both())\n"
    )
    assert lines == ["set()", "1", "[2]"]


def test_coroutines_are_still_told_from_other_things():
    """Native ones, those of a class, and generators, as by asyncio's own question."""
    lines = whole(
        "import collections.abc\n"
        "from twisted.internet.defer import Deferred, NotACoroutineError\n"
        "async def one():\n    return 1\n"
        "def two():\n    return 2\n    yield\n"
        "class Three(collections.abc.Coroutine):\n"
        "    def send(self, value):\n        raise StopIteration(3)\n"
        "    def throw(self, *args):\n        raise StopIteration(3)\n"
        "    def close(self):\n        pass\n"
        "    def __await__(self):\n        return self\n"
        "for thing in one(), two(), Three():\n    Deferred.fromCoroutine(thing).addCallback(print)\n"
        "try:\n    Deferred.fromCoroutine(4)\nexcept NotACoroutineError:\n    print('none')\n"
    )
    assert lines == ["set()", "1", "2", "3", "none"]


def test_the_functions_that_stand_in_do_what_they_stand_for():
    """Twisted may call them whenever it likes."""
    lines = whole(
        "from twisted.python import compat, reflect, win32\n"
        "import os\n"
        "print(compat.escape('<\"'), compat.escape('<\"', quote=False), reflect.fullFuncName(reflect.namedAny))\n"
        "print(win32.formatError(2) == os.strerror(2))\n"
    )
    assert lines == ["set()", '&lt;&quot; &lt;" twisted.python.reflect.namedAny', "True"]


def test_validators_are_those_of_attrs():
    """Twisted's addresses refuse what they always did, and whoever wants another validator has it."""
    lines = whole(
        "from twisted.internet.address import IPv4Address\n"
        "print(IPv4Address('TCP', '127.0.0.1', 1).port)\n"
        "try:\n    IPv4Address('SCTP', '127.0.0.1', 1)\nexcept ValueError as error:\n    print(error.args[0])\n"
        "import attr, attrs\n"
        "print(attrs.validators.ge(1).bound, attr.validators.ge(1).bound)\n"
        "from attrs.validators import lt\n"
        "print(lt is attr.validators.lt, attr.validators is sys.modules['attr.validators'])\n"
    )
    assert lines == [
        "set()", "1", "'type' must be in ['TCP', 'UDP'] (got 'SCTP')", "1 1", "True True",
    ]  # fmt: skip


def test_variables_of_types_are_there():
    """Twisted's have the names that they had; whoever wants a default of his own has one."""
    lines = whole(
        "from twisted.internet import defer, process, protocol\n"
        "import typing_extensions\n"
        "print(protocol.P.__name__, protocol.R.__name__, defer._P.__name__, process.Process.__name__)\n"
        "print(typing_extensions.TypeVar('T', default=int).__default__)\n"
    )
    assert lines == ["set()", "P R _P Process", "<class 'int'>"]


def test_levels_of_logging_are_those_of_logging():
    """Events of Twisted's still go to the standard library's log, each at its level."""
    lines = whole(
        "import logging\n"
        "from twisted.logger import STDLibLogObserver, LogLevel, Logger\n"
        "from twisted.logger._stdlib import fromStdlibLogLevelMapping as levels\n"
        "logging.basicConfig(format='%(levelname)s %(message)s', level=0, stream=sys.stdout)\n"
        "log = Logger(observer=STDLibLogObserver())\n"
        "for level in LogLevel.iterconstants():\n    log.emit(level, 'said')\n"
        "print(all(levels[logging.getLevelName(number)] is level for number, level in levels.items()\n"
        "    if isinstance(number, int)), len(levels))\n"
    )
    assert lines == [
        "set()",
        *(f"{name} said" for name in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")),
        "True 10",
    ]


def test_a_reactor_still_has_all_its_ports(tmp_path):
    """UDP and UNIX sockets, and chance: whoever asks for one of them gets it."""
    lines = whole(
        "from twisted.internet import reactor\n"
        "from twisted.internet.protocol import DatagramProtocol, Factory, ReconnectingClientFactory\n"
        f"unix = reactor.listenUNIX({str(tmp_path / 'socket')!r}, Factory())\n"
        "udp = reactor.listenUDP(0, DatagramProtocol(), interface='127.0.0.1')\n"
        "print(type(unix).__module__, type(udp).__module__)\n"
        "udp.stopListening()\nunix.stopListening()\n"
        "class Connector:\n    def connect(self):\n        pass\n"
        "again = ReconnectingClientFactory()\nagain.retry(Connector())\n"
        "print(again.delay > 0)\n"
    )
    assert lines == ["set()", "twisted.internet.unix twisted.internet.udp", "True"]


def test_what_is_there_already_stays():
    """A module that somebody has imported before is given to Twisted as it is."""
    script = (
        "import asyncio, sys\nfrom twisted_xfer.cli import lean\n"
        "with lean.process(), lean.twisted(tls=False):\n    from twisted.internet import defer\n"
        "print(sys.modules['asyncio'] is asyncio, defer.Future is asyncio.Future)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=SECONDS, check=True
    )
    assert done.stdout == "True True\n"


@pytest.mark.parametrize(
    ("name", "statement"),
    [
        ("colorsys", "from colorsys import rgb_to_hsv as found"),
        ("colorsys", "import colorsys; found = colorsys.ONE_SIXTH"),
        ("xml", "from xml.sax import handler as found"),
        ("xml", "import xml.sax as found"),
    ],
)
def test_a_twisted_that_takes_more_gets_all_of_it(tmp_path, monkeypatch, name, statement):
    """A name that the stand-in does not have, or a module below it, is no reason to fail: there is the real one."""
    (tmp_path / "takes_more.py").write_text(statement)
    monkeypatch.syspath_prepend(tmp_path)
    for one in (name, "xml.sax", "takes_more"):
        monkeypatch.delitem(sys.modules, one, raising=False)
    monkeypatch.setattr(lean, "WITHOUT", {"takes_more": {name: {"other": None}}})
    monkeypatch.setattr(gc, "freeze", lambda: None)
    with lean.process(), lean.twisted(tls=True):
        takes_more = importlib.import_module("takes_more")
    assert takes_more.found
    assert sys.modules[name].__file__


def test_in_a_process_of_somebody_else_nothing_stands_in(monkeypatch):
    """A program that calls the command's own functions may be about to use asyncio."""
    monkeypatch.setattr(lean, "_load_without", lambda *_: pytest.fail("stands in"))
    with lean.twisted(tls=False):
        assert sys.modules.get("OpenSSL", "") is not None


def test_garbage_is_not_looked_for_while_modules_are_imported(monkeypatch):
    """In the command's own process: what came is kept from the collector, and that goes on."""
    frozen = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(gc.isenabled()))
    with lean.process():
        with lean.imports():
            assert not gc.isenabled()
            with lean.imports():
                assert not gc.isenabled()
            assert not gc.isenabled()
        assert gc.isenabled()
        assert frozen == [False]
    assert frozen == [False, True]


def test_an_import_that_fails_leaves_the_collector_on(monkeypatch):
    """It is back whatever happened."""
    monkeypatch.setattr(gc, "freeze", lambda: None)
    with lean.process(), pytest.raises(ImportError), lean.imports():
        raise ImportError
    assert gc.isenabled()


def test_in_a_process_of_somebody_else_nothing_changes(monkeypatch):
    """A program that calls the command's own functions keeps its collector as it is."""
    monkeypatch.setattr(gc, "freeze", lambda: pytest.fail("frozen"))
    with lean.imports():
        assert gc.isenabled()
