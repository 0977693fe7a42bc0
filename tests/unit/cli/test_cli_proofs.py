"""Tokens and verifiers on the command line: made, shown once, and given in safe ways."""

import io
import json

import click
import pytest
from click.testing import CliRunner

from twisted_xfer.accounts.users_text import parse_users
from twisted_xfer.cli import calling
from twisted_xfer.cli.asked import Asked, login_options
from twisted_xfer.cli.commands import xfer
from twisted_xfer.cli.exits import Exit
from twisted_xfer.cli.passwords import MAX_PASSWORD, password_of
from twisted_xfer.cli.proofs import Proofs
from twisted_xfer.errors import ChannelBindingFailed, ConfigError, LoginFailed
from twisted_xfer.protocols.xfer.caller import LoginImpossible, Target
from twisted_xfer.protocols.xfer.errormap import PeerError

PLACE = Target("host", username="alice")


@pytest.fixture
def run(tmp_path, cheap_passwords):
    """``xfer user`` over a TOML file with alice in it."""

    def invoke(*args, file="users.toml"):
        return CliRunner().invoke(xfer, ["user", *args, "--users", str(tmp_path / file)])

    invoke.users = lambda file="users.toml": parse_users((tmp_path / file).read_text(), file)
    invoke.path = tmp_path / "users.toml"
    assert invoke("add", "alice").exit_code == 0
    return invoke


def test_a_verifier_by_default(run):
    """In TOML, with a key of the file, once; another user leaves the key as it is."""
    before = run.users()
    assert before["alice"].scram is not None
    assert len(before.key) == 32
    assert run("add", "bob").exit_code == 0
    assert run("add", "carol", "--no-scram").exit_code == 0
    users = run.users()
    assert users.key == before.key
    assert users["bob"].scram.salt != users["alice"].scram.salt
    assert users["carol"].scram is None


def test_a_new_password(run):
    """Has a new verifier; without one the old one is gone, and does not go on to let anybody in."""
    before = run.users()["alice"].scram
    assert run("passwd", "alice").exit_code == 0
    assert run.users()["alice"].scram not in {before, None}
    assert run("passwd", "alice", "--no-scram").exit_code == 0
    assert run.users()["alice"].scram is None


def test_lines(run):
    """Lines hold none, unless an empty file is to become TOML for it."""
    assert run("add", "dave", file="lines").exit_code == 0
    assert run.users("lines")["dave"].scram is None
    assert run("passwd", "dave", file="lines").exit_code == 0
    assert run("passwd", "dave", "--scram", file="lines").exit_code == Exit.USAGE
    assert run("add", "dave", "--scram", file="fresh").exit_code == 0
    assert run.users("fresh")["dave"].scram is not None


def test_passwords_that_are_no_text(run, tmp_path):
    """Are told of."""
    (tmp_path / "pw").write_bytes(b"\xff\n")
    done = run("passwd", "alice", "--password-file", str(tmp_path / "pw"))
    assert "UTF-8" in done.stderr
    assert run.users()["alice"].scram is None


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_the_longest_password_of_a_file(end):
    """Is taken, whatever ends its line; one byte more is told of."""
    longest = b"x" * MAX_PASSWORD
    assert password_of("alice", "host:1", io.BytesIO(longest + end)) == longest.decode()
    with pytest.raises(click.UsageError, match="more than"):
        password_of("alice", "host:1", io.BytesIO(longest + b"x" + end))


def test_token(run):
    """Shown once, on standard output alone; the file has its hash; listed without it; removed."""
    done = run("token", "add", "alice", "cam", "--path", "/in", "--rights", "add", "--bytes", "5M", "--once")
    assert done.exit_code == 0, done.output
    token = done.stdout.strip()
    assert token.startswith("xfer_")
    assert token not in done.stderr
    assert token not in run.path.read_text()
    (kept,) = run.users()["alice"].tokens
    assert (kept.path, kept.size, kept.once) == ("/in", 5 << 20, True)
    assert run("token", "list").stdout == "alice cam\n"
    row = json.loads(run("token", "list", "alice", "--json").stdout)
    assert row == {
        "name": "alice", "token": "cam", "path": "/in", "bytes": 5 << 20, "once": True,
        "rights": ["list", "mkdir", "read", "utime", "write"],
    }  # fmt: skip
    assert json.loads(run("list", "--json").stdout)["tokens"] == ["cam"]
    assert run("token", "remove", "alice", "cam").exit_code == 0
    assert run.users()["alice"].tokens == ()


