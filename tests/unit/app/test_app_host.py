"""What protocols are given, and how its parts are wired."""

import io
import json
import signal

import pytest
from twisted.cred.credentials import Anonymous, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from twisted_xfer.app import load, logs
from twisted_xfer.app.accounts import Accounts, inline_accounts, make_checkers
from twisted_xfer.app.config import Log
from twisted_xfer.app.host import Host, SessionIds, base32
from twisted_xfer.app.signals import Reloads, Signals
from twisted_xfer.errors import ConfigError
from twisted_xfer.interfaces import READ_ONLY, Account, IHost, Timeouts

# --- host --------------------------------------------------------------------------------


def test_base32():
    """Digits that nobody misreads, padded on the left."""
    assert [base32(number, 2) for number in (0, 31, 32, 32**2)] == ["00", "0z", "10", "100"]


def test_session_ids_are_short_and_unique():
    """The same prefix for one process, and then a counter."""
    ids = SessionIds(lambda size: b"\xff" * size)
    made = [ids() for _ in range(1000)]
    assert made == [f"zzzz{base32(number, 3)}" for number in range(1, 1001)]
    assert SessionIds(lambda size: bytes(size))() == "0000001"


def test_host_is_one():
    """The host has everything that protocols are promised."""
    host = Host(None, None, None, None, None, None, Timeouts(), "name", time=lambda: 7.0)
    host.login = None
    assert verifyObject(IHost, host)
    assert host.wall_time() == 7.0
    assert host.new_session_id() != host.new_session_id()


# --- accounts ----------------------------------------------------------------------------


def answer(checker, credentials):
    """What ``checker`` says at once."""
    results = []
    reply = checker.requestAvatarId(credentials)
    if not isinstance(reply, Deferred):
        return reply
    reply.addBoth(results.append)
    return results[0]


def test_memory_checker_takes_bytes():
    """strcred's memory checker works with credentials as they come off a wire."""
    (checker,) = make_checkers(load.parse({"auth": ["memory:alice:secret"]}))
    assert answer(checker, UsernamePassword(b"alice", b"secret")) == b"alice"
    assert isinstance(answer(checker, UsernamePassword(b"alice", b"wrong")), Failure)


def test_checkers_in_order_and_anonymous_last(tmp_path):
    """The order of the configuration is the order of the chain."""
    users = tmp_path / "users"
    users.write_text("")
    table = {"auth": [f"users:{users}", "memory:a:b"], "anonymous": "."}
    names = [type(checker).__name__ for checker in make_checkers(load.parse(table))]
    assert names == ["UsersFile", "InMemoryUsernamePasswordDatabaseDontUse", "AllowAnonymousAccess"]


def test_daemon_without_checkers_knows_nobody():
    """A login is refused, and is no error."""
    (checker,) = make_checkers(load.parse({}))
    with pytest.raises(UnauthorizedLogin):
        checker.requestAvatarId(UsernamePassword(b"a", b"b"))
    (checker,) = make_checkers(load.parse({"anonymous": "pub"}))
    assert answer(checker, Anonymous()) == ()


@pytest.mark.parametrize(
    ("auth", "text"),
    [
        ("nosuch:secretcanary", "no such type; there are"),
        ("memory:secretcanary", "write memory:ARGUMENT with A colon-separated list"),
        ("users:/nowhere", "/nowhere"),
        ("users", "give a path"),
    ],
)
def test_wrong_checkers(auth, text):
    """The type and the remedy are told, the argument of a stranger is not."""
    with pytest.raises(ConfigError) as caught:
        make_checkers(load.parse({"auth": [auth]}))
    assert text in caught.value.remedy
    assert "canary" not in str(caught.value) + repr(caught.value.value)


def test_inline_accounts():
    """A section is an Account, with rights by name and by path."""
    table = {
        "home": "/srv/a",
        "rights": "read-only",
        "paths": {"/in": ["write", "list"]},
        "charset": "gbk",
        "max_sessions": 2,
        "groups": ["g"],
    }
    account = inline_accounts(load.parse({"accounts": {"alice": table}}))["alice"]
    assert (account.username, account.home, account.rights) == ("alice", "/srv/a", READ_ONLY)
    assert [(pattern, sorted(rights)) for pattern, rights in account.path_rights] == [
        ("/in", ["list", "write"])
    ]
    assert (account.charset, account.max_sessions, account.groups) == ("gbk", 2, ("g",))


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({"hom": "/"}, "accounts.alice.hom"),
        ({"rights": "everything"}, "accounts.alice.rights"),
        ({"paths": {"/x": ["fly"]}}, "accounts.alice.paths./x"),
        ({"max_sessions": "2"}, "accounts.alice.max_sessions"),
    ],
)
def test_wrong_inline_account(table, key):
    """The key is told in full."""
    with pytest.raises(ConfigError) as caught:
        inline_accounts(load.parse({"accounts": {"alice": table}}))
    assert caught.value.key == key


def test_lookup_order():
    """The configuration's own settings come before a users file's; nobody has none."""

    class Users:
        def account(self, username):
            return Account(username, comment="file") if username in {"a", "b"} else None

    accounts = Accounts({"a": Account("a", comment="inline")}, [Users()])
    assert accounts.account("a").comment == "inline"
    assert accounts.account("b").comment == "file"
    assert accounts.account("c") is None


# --- signals -----------------------------------------------------------------------------


