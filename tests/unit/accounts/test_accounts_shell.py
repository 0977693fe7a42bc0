"""Twisted's FTP shells behind our avatars."""

import os

import pytest
from accounts_kit import CONTEXT, Bus, result
from twisted.cred.checkers import ANONYMOUS
from twisted.cred.portal import IRealm
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.protocols import ftp
from twisted.python.filepath import FilePath
from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted_xfer.accounts.shell_adapter import ShellRealm, ShellStorage
from twisted_xfer.accounts.shell_files import Reader
from twisted_xfer.errors import (
    AlreadyExists,
    ConnectionLost,
    DirectoryNotEmpty,
    ForbiddenPath,
    IsADirectory,
    LimitReached,
    NameInvalid,
    NotFound,
    OffsetInvalid,
    StorageFailure,
    Truncated,
    Unsupported,
)
from twisted_xfer.interfaces import (
    Account,
    Expected,
    FileInfo,
    IAvatar,
    IListing,
    IReadFile,
    IStorage,
    IUpload,
    WriteIntent,
)
from twisted_xfer.paths import ROOT, VirtualPath
from twisted_xfer.runtime.limits import Limits

A = VirtualPath((b"a",))
B = VirtualPath((b"b",))
D = VirtualPath((b"d",))


@pytest.fixture
def storage(tmp_path):
    (tmp_path / "a").write_bytes(b"0123456789")
    (tmp_path / "d").mkdir()
    return ShellStorage(ftp.FTPShell(FilePath(str(tmp_path))), os.urandom)


class Sender:
    """A producer that a test drives; it keeps what it was told."""

    def __init__(self):
        self.calls = []

    def pauseProducing(self):
        self.calls.append("pause")

    def resumeProducing(self):
        self.calls.append("resume")

    def stopProducing(self):
        self.calls.append("stop")


class Source:
    def __init__(self):
        self.sent = Deferred()

    def send(self, consumer):
        return self.sent


def test_facts(storage, tmp_path):
    """stat and list tell what is there."""
    verifyObject(IStorage, storage)
    info = result(storage.stat, A)
    assert (info.name, info.kind, info.size) == (b"a", "file", 10)
    assert info.mode == (tmp_path / "a").stat().st_mode & 0o777
    assert result(storage.stat, D).kind == "dir"
    listing = result(storage.list, ROOT)
    verifyObject(IListing, listing)
    assert [info.name for info in listing.next_batch(1) + listing.next_batch()] == [b"a", b"d"]
    assert listing.next_batch() == []
    assert storage.view("/x", owner="alice") is storage


def test_errors_in_our_terms(storage, tmp_path):
    """The shell's own errors do not get out."""
    (tmp_path / "d" / "inside").write_bytes(b"")
    for call, kind in (
        (lambda: storage.stat(B), NotFound),
        (lambda: storage.open_read(B), NotFound),
        (lambda: storage.open_read(D), IsADirectory),
        (lambda: storage.open_read(A, 11), OffsetInvalid),
        (lambda: storage.make_directory(D), AlreadyExists),
        (lambda: storage.remove_directory(ROOT), ForbiddenPath),
        (lambda: storage.remove_directory(D), DirectoryNotEmpty),
        (lambda: storage.make_directory(VirtualPath((b"n" * 300,))), NameInvalid),
        (lambda: storage.open_write(A, WriteIntent(append=True)), Unsupported),
        (lambda: storage.open_write(A, WriteIntent(offset=1)), Unsupported),
        (lambda: storage.open_write(A, WriteIntent(if_exists="refuse")), AlreadyExists),
        (lambda: storage.set_times(A, 0), Unsupported),
        (lambda: storage.set_mode(A, 0), Unsupported),
    ):
        with pytest.raises(kind):
            result(call)


def test_unknown_errors_lose_their_text():
    """What a foreign shell says may hold anything."""

    class Broken:
        def stat(self, path, keys):
            raise ValueError("secret")

    with pytest.raises(StorageFailure) as caught:
        result(ShellStorage(Broken(), os.urandom).stat, A)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("offset", [0, 4, 10])
def test_reading(storage, offset):
    """From the offset to the end, in small reads."""
    file = result(storage.open_read, A, offset)
    verifyObject(IReadFile, file)
    data = b""
    for _ in range(20):
        piece = result(file.read, 3)
        data += piece
        if not piece:
            break
    assert data == b"0123456789"[offset:]
    assert file.offset == 10
    file.close()
    file.close()
    with pytest.raises(Unsupported):
        file.advance(1)


def test_a_pushing_shell_is_paused_and_resumed():
    """It gets one bounded buffer ahead and no further."""
    reader, sender, source = Reader(FileInfo(b"a", "file", 5 << 20), 0), Sender(), Source()
    reader.begin(source, A)
    reader.registerProducer(sender, True)
    reader.write(b"x" * ((1 << 20) - 1))
    assert sender.calls == []
    reader.write(b"x")
    assert sender.calls == ["pause"]
    assert len(reader.read(4 << 20)) == 1 << 20
    waiting = reader.read(10)
    assert sender.calls == ["pause", "resume"]
    reader.write(b"abc")
    assert result(lambda: waiting) == b"abc"
    last = reader.read(10)
    reader.unregisterProducer()
    source.sent.callback(None)
    assert result(lambda: last) == b""
    assert reader.read(1) == b""


