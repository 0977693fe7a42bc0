"""Faults happen where they were asked for, and the bytes before went through."""

import pytest
from twisted.internet.defer import Deferred, ensureDeferred
from zope.interface.verify import verifyObject

from twisted_xfer.errors import DigestMismatch, NoSpace, NotFound
from twisted_xfer.interfaces import IHasFileno, IReadFile, IStorage, IUpload, WriteIntent
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.paths import VirtualPath
from twisted_xfer.storage.memory import MemoryStorage
from twisted_xfer.testing.faults import Faults, FaultyStorage, reset, send_and_close, send_and_reset, tcp_pair

PATH = VirtualPath((b"a",))


def storage_with(**faults):
    return FaultyStorage(MemoryStorage(lambda: 0.0), Faults(**faults))


def upload_to(storage):
    return value_of(storage.open_write(PATH, WriteIntent()))


def value_of(answer):
    """The value of an answer that has come."""
    box = []
    ensureDeferred(resolve(answer)).addBoth(box.append)
    (value,) = box
    if hasattr(value, "raiseException"):
        value.raiseException()
    return value


def store(storage, data=b"0123456789"):
    upload = upload_to(storage)
    value_of(upload.write(data))
    value_of(upload.commit())


def test_without_faults_it_is_the_storage():
    """Everything passes through, views included; only the descriptor is hidden."""
    storage = storage_with()
    verifyObject(IStorage, storage)
    upload = upload_to(storage)
    verifyObject(IUpload, upload)
    assert not IHasFileno.providedBy(upload)
    value_of(upload.abort())
    store(storage)
    file = value_of(storage.open_read(PATH, 2))
    verifyObject(IReadFile, file)
    assert value_of(file.read(3)) == b"234"
    assert file.offset == 5
    value_of(storage.make_directory(VirtualPath((b"home",))))
    assert isinstance(value_of(storage.view("/home", owner="alice")), FaultyStorage)
    assert storage.faults.ends == ["abort", "commit"]


@pytest.mark.parametrize(("size", "fails"), [(4, False), (5, True)])
def test_a_write_fails_past_its_byte(size, fails):
    """At the byte it is fine; one past it fails, with what was before written."""
    upload = upload_to(storage_with(write_fails_at=4))
    if fails:
        with pytest.raises(NoSpace):
            value_of(upload.write(b"x" * size))
    else:
        value_of(upload.write(b"x" * size))
    assert upload.offset == 4


def test_a_read_fails_at_its_byte():
    """All before it is read, however much is asked for."""
    storage = storage_with(read_fails_at=4, error=OSError(5, "broken"))
    store(storage)
    file = value_of(storage.open_read(PATH))
    assert value_of(file.read(100)) == b"0123"
    with pytest.raises(OSError, match="broken"):
        value_of(file.read(100))
    file.close()
    file.close()
    assert storage.faults.closed == 1


def test_a_stalled_write_goes_on_when_told():
    """The answer is a Deferred; the buffer may be used again meanwhile."""
    storage = storage_with(write_stalls_at=0)
    upload = upload_to(storage)
    data = bytearray(b"hello")
    answer = upload.write(data)
    assert isinstance(answer, Deferred)
    assert not answer.called
    assert storage.faults.stalled
    data[:] = b"xxxxx"
    storage.faults.go_on()
    value_of(upload.commit())
    assert value_of(value_of(storage.open_read(PATH)).read(10)) == b"hello"


def test_a_stalled_read_goes_on_when_told():
    """The bytes before the stall come at once."""
    storage = storage_with(read_stalls_at=2)
    store(storage)
    file = value_of(storage.open_read(PATH))
    assert value_of(file.read(10)) == b"01"
    answer, got = file.read(10), []
    answer.addCallback(got.append)
    assert got == []
    storage.faults.go_on()
    assert got == [b"23456789"]


def test_a_commit_fails_and_leaves_nothing_published():
    """The close path then decides; how it ended is kept."""
    storage = storage_with(commit_fails=DigestMismatch())
    upload = upload_to(storage)
    value_of(upload.write(b"x"))
    with pytest.raises(DigestMismatch):
        value_of(upload.commit())
    value_of(upload.suspend())
    value_of(upload.abort())
    assert storage.faults.ends == ["suspend", "abort"]


def test_opening_fails():
    """Both ways."""
    storage = storage_with(open_fails=NoSpace())
    for call in (lambda: storage.open_read(PATH), lambda: upload_to(storage)):
        with pytest.raises(NoSpace):
            call()


@pytest.mark.parametrize(("end", "error"), [(send_and_reset, ConnectionResetError), (send_and_close, None)])
def test_peers_end_as_they_are_told(end, error):
    """A reset is an error at our end, a close is the end of the stream."""
    ours, theirs = tcp_pair()
    ours.settimeout(5)
    end(theirs, b"hello", 3)
    try:
        if error is None:
            assert ours.recv(10) == b"hel"
            assert ours.recv(10) == b""
        else:
            with pytest.raises(error):
                while ours.recv(10):
                    pass
    finally:
        reset(ours)


@pytest.mark.parametrize(("ends", "seen"), [(0, b""), (4, b"0123"), (10, b"0123456789"), (11, b"0123456789")])
def test_a_file_seems_to_end(ends, seen):
    """Its bytes and its own size stop there, so that nobody downstream takes it for cut."""
    storage = storage_with(read_ends_at=ends)
    store(storage)
    file = value_of(storage.open_read(PATH))
    data = b""
    while piece := value_of(file.read(3)):
        data += piece
    assert data == seen
    assert file.info.size == len(seen)
    assert value_of(storage.stat(PATH)).size == 10


def test_a_file_that_seems_to_end_is_empty_behind_its_end():
    """A download that resumes past the end gets nothing, and no error."""
    storage = storage_with(read_ends_at=4)
    store(storage)
    assert value_of(value_of(storage.open_read(PATH, 6)).read(3)) == b""


def test_a_commit_lies():
    """The answer is that of a success, and there is no file."""
    storage = storage_with(commit_lies=True)
    upload = upload_to(storage)
    value_of(upload.write(b"01234"))
    assert value_of(upload.commit()).size == 5
    assert storage.faults.ends == ["abort"]
    with pytest.raises(NotFound):
        value_of(storage.stat(PATH))