class Lines:
    def __init__(self):
        self.lines = []

    def __getattr__(self, level):
        return lambda text="", **fields: self.lines.append(text.format(**fields))


def test_reloads_go_on_after_a_failure():
    """Each is called in order, the failure of one is a line in the log."""
    log, calls = Lines(), []
    reloads = Reloads(log)
    reloads.add("one", lambda: calls.append(1))
    reloads.add("two", lambda: fail(ConfigError("users", remedy="mend it")))
    reloads.add("three", lambda: calls.append(3))
    reloads.add("zero", lambda: calls.append(0), first=True)
    assert reloads.reload().called
    assert calls == [0, 1, 3]
    assert log.lines == [
        "xfer: reloading",
        "xfer: reloaded zero",
        "xfer: reloaded one",
        "xfer: two not reloaded: users: mend it",
        "xfer: reloaded three",
    ]


def test_signals_are_taken_and_given_back():
    """The handler only asks the reactor to act; names that do not exist are left out."""
    before = signal.getsignal(signal.SIGHUP)
    queue, calls = [], []
    signals = Signals(queue.append, {"SIGHUP": lambda: calls.append("hup"), "SIGNOSUCH": print})
    signals.install()
    signals.install()
    try:
        signal.raise_signal(signal.SIGHUP)
        assert (len(queue), calls) == (1, [])
        queue[0]()
        assert calls == ["hup"]
    finally:
        signals.uninstall()
        signals.uninstall()
    assert signal.getsignal(signal.SIGHUP) == before


# --- logs --------------------------------------------------------------------------------


def log_into(log, say):
    """What an observer for ``log`` writes when ``say(logger)`` is called."""
    stream = io.StringIO()
    say(Logger(namespace="ns", observer=logs.LineObserver(log, stream)))
    return stream.getvalue()


def test_text_lines():
    """Time, namespace, level and text, as twistd writes them."""
    assert log_into(Log(), lambda log: log.info("hello {name}", name="x")).endswith(" [ns#info] hello x\n")


def test_json_lines():
    """One object a line, whatever the text holds."""
    line = log_into(Log("json"), lambda log: log.info("a\n{what}", what="\x1b[2J\u2028"))
    assert line.count("\n") == 1
    assert line.isascii()
    entry = json.loads(line)
    assert (entry["level"], entry["namespace"], entry["message"]) == ("info", "ns", "a\n\x1b[2J\u2028")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("FTPFactory starting on 2121", False),
        ("_Factory (TLS) starting on '/run/x'", False),
        ("(TCP Port 2121 Closed)", False),
        ("(UDP Port 2121 Closed)", False),
        ("the port starting on Monday", True),
        ("a plugin: (TCP Port 2121 Closed)", True),
    ],
)
def test_what_twisted_says_of_its_ports_is_left_out(text, kept):
    """The daemon says itself where it listens and that it has stopped."""
    stream = io.StringIO()
    legacy = {"log_format": "{log_text}", "log_text": text, "log_namespace": "log_legacy", "log_time": 0.0}
    logs.LineObserver(Log(), stream)({**legacy, "log_system": "-", "log_level": LogLevel.info})
    assert bool(stream.getvalue()) is kept
    assert log_into(Log(), lambda log: log.info(text)), "from others it stays"


def test_text_lines_carry_no_escape_sequences():
    """What a peer sent cannot move the cursor of whoever reads the log."""
    text = log_into(Log(), lambda log: log.info("{what!s}", what="\x1b[2J\x9b\r"))
    assert text.endswith("\\x1b[2J\\x9b\\x0d\n")


@pytest.mark.parametrize(("size", "cut"), [(logs.MAX_LINE, False), (logs.MAX_LINE + 1, True)])
def test_length_of_a_message(size, cut):
    """A message is cut behind the limit."""
    message = json.loads(log_into(Log("json"), lambda log: log.info("{what}", what="x" * size)))["message"]
    assert message.endswith("...") is cut


def test_failures_have_their_traceback():
    """A bug is logged whole."""

    def say(log):
        try:
            raise ValueError("boom")
        except ValueError:
            log.failure("oh")

    assert "ValueError: boom" in log_into(Log("json"), say)
    assert "ValueError: boom" in log_into(Log(), say)


def test_broken_stream_loses_the_line_only():
    """A full disk or a closed pipe is no reason to fall over."""

    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    Logger(observer=logs.LineObserver(Log(), Full())).info("x")


def test_reopen(tmp_path):
    """After a rotation lines go to the new file; if it cannot be opened, to the old one."""
    path = tmp_path / "x.log"
    observer = logs.LineObserver(Log(file=str(path)), None)
    logger = Logger(observer=observer)
    try:
        logger.info("one")
        path.rename(tmp_path / "old.log")
        observer.reopen()
        logger.info("two")
        assert "one" in (tmp_path / "old.log").read_text()
        assert "two" in path.read_text()
        path.rename(tmp_path / "older.log")
        path.mkdir()
        with pytest.raises(ConfigError):
            observer.reopen()
        logger.info("three")
        assert "three" in (tmp_path / "older.log").read_text()
    finally:
        observer._stream.close()


def test_levels_have_names():
    """Every level of twisted.logger arrives by its own name."""
    for level in LogLevel.iterconstants():
        line = log_into(Log("json"), lambda log, level=level: log.emit(level, "x"))
        assert json.loads(line)["level"] == level.name