def test_a_shell_that_fails_in_the_middle():
    """The reader that waits hears it, and so does the next."""
    reader, source = Reader(FileInfo(b"a", "file", 5), 0), Source()
    reader.begin(source, A)
    waiting = reader.read(1)
    source.sent.errback(ValueError("secret"))
    with pytest.raises(StorageFailure):
        result(lambda: waiting)
    with pytest.raises(StorageFailure):
        reader.read(1)


def test_closing_early_stops_the_shell():
    """It need not send what nobody wants."""
    reader, sender = Reader(FileInfo(b"a", "file", 5), 0), Sender()
    reader.registerProducer(sender, True)
    reader.close(ConnectionLost())
    assert sender.calls == ["stop"]


def test_upload_is_hidden_until_it_is_whole(storage, tmp_path):
    """Nothing under the name and nothing in listings before commit."""
    upload = result(storage.open_write, B, WriteIntent())
    verifyObject(IUpload, upload)
    assert upload.reserve(3) == 3
    result(upload.write, b"abc")
    assert not (tmp_path / "b").exists()
    names = [info.name for info in result(storage.list, ROOT).next_batch()]
    assert names == [b"a", b"d"]
    assert result(upload.commit, Expected(size=3)) == FileInfo(b"b", "file", 3)
    assert (tmp_path / "b").read_bytes() == b"abc"
    result(upload.abort)
    assert sorted(os.listdir(tmp_path)) == ["a", "b", "d"]


@pytest.mark.parametrize("end", ["abort", "suspend"])
def test_upload_that_ends_early_leaves_nothing(storage, tmp_path, end):
    """A shell keeps no parts; the old file stays as it was."""
    upload = result(storage.open_write, A, WriteIntent())
    result(upload.write, b"abc")
    result(getattr(upload, end))
    result(upload.abort)
    assert sorted(os.listdir(tmp_path)) == ["a", "d"]
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_truncated_upload_is_dropped(storage, tmp_path):
    """Another size than was promised."""
    upload = result(storage.open_write, A, WriteIntent())
    result(upload.write, b"abc")
    with pytest.raises(Truncated):
        result(upload.commit, Expected(size=4))
    assert sorted(os.listdir(tmp_path)) == ["a", "d"]


def test_a_slow_consumer_holds_the_writer(storage):
    """write() answers when the shell's file takes more."""
    upload = result(storage.open_write, B, WriteIntent())
    upload.pauseProducing()
    waiting = upload.write(b"abc")
    assert not waiting.called
    upload.resumeProducing()
    result(lambda: waiting)
    result(upload.abort)


def test_free_names(storage, tmp_path):
    """STOU and "rename" never replace."""
    for intent, name in ((WriteIntent(unique=True), b"a.1"), (WriteIntent(if_exists="rename"), b"a.2")):
        upload = result(storage.open_write, A, intent)
        assert upload.path.name == name
        result(upload.commit)
    assert (tmp_path / "a").read_bytes() == b"0123456789"


def test_changes(storage, tmp_path):
    """Make, rename, remove."""
    result(storage.make_directory, B)
    result(storage.remove_directory, B)
    result(storage.rename, A, B)
    assert sorted(os.listdir(tmp_path)) == ["b", "d"]
    result(storage.remove, B)
    assert os.listdir(tmp_path) == ["d"]


# --- realm -------------------------------------------------------------------------------


@implementer(IRealm)
class TheirRealm:
    def __init__(self, root):
        self.root = root
        self.asked = []
        self.logouts = 0
        self.error = None

    def logout(self):
        self.logouts += 1

    def requestAvatar(self, avatarId, mind, *interfaces):
        if self.error is not None:
            raise self.error
        self.asked.append((avatarId, interfaces))
        return interfaces[0], ftp.FTPShell(FilePath(self.root)), self.logout


def test_realm(tmp_path):
    """Their shell, our avatar: limits, events, and their logout once."""
    theirs, bus, clock = TheirRealm(str(tmp_path)), Bus(), Clock()
    limits = Limits(clock)
    realm = ShellRealm(
        theirs,
        events=bus,
        limits=limits,
        clock=clock,
        random=os.urandom,
        defaults=Account("", max_sessions=1),
    )
    interface, avatar, logout = result(realm.requestAvatar, b"alice", CONTEXT, IAvatar)
    assert interface is IAvatar
    assert theirs.asked == [("alice", (ftp.IFTPShell,))]
    result(avatar.make_directory, B)
    assert (tmp_path / "b").is_dir()
    with pytest.raises(LimitReached):
        result(realm.requestAvatar, b"alice", CONTEXT, IAvatar)
    logout()
    logout()
    assert theirs.logouts == 1
    assert bus.ids() == ["directory.make", "logout"]
    _, nobody, _ = result(realm.requestAvatar, ANONYMOUS, CONTEXT, IAvatar)
    assert nobody.username == "anonymous"
    assert theirs.asked[-1][0] == ANONYMOUS
    theirs.error = KeyError("x")
    for _ in range(2):
        with pytest.raises(KeyError):
            result(realm.requestAvatar, b"alice", CONTEXT, IAvatar)
    with pytest.raises(NotImplementedError):
        realm.requestAvatar(b"alice", CONTEXT)
