"""What commands import, and what becomes of the garbage collector meanwhile."""

import gc
import socket
import subprocess
import sys

import pytest

from twisted_xfer.cli import lean

SECONDS = 60
SCRIPT = """
import sys
from twisted_xfer.cli.main import main
try:
    main({arguments!r})
except SystemExit:
    pass
print(*sys.modules)
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
}
NOT_TO_SEND = {
    "tqdm",
    "platformdirs",
    "twisted_xfer.cli.tutorial_files",
    "twisted_xfer.app",
    "twisted_xfer.protocols.xfer.receiving",
}


@pytest.mark.parametrize("plain", [True, False])
def test_in_clear_nothing_of_tls_is_loaded(tmp_path, plain, monkeypatch):
    """``--plain`` is for a trusted network and many short calls: those do not pay for TLS."""
    monkeypatch.setenv("XFER_PASSWORD", "s3cret")
    (tmp_path / "file").write_bytes(b"content")
    # Nobody listens there, and nobody else can.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"xfer://alice@127.0.0.1:{taken.getsockname()[1]}"
        modules = loaded("send", str(tmp_path / "file"), url, *["--plain"] * plain)
    assert "twisted_xfer.protocols.xfer.sending" in modules
    assert not modules & NOT_TO_SEND
    assert ("OpenSSL" in modules) is not plain
    if plain:
        assert not modules & NOT_IN_CLEAR


def test_what_was_left_out_can_still_be_imported():
    """Only while the command's modules are imported there is no OpenSSL; what is lazy is whole when it is used."""
    script = (
        "import sys\nfrom twisted_xfer.cli import lean\n"
        "with lean.process(), lean.imports(tls=False):\n    import twisted.internet.endpoints\n"
        "import OpenSSL.SSL\nimport twisted.internet.ssl\nfrom twisted.python.compat import cookielib\n"
        "before = 'urllib.request' in sys.modules\n"
        "print(before, cookielib.CookieJar.__module__, 'urllib.request' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=SECONDS, check=True
    )
    assert done.stdout == "False http.cookiejar True\n"


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
