"""The command line's own parts: URLs, known keys, what is shown, exit codes."""

import json
import os
import stat

import click
import pytest
from click.testing import CliRunner
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from twisted_xfer import errors
from twisted_xfer.cli import trust
from twisted_xfer.cli.calling import code_of, summary_code
from twisted_xfer.cli.choices import NAMES, Choices, choice_options, tree_options
from twisted_xfer.cli.commands import COMMANDS, xfer
from twisted_xfer.cli.exits import Exit
from twisted_xfer.cli.progress import Progress, size_text
from twisted_xfer.cli.rate import rate
from twisted_xfer.cli.rate_limit import RateLimit
from twisted_xfer.cli.url import parse_target
from twisted_xfer.cli.words import error_text
from twisted_xfer.interfaces import ILimiter
from twisted_xfer.protocols.xfer.attempts import Work
from twisted_xfer.protocols.xfer.caller import CannotConnect, Login, LoginImpossible, Target, UntrustedKey
from twisted_xfer.protocols.xfer.errormap import PeerError
from twisted_xfer.protocols.xfer.report import Summary, TransferEvent

PIN = "ab" * 32


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("host", Target("host")),
        ("xfer://host", Target("host", 5001)),
        ("me@host:7/a/b/", Target("host", 7, b"a/b", "me")),
        ("xfer://[::1]:7/", Target("::1", 7)),
        (f"xfer://host/#sha256={PIN.upper()}", Target("host", pin=PIN)),
        ("xfer://m%40e@host/a%20b/%FF", Target("host", 5001, b"a b/\xff", "m@e")),
        ("host/\udcff/%E4", Target("host", 5001, b"\xff/\xe4")),
    ],
)
def test_urls(url, target):
    """As people write them."""
    assert parse_target(url) == target


@pytest.mark.parametrize(
    "url",
    [
        "ftp://host/", "xfer://", "xfer://host:x/", "xfer://host:70000/", "xfer://u:p@host/", "xfer://host/?q",
        "xfer://host/#sha256=ab", "xfer://host/#md5=ab", "xfer://host/../x", "xfer://host/a//b", "xfer://host/%0a",
        "xfer://host/a\tb", "xfer://host/a\nb", "xfer://host/a\x7f",
    ],
)  # fmt: skip
def test_urls_that_are_none(url):
    """Each is a usage error, not a surprise later."""
    with pytest.raises(click.UsageError):
        parse_target(url)


def test_known_keys(tmp_path):
    """Unknown, then known, then another one is not it; the last word counts."""
    known = trust.KnownKeys(tmp_path / "new/known")
    assert known.get("h:1") is None
    known.add("h:1", "aa")
    assert known.trusts("h:1", "aa")
    assert not known.trusts("h:1", "bb")
    assert not known.trusts("h:2", "aa")
    known.add("h:1", "bb")
    assert known.trusts("h:1", "bb")


def test_known_keys_in_a_file_that_is_no_text(tmp_path):
    """What somebody has spoilt is skipped, and what follows counts."""
    known = trust.KnownKeys(tmp_path / "known")
    known.path.write_bytes(b"\xff\xfe h:1 \n")
    assert known.get("h:1") is None
    known.add("h:1", "aa")
    assert known.trusts("h:1", "aa")


def test_what_we_keep_cannot_be_kept(tmp_path, monkeypatch):
    """Where a file stands in the place of our directory, the error has the path and the system's word."""
    (tmp_path / "c").write_text("")
    monkeypatch.setenv("XFER_CONFIG_DIR", str(tmp_path / "c"))
    known = trust.KnownKeys()
    for use in (lambda: known.get("h:1"), lambda: known.add("h:1", "aa"), trust.own_certificate):
        with pytest.raises(errors.StorageFailure) as caught:
            use()
        assert str(tmp_path / "c") in caught.value.subject
        assert caught.value.detail in {"Not a directory", "File exists"}
        assert code_of(caught.value) is Exit.STORAGE