def test_token_as_json(run):
    """One object, with the secret in it."""
    done = json.loads(run("token", "add", "alice", "t", "--expires", "2027-01-31", "--json").stdout)
    assert done["secret"].startswith("xfer_")
    assert "expires" in json.loads(run("token", "list", "--json").stdout)
    assert json.loads(run("token", "remove", "alice", "t", "--json").stdout)["result"] == "removed"


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("add", "eve", "t"), Exit.REFUSED),
        (("add", "alice", "a b"), Exit.USAGE),
        (("add", "alice", "t", "--path", "in"), Exit.USAGE),
        (("remove", "alice", "t"), Exit.REFUSED),
        (("list", "eve"), Exit.REFUSED),
    ],
)
def test_what_is_wrong(run, args, code):
    """Changes nothing."""
    before = run.path.read_text()
    assert run("token", *args).exit_code == code
    assert run.path.read_text() == before


# --- callers ---------------------------------------------------------------------------------------


def asked(plain=False, password_file=None, code="", **proofs):
    return Asked("", password_file, code, plain, None, False, proofs=Proofs(**proofs))


@pytest.fixture
def bare(monkeypatch):
    """An environment without secrets."""
    for name in ("XFER_PASSWORD", "XFER_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_what_is_given_comes_first(bare):
    """Options before the environment, a token before a password, a code before all."""
    bare.setenv("XFER_TOKEN", "from-env")
    bare.setenv("XFER_PASSWORD", "pw")
    assert asked().login(PLACE).token == "from-env"
    assert asked(token_file=io.BytesIO(b"from-file\nmore")).login(PLACE).token == "from-file"
    login = asked(password_file=io.BytesIO(b"file-pw\n")).login(PLACE)
    assert (login.token, login.password) == ("", "file-pw")
    login = asked(code="abc").login(PLACE)
    assert (login.code, login.token, login.password) == ("abc", "", "")
    login = asked(plain=True).login(PLACE)
    assert (login.token, login.password) == ("", "pw")


def test_a_certificate_needs_no_password(bare):
    """Nobody is asked for one; where there is one all the same, both go."""
    login = asked(cert=io.StringIO("PEM"), key=io.StringIO("KEY")).login(PLACE)
    assert (login.certificate, login.key, login.password) == ("PEM", "KEY", "")
    bare.setenv("XFER_PASSWORD", "pw")
    assert asked(cert=io.StringIO("PEM")).login(PLACE).password == "pw"


def test_never_in_the_clear(bare):
    """Asked for together with --plain they are a mistake."""
    for proofs in (
        {"token_file": io.BytesIO(b"t")},
        {"cert": io.StringIO("PEM")},
        {"key": io.StringIO("KEY")},
    ):
        with pytest.raises(click.UsageError):
            asked(plain=True, **proofs).login(PLACE)


def test_options_reach_the_login(bare, tmp_path):
    """Of any command that calls somebody."""
    (tmp_path / "t").write_text("secret-token\n")
    got = []

    @click.command()
    @login_options
    def command(user, password_file, code, plain, ca, accept_new, as_json):
        got.append(Asked(user, password_file, code, plain, ca, accept_new).login(PLACE))

    assert CliRunner().invoke(command, ["--token-file", str(tmp_path / "t")]).exit_code == 0
    assert got[0].token == "secret-token"
    assert "secret-token" not in repr(got[0])


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (ChannelBindingFailed(), Exit.AUTHENTICATION, "in between"),
        (PeerError(204, "channel_binding"), Exit.AUTHENTICATION, "in between"),
        (LoginFailed(None, "the listener does not know the password"), Exit.AUTHENTICATION, "prove itself"),
        (PeerError(200, "login_failed"), Exit.AUTHENTICATION, "wrong"),
        (LoginImpossible("host", "TOKEN"), Exit.AUTHENTICATION, "--token-file"),
        (ConfigError("cert", remedy="give PEM"), Exit.USAGE, "--cert"),
    ],
)
def test_what_people_read(error, code, words):
    """Each failure has its exit code and a sentence that helps."""
    assert calling.code_of(error) is code
    assert words in calling._sentence(error, PLACE)
