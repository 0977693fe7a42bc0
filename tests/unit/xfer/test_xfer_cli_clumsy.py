"""What people type who do not know better, and what they are told."""

import os
import sys

import attrs
import click
import pytest
from click.testing import CliRunner
from xfer_pipes import ALICE, End, local_net

from twisted_xfer import errors
from twisted_xfer.cli.calling import _sentence, code_of
from twisted_xfer.cli.cmd_send import check_arguments, check_names
from twisted_xfer.cli.commands import xfer
from twisted_xfer.cli.exits import Exit
from twisted_xfer.cli.lan import own_name
from twisted_xfer.cli.progress import Progress
from twisted_xfer.interfaces import Account, Right
from twisted_xfer.protocols.xfer import client
from twisted_xfer.protocols.xfer.caller import LOGIN_SECONDS, CannotConnect, Target
from twisted_xfer.protocols.xfer.disk_tree import DiskSource, name_of
from twisted_xfer.protocols.xfer.errormap import PeerError
from twisted_xfer.protocols.xfer.report import TransferEvent

# --- paths -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [b".", b"./", b"./.", b".//", b"/", b"//", b"/."])
def test_the_working_directory_and_the_root_have_no_name(path):
    """However they are written."""
    assert name_of(path) == b""


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"a", b"a"),
        (b"a/", b"a"),
        (b"./a/.", b"a"),
        (b"/x/a//", b"a"),
        (b"...", b"..."),
        (b"..", b""),
        (b"../", b""),
    ],
)
def test_everything_else_has_its_own(path, name, tmp_path, monkeypatch):
    """What is above is called what it is called; above this one there is ``above``."""
    (tmp_path / "above/here").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "above/here")
    assert name_of(path) == (name or b"above")


@pytest.mark.parametrize("path", [b".", b"./", b".//."])
def test_what_is_in_the_working_directory_is_sent(path, tmp_path, monkeypatch):
    """With a slash at its end or without."""
    (tmp_path / "f").touch()
    monkeypatch.chdir(tmp_path)
    offer = DiskSource([path]).next()
    assert offer is not None
    assert offer.path == b"f"