def test_our_own_certificate(tmp_path, monkeypatch, capsys):
    """Made once, for nobody else to read, and known by its key."""
    monkeypatch.setenv("XFER_CONFIG_DIR", str(tmp_path / "c"))
    path = trust.own_certificate()
    before = trust.certificate_pin(path)
    assert trust.own_certificate() == path
    assert trust.certificate_pin(path) == before
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert capsys.readouterr().err.count("made a key") == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CannotConnect(), Exit.NO_CONNECTION),
        (UntrustedKey(), Exit.AUTHENTICATION),
        (LoginImpossible(), Exit.AUTHENTICATION),
        (errors.LoginFailed(), Exit.AUTHENTICATION),
        (PeerError(200, "login_failed"), Exit.AUTHENTICATION),
        (PeerError(300, "exists"), Exit.REFUSED),
        (PeerError(401, "no_space"), Exit.STORAGE),
        (PeerError(500, "digest_mismatch"), Exit.INTEGRITY),
        (PeerError(600, "busy"), Exit.RESUMABLE),
        (errors.ConnectionLost(), Exit.RESUMABLE),
        (errors.DigestMismatch(), Exit.INTEGRITY),
        (errors.NoSpace(), Exit.STORAGE),
        (errors.RemoteProtocolError(), Exit.OTHER),
        (ValueError(), Exit.OTHER),
    ],
)
def test_exit_codes(error, code):
    """By the kind of error, as the protocol text has them."""
    assert code_of(error) is code
    assert summary_code(Summary(failed=1, failures=[(b"a", error)])) is code
    assert summary_code(Summary(files=1, failed=1, failures=[(b"a", error)])) is Exit.SOME_FAILED
    assert summary_code(Summary(files=1)) is Exit.VERIFIED


def events():
    return [
        TransferEvent("started", b"a\x1b", size=10, resumed=4),
        TransferEvent("progress", b"a\x1b", size=10, position=10),
        TransferEvent(
            "done", b"a\x1b", size=10, position=10, resumed=4, digest=b"\xaa", hash="md5", stored_as=b"/a\x1b"
        ),
        TransferEvent("failed", b"b", error=PeerError(300, "exists")),
        TransferEvent("reconnecting", error=errors.ConnectionLost(), seconds=2.0),
    ]


def test_plain_lines(capsys):
    """Paths on standard output, the rest on standard error, nothing that a terminal obeys."""
    progress, summary = Progress(bar=False), Summary()
    for event in events():
        progress(event)
        summary.note(event)
    progress.summary(summary)
    out, err = capsys.readouterr()
    assert out == "/a\\x1b\n"
    assert err.splitlines() == [
        "xfer: b: is there already (exists)",
        "xfer: the connection broke (connection_lost); trying again in 2 s",
        "1 file, 10 B (6 B moved), 1 failed, verified md5:aa",
    ]


def test_an_end_of_our_own_is_no_news(capsys):
    """Who was interrupted is not told that the connection broke, nor that it is tried again."""
    progress = Progress(bar=False)
    progress.interrupted()
    progress(TransferEvent("reconnecting", error=errors.ConnectionLost(), seconds=2.0))
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (PeerError(401, "no_space"), "no space left there (no_space)"),
        (errors.NoSpace(), "no space left here (no_space)"),
        (errors.StorageFailure(None, "Bad"), "cannot be read or written here (io: Bad)"),
        (errors.ReadOnly(), "can only be read here (read_only)"),
        (PeerError(300, "exists", "by \x1b[31m"), "is there already (exists: by ?[31m)"),
        (PeerError(399, "of_tomorrow", "what?"), "of_tomorrow: what?"),
        (
            errors.RemoteProtocolError(detail="out of order"),
            "the other end does not keep to the protocol (remote_protocol: out of order)",
        ),
        (ValueError("secret"), "unknown error"),
    ],
)
def test_errors_for_people(error, text):
    """A sentence with the name behind it; what has none keeps its name, and nothing strange is shown."""
    assert error_text(error) == text


def test_every_code_of_the_wire_has_a_sentence_or_its_own():
    """Whatever a peer may report is told in words; the login's own sentences are elsewhere."""
    from twisted_xfer.protocols.xfer.wire.codes import CODES

    bare = {name for name in CODES if error_text(PeerError(CODES[name], name)) == name}
    assert bare == {"protocol", "unsupported", "login_failed", "channel_binding", "refused"}


def test_the_bar_knows_the_whole():
    """What the source says is to come; what is skipped, and what was there already, is not waited for."""
    progress = Progress(bar=True)
    progress.expect(1000)
    progress(TransferEvent("started", b"a", size=600, resumed=100))
    progress(TransferEvent("progress", b"a", size=600, position=300))
    progress(TransferEvent("skipped", b"b", size=300))
    assert (progress._bar.n, progress._bar.total) == (200, 600)
    progress(TransferEvent("done", b"a", size=600, position=600, resumed=100))
    progress(TransferEvent("done", b"c", size=100, position=100))
    assert (progress._bar.n, progress._bar.total) == (600, 600)
    progress.close()


