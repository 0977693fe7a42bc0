"""Storages and peers that misbehave at the byte a test chooses."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from typing import Any, NoReturn

import attrs
from twisted.internet.defer import Deferred
from twisted.python.components import proxyForInterface

from twisted_xfer.errors import NoSpace
from twisted_xfer.interfaces import (
    Eventually,
    Expected,
    FileInfo,
    IAvatar,
    IReadFile,
    IStorage,
    IUpload,
    WriteIntent,
)
from twisted_xfer.interfaces.answers import then
from twisted_xfer.paths import VirtualPath


def disk_full() -> NoSpace:
    """What a full disk raises (ENOSPC)."""
    return NoSpace(detail="no space left on device")


@attrs.define
class Faults:
    """What is to go wrong, and what happened. None means never; offsets are in bytes of the file.

    ``write_fails_at``, ``read_fails_at``: the operation that would pass this offset raises
    ``error``, the bytes before it having gone through. ``write_stalls_at``, ``read_stalls_at``: it
    answers with a Deferred that fires at ``go_on()``. ``open_fails`` and ``commit_fails`` are
    raised by those verbs. ``read_ends_at``: the file seems to end there, and to have been that long.
    ``commit_lies``: a whole upload is dropped, and its success is told all the same. ``on_error`` is called
    before ``error`` is raised.

    Attributes:
        ends: how uploads ended, in order: ``commit``, ``suspend`` or ``abort``.
        closed: how many files that were read have been closed.
    """

    write_fails_at: int | None = None
    read_fails_at: int | None = None
    write_stalls_at: int | None = None
    read_stalls_at: int | None = None
    open_fails: Exception | None = None
    commit_fails: Exception | None = None
    read_ends_at: int | None = None
    commit_lies: bool = False
    error: Exception = attrs.field(factory=disk_full)
    on_error: Callable[[], object] | None = None
    ends: list[str] = attrs.field(factory=list)
    closed: int = 0
    _stalled: list[Deferred[None]] = attrs.field(factory=list, init=False)

    @property
    def stalled(self) -> bool:
        """Whether somebody waits for go_on()."""
        return bool(self._stalled)

    def stall(self) -> Deferred[None]:
        """An answer that comes at go_on()."""
        waiting: Deferred[None] = Deferred()
        self._stalled.append(waiting)
        return waiting

    def fail(self) -> NoReturn:
        """Raise ``error``."""
        if self.on_error is not None:
            self.on_error()
        raise self.error

    def go_on(self) -> None:
        """Let everything that stalls go on, and stall no more."""
        self.write_stalls_at = self.read_stalls_at = None
        stalled, self._stalled = self._stalled, []
        for waiting in stalled:
            waiting.callback(None)


class FaultyStorage(proxyForInterface(IStorage, "inner")):  # type: ignore[misc]
    """``inner`` with faults. Its files have no descriptor, so bytes go through read() and write()."""

    inner: Any

    def __init__(self, inner: IStorage, faults: Faults) -> None:
        super().__init__(inner)
        self.faults = faults

    def view(self, home: str, *, owner: str, create: bool = False) -> Eventually[FaultyStorage]:
        """A view with the same faults."""
        return then(
            self.inner.view(home, owner=owner, create=create),
            lambda view: FaultyStorage(view, self.faults),
        )

    def open_read(self, path: VirtualPath, offset: int = 0) -> Eventually[FaultyReadFile]:
        """A file that fails where it is told to."""
        if self.faults.open_fails is not None:
            raise self.faults.open_fails
        return then(self.inner.open_read(path, offset), lambda file: FaultyReadFile(file, self.faults))

    def open_write(self, path: VirtualPath, intent: WriteIntent) -> Eventually[FaultyUpload]:
        """An upload that fails where it is told to."""
        if self.faults.open_fails is not None:
            raise self.faults.open_fails
        return then(self.inner.open_write(path, intent), lambda upload: FaultyUpload(upload, self.faults))


class FaultyAvatar(proxyForInterface(IAvatar, "inner")):  # type: ignore[misc]
    """A logged-in user whose files misbehave, for protocols that are given an avatar."""

    inner: Any

    def __init__(self, inner: IAvatar, faults: Faults) -> None:
        super().__init__(inner)
        self.faults = faults

    open_read = FaultyStorage.open_read
    open_write = FaultyStorage.open_write


class FaultyReadFile(proxyForInterface(IReadFile, "inner")):  # type: ignore[misc]
    """A file being read."""

    inner: Any

    def __init__(self, inner: IReadFile, faults: Faults) -> None:
        super().__init__(inner)
        self.faults = faults
        self._closed = False

    @property
    def info(self) -> FileInfo:
        """What the file is, or seems to be."""
        info: FileInfo = self.inner.info
        ends = self.faults.read_ends_at
        return info if ends is None else info._replace(size=min(info.size, ends))

    def read(self, size: int) -> Eventually[bytes]:
        """Up to the fault, then the fault."""
        faults, here = self.faults, self.inner.offset
        if faults.read_stalls_at is not None and here >= faults.read_stalls_at:
            return faults.stall().addCallback(lambda _none: self.inner.read(size))
        if faults.read_fails_at is not None and here >= faults.read_fails_at:
            faults.fail()
        limits = (faults.read_stalls_at, faults.read_fails_at, faults.read_ends_at)
        nearest = [max(0, at - here) for at in limits if at is not None]
        answer: Eventually[bytes] = self.inner.read(min([size, *nearest]))
        return answer

    def close(self, reason: Exception | None = None) -> None:
        """Let go of it, and count it once."""
        self.faults.closed += not self._closed
        self._closed = True
        self.inner.close(reason)


class FaultyUpload(proxyForInterface(IUpload, "inner")):  # type: ignore[misc]
    """A file being written."""

    inner: Any

    def __init__(self, inner: IUpload, faults: Faults) -> None:
        super().__init__(inner)
        self.faults = faults

    def write(self, data: bytes | bytearray | memoryview) -> Eventually[None]:
        """All of it, or what is before the fault and then the fault."""
        faults, here = self.faults, self.inner.offset
        if faults.write_stalls_at is not None and here + len(data) > faults.write_stalls_at:
            kept = bytes(data)
            return faults.stall().addCallback(lambda _none: self.inner.write(kept))
        if faults.write_fails_at is None or here + len(data) <= faults.write_fails_at:
            answer: Eventually[None] = self.inner.write(data)
            return answer
        return then(self.inner.write(data[: max(0, faults.write_fails_at - here)]), self._fail)

    def commit(self, expected: Expected | None = None) -> Eventually[FileInfo]:
        """Fail, with the part kept, or publish."""
        if self.faults.commit_fails is not None:
            raise self.faults.commit_fails
        if self.faults.commit_lies:
            self.faults.ends.append("abort")
            lie = FileInfo(self.inner.path.name, "file", self.inner.offset)
            return then(self.inner.abort(), lambda _none: lie)
        self.faults.ends.append("commit")
        answer: Eventually[FileInfo] = self.inner.commit(expected)
        return answer

    def suspend(self, reason: Exception | None = None) -> Eventually[None]:
        """Keep the part."""
        self.faults.ends.append("suspend")
        answer: Eventually[None] = self.inner.suspend(reason)
        return answer

    def abort(self, reason: Exception | None = None) -> Eventually[None]:
        """Drop it."""
        self.faults.ends.append("abort")
        answer: Eventually[None] = self.inner.abort(reason)
        return answer

    def _fail(self, _none: object) -> None:
        self.faults.fail()


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of one connection over loopback, non-blocking: ours and the peer's."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ours = socket.create_connection(listening.getsockname(), timeout=5)
        theirs, _ = listening.accept()
    for end in (ours, theirs):
        end.setblocking(False)
    return ours, theirs


def reset(sock: socket.socket) -> None:
    """Close with a reset, as a peer that crashed or was unplugged and came back."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def send_and_reset(sock: socket.socket, data: bytes, at: int) -> None:
    """Send the first ``at`` bytes of ``data``, then reset."""
    sock.send(data[:at])
    reset(sock)


def send_and_close(sock: socket.socket, data: bytes, at: int) -> None:
    """Send the first ``at`` bytes of ``data``, then end the stream as if that were all."""
    sock.send(data[:at])
    sock.close()
