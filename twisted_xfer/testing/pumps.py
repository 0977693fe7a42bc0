"""To drive transfers in tests: a reactor whose time stands still, and files that do as they are told."""

from __future__ import annotations

import select
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReadDescriptor, IWriteDescriptor
from twisted.internet.task import Clock
from zope.interface import implementer

from twisted_xfer.interfaces import Eventually, Expected, FileInfo, IReadFile, IUpload
from twisted_xfer.paths import VirtualPath


class ManualReactor(Clock):
    """Descriptors by poll(2), time by ``advance``: for pumps over socket pairs, without a wait."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[IReadDescriptor] = set()
        self.writers: set[IWriteDescriptor] = set()

    def addReader(self, reader: IReadDescriptor) -> None:
        """Watch for reading."""
        self.readers.add(reader)

    def addWriter(self, writer: IWriteDescriptor) -> None:
        """Watch for writing."""
        self.writers.add(writer)

    def removeReader(self, reader: IReadDescriptor) -> None:
        """Stop watching for reading."""
        self.readers.discard(reader)

    def removeWriter(self, writer: IWriteDescriptor) -> None:
        """Stop watching for writing."""
        self.writers.discard(writer)

    def turn(self) -> bool:
        """One turn: delayed calls that are due, then each ready descriptor once; whether any was."""
        self.advance(0)
        worked = False
        for reader in list(self.readers):
            if reader in self.readers and _ready(reader.fileno(), select.POLLIN):
                reader.doRead()
                worked = True
        for writer in list(self.writers):
            if writer in self.writers and _ready(writer.fileno(), select.POLLOUT):
                writer.doWrite()
                worked = True
        return worked

    def run_until(self, done: Callable[[], object], turns: int = 100_000) -> None:
        """Turn until ``done()`` is true. Raises TimeoutError after ``turns``."""
        for _ in range(turns):
            if done():
                return
            self.turn()
        raise TimeoutError("the transfer does not come to an end")

    def leftovers(self) -> list[object]:
        """Everything still registered; a test that ends with any has found a leak."""
        return [*self.readers, *self.writers, *self.getDelayedCalls()]


def _ready(descriptor: int, events: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, events)
    return bool(poll.poll(0))


@implementer(IReadFile)
class ScriptedFile:
    """A file that answers each read() with the next of ``answers``; an exception is raised."""

    def __init__(self, answers: list[Any], size: int = 0) -> None:
        self.answers = answers
        self.info = FileInfo(b"scripted", "file", size)
        self.offset = 0
        self.mode = "image"
        self.closed: list[Exception | None] = []

    def read(self, size: int) -> Eventually[bytes]:
        """The next answer, empty after the last."""
        answer = self.answers.pop(0) if self.answers else b""
        if isinstance(answer, Exception):
            raise answer
        return answer

    def advance(self, size: int) -> None:
        """Count."""
        self.offset += size

    def close(self, reason: Exception | None = None) -> None:
        """Remember why."""
        self.closed.append(reason)


@implementer(IUpload)
class ScriptedUpload:
    """An upload into memory.

    ``limit`` bytes may be reserved before ``over`` is raised; ``answer`` makes what write()
    returns; ``commit_error`` is raised by commit().
    """

    def __init__(
        self,
        limit: int = 1 << 40,
        over: Exception | None = None,
        answer: Callable[[], Any] | None = None,
        commit_error: Exception | None = None,
    ) -> None:
        self.path = VirtualPath((b"scripted",))
        self.offset = 0
        self.mode = "image"
        self.data = bytearray()
        self.ends: list[tuple[str, object]] = []
        self._limit = limit
        self._over = over
        self._answer = answer
        self._commit_error = commit_error

    def reserve(self, size: int) -> int:
        """What is left below the limit."""
        left = self._limit - self.offset
        if left <= 0 and self._over is not None:
            raise self._over
        return min(size, left)

    def write(self, data: bytes | bytearray | memoryview) -> Eventually[None]:
        """Keep a copy."""
        self.data += data
        self.offset += len(data)
        return self._answer() if self._answer is not None else None

    def advance(self, size: int) -> None:
        """Count."""
        self.offset += size

    def commit(self, expected: Expected | None = None) -> Eventually[FileInfo]:
        """Remember, and answer the size."""
        self.ends.append(("commit", expected))
        if self._commit_error is not None:
            raise self._commit_error
        return FileInfo(b"scripted", "file", self.offset)

    def suspend(self, reason: Exception | None = None) -> None:
        """Remember why."""
        self.ends.append(("suspend", reason))

    def abort(self, reason: Exception | None = None) -> None:
        """Remember why."""
        self.ends.append(("abort", reason))