def test_json_lines(capsys):
    """Every line is an object; the last is the summary."""
    progress, summary = Progress(as_json=True), Summary()
    for event in events():
        progress(event)
        summary.note(event)
    progress.summary(summary)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == [*(event.kind for event in events()), "summary"]
    assert lines[2]["digest"] == "md5:aa"
    assert (lines[-1]["files"], lines[-1]["failed"]) == (1, 1)


def test_a_bar(capsys):
    """It goes to standard error and is gone at the end."""
    progress = Progress(bar=True)
    for event in events():
        progress(event)
    progress.close()
    out, err = capsys.readouterr()
    assert out == "/a\\x1b\n"
    assert "exists" in err


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (2_500_000, "2.5 MB"), (3 * 10**12, "3.0 TB")],
)
def test_sizes_for_people(size, text):
    """Decimal units."""
    assert size_text(size) == text


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    """It fails when its turn comes, and keeps nothing else from being sent: a wrong URL is the first that is wrong."""
    (tmp_path / "file").touch()
    monkeypatch.setattr(os, "access", lambda *_: False)
    done = CliRunner().invoke(xfer, ["send", str(tmp_path / "file"), "smb://host/"])
    assert "not a scheme" in done.stderr


@pytest.mark.parametrize("name", ["send", "receive", "get", "ls", "rm"])
def test_commands_are_registered(name):
    """Each is in the list, and its module has it."""
    import importlib

    module = importlib.import_module(f"twisted_xfer.cli.{COMMANDS[name][0]}")
    assert module.command.name == name


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("500k", 500_000), ("2M", 2_000_000), ("1g", 10**9)])
def test_rates(text, value):
    """Bytes a second, with a letter for thousands."""
    assert rate(text) == value


@pytest.mark.parametrize("text", ["", "0", "k", "1.5M", "-1", "2T", "1" * 13])
def test_rates_that_are_none(text):
    """Anything else is a usage error."""
    with pytest.raises(click.BadParameter):
        rate(text)


def test_a_rate_holds():
    """A second's worth at once, then what time brings, never more saved up than that."""
    clock = Clock()
    limit = RateLimit(1000, clock.seconds)
    assert [limit.take(1500), limit.take(1)] == [1000, 0]
    assert limit.delay() == 0.05
    clock.advance(0.1)
    assert limit.take(500) == 100
    clock.advance(60)
    assert limit.take(5000) == 1000
    limit.give_back(10)
    assert limit.take(5000) == 10
    assert verifyObject(ILimiter, limit)


def chosen(arguments):
    """Work and login as the options make them."""
    made = []

    @click.command()
    @choice_options
    @tree_options
    def command():
        choices = Choices.made()
        made.append((choices.work(Work(retries=3)), choices.login(Login(username="me"))))

    command.main(arguments, standalone_mode=False)
    return made[0]


def test_choices():
    """What is not given is the library's default; digest goes to the handshake, the rest to the work."""
    assert chosen([]) == (Work(retries=3), Login(username="me"))
    work, login = chosen(
        [
            "--exclude",
            "*.o",
            "--exclude",
            "b/",
            "--include",
            "c",
            "--gitignore",
            "-n",
            "--links",
            "follow",
            "--digest",
            "md5",
        ]
    )
    assert (work.exclude, work.include, work.retries) == ((b"*.o", b"b/"), (b"c",), 3)
    assert (work.gitignore, work.dry_run, work.links) == (True, True, "follow")
    assert login.hashes == ("md5",)
    assert chosen(["--compress", "on"])[1].compress == "on"
    with pytest.raises(click.BadParameter):
        chosen(["--digest", "crc32"])
    assert {"exclude", "dry_run", "digest"} <= set(NAMES)


def test_what_a_dry_run_shows(capsys):
    """Answers on standard output, the sum and what is refused beside it."""
    progress = Progress(dry_run=True, bar=False)
    progress(TransferEvent("would", b"d", type="dir", why="store"))
    progress(TransferEvent("would", b"f", size=7, why="replace"))
    progress(TransferEvent("skipped", b"\x1b", why="same"))
    progress.summary(Summary(would=2, moved=7, skipped=1, failed=3))
    out, err = capsys.readouterr()
    assert out == "store d/\nreplace f\nskip \\x1b (same)\n"
    assert err == "would store or replace 2, 7 B, skip 1, refused 3; nothing was written\n"


@pytest.mark.parametrize("more", [{"files": 1}, {"links": 1}, {"skipped": 1}, {"would": 1}, {}])
def test_some_failed_only_where_others_did_not(more):
    """One kind of failure and nothing else has a code of its own."""
    summary = Summary(failed=1, failures=[(b"f", PeerError(303, "forbidden_path"))], **more)
    assert summary_code(summary) is (Exit.SOME_FAILED if more else Exit.REFUSED)