def test_two_paths_of_one_name(tmp_path, monkeypatch):
    """The second would take the place of the first; what has no name of its own does not."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(click.UsageError, match="would both be a there"):
        check_names(("a", "b/a/"), "skip-same")
    check_names(("a", "b/a"), "rename")
    check_names(("a", ".", "./"), "skip-same")


@pytest.mark.parametrize(
    ("paths", "words"), [(("-", "-"), "sent alone"), (("-", "file"), "sent alone"), (("-",), "is closed")]
)
def test_standard_input_that_cannot_be_sent(paths, words, monkeypatch):
    """Twice, beside something else, or closed: another file may have its number by then."""
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(click.UsageError, match=words):
        check_arguments(paths, "xfer://host")


def test_a_name_for_a_file(tmp_path):
    """Only standard input has none of its own; the option is not ignored in silence."""
    (tmp_path / "file").touch()
    done = CliRunner().invoke(xfer, ["send", str(tmp_path / "file"), "--name", "other", "xfer://host"])
    assert done.exit_code == Exit.USAGE
    assert "--name is for standard input" in done.stderr


def test_a_destination_that_is_no_directory():
    """Told as other wrong arguments are."""
    done = CliRunner().invoke(xfer, ["get", "xfer://host/file", os.devnull])
    assert done.exit_code == Exit.USAGE
    assert f"{os.devnull}: is no directory" in done.stderr


@pytest.mark.parametrize(
    ("option", "words"), [("--user=\udcff", "the user is"), ("--user=me", "the password is")]
)
def test_a_login_that_the_wire_does_not_carry(option, words, tmp_path):
    """Bytes that are no UTF-8 are told before anybody is called."""
    (tmp_path / "password").write_bytes(b"\xff\n")
    done = CliRunner().invoke(
        xfer, ["ls", option, "--password-file", str(tmp_path / "password"), "xfer://host"]
    )
    assert done.exit_code == Exit.USAGE
    assert f"{words} no UTF-8" in done.stderr


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("A/b", "A-b"),
        (" a\x1bb\n", "ab"),
        ("\x00", "xfer"),
        ("ü" * 40, "ü" * 31),
        ('"@x', '"@x'),
        ("a.b", "a.b"),
        ("Co. ", "Co"),
        (".a..b", "a.b"),
        ("...", "xfer"),
    ],
)
def test_a_name_to_announce(given, name):
    """What ``send @NAME`` can be given: what is behind a slash would be a directory there."""
    assert own_name(given) == name


# --- the other end -----------------------------------------------------------------------------------


@attrs.frozen
class Silence:
    """Takes connections and says nothing; counts them."""

    net: object
    made: list = attrs.field(factory=list)

    def connect(self, factory):
        from twisted.internet.defer import succeed

        end = End("127.0.0.1")
        end.protocol = factory.buildProtocol(None)
        self.made.append(end)
        end.protocol.makeConnection(end)
        return succeed(end.protocol)


@pytest.mark.parametrize(
    ("plain", "words"), [(True, "nobody answers who speaks xfer"), (False, "nobody answers in TLS there")]
)
def test_who_takes_connections_and_says_nothing(tmp_path, plain, words):
    """One wait for an answer, no other try, and the hint that TLS may be what the two differ in."""
    (tmp_path / "f").write_bytes(b"x")
    net = local_net(tmp_path / "root")
    silence = Silence(net)
    work = attrs.evolve(net.work(), endpoint=silence)
    outcome = []
    sent = client.send(
        net.host.clock,
        [tmp_path / "f"],
        Target("memory"),
        attrs.evolve(ALICE, plain=plain),
        work,
    )
    sent.addErrback(lambda failure: outcome.append(failure.value))
    net.host.clock.advance(LOGIN_SECONDS - 1)
    assert not silence.made[0].closing
    net.host.clock.advance(1)
    silence.made[0].lost(errors.ConnectionLost)
    (error,) = outcome
    assert isinstance(error, CannotConnect)
    assert code_of(error) is Exit.NO_CONNECTION
    assert words in _sentence(error, Target("memory"))
    assert ("--plain" in _sentence(error, Target("memory"))) is not plain
    net.host.clock.advance(600)
    assert len(silence.made) == 1


def test_a_name_that_is_taken_where_nothing_may_be_replaced(tmp_path):
    """As at a waiting ``xfer receive``: the one who sends is told what the matter is, in a dry run as well."""
    rights = frozenset({Right.WRITE, Right.LIST, Right.MKDIR})
    net = local_net(tmp_path / "root", accounts={"alice": Account("alice", rights=rights, home="/alice")})
    (tmp_path / "f").write_bytes(b"first")
    assert net.send([tmp_path / "f"]).files == 1
    (tmp_path / "f").write_bytes(b"second")
    for dry_run in (False, True):
        ((_, error),) = net.send([tmp_path / "f"], dry_run=dry_run).failures
        assert isinstance(error, PeerError)
        assert str(error) == "right_missing: it is there already, and may not be replaced"


def test_what_is_wrong_with_the_root_has_a_name():
    """A sentence without what it is about is none."""
    error = PeerError(304, "right_missing")
    assert _sentence(error, Target("host")) == "/: is not allowed there (right_missing)"
    assert _sentence(error, Target("host", path=b"d")) == "d: is not allowed there (right_missing)"


def test_the_bar_is_gone_before_the_last_words():
    """After Ctrl-C nothing is drawn any more, and what still ends is told in lines."""
    progress = Progress(bar=True)
    progress(TransferEvent("started", b"a", size=10))
    progress.interrupted()
    assert progress._bar is None
    progress(TransferEvent("progress", b"a", size=10, position=5))
    progress(TransferEvent("done", b"a", size=10, position=10, stored_as=b"/a"))
    assert progress._bar is None
