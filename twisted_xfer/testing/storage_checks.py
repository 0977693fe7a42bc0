"""Small steps that the storage contracts are made of; of use in any test of a storage."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twisted_xfer.errors import XferError
from twisted_xfer.interfaces import Eventually, FileInfo, IStorage, WriteIntent
from twisted_xfer.paths import VirtualPath

T = TypeVar("T")
E = TypeVar("E", bound=XferError)

#: No listing of the suite needs more batches; an endless one must not hang the tests.
_MAX_BATCHES = 1000


def value_of(answer: Eventually[T]) -> T:
    """The value of an answer that is there already; its error is raised."""
    if isinstance(answer, Coroutine):
        answer = Deferred.fromCoroutine(answer)
    if not isinstance(answer, Deferred):
        return answer
    results: list[T | Failure] = []
    answer.addBoth(results.append)
    if not results:
        raise AssertionError("the answer has not come; give the storage a runner that works at once")
    result = results[0]
    if isinstance(result, Failure):
        result.raiseException()
    return result


def equal(found: object, wanted: object, about: str = "") -> None:
    """Fail unless both are equal."""
    if found != wanted:
        raise AssertionError(f"{about or 'value'}: found {found!r}, wanted {wanted!r}")


def fails_with(kind: type[E], call: Callable[[], object]) -> E:
    """The error of type ``kind`` that ``call``, or its answer, fails with."""
    try:
        answer = value_of(cast("Any", call()))
    except kind as error:
        # The frames of a traceback would keep descriptors open as long as the test keeps the error.
        error.__cause__ = error.__context__ = None
        return error.with_traceback(None)
    raise AssertionError(f"no {kind.__name__}; it answered {answer!r}")


def path_of(raw: bytes) -> VirtualPath:
    """Short for VirtualPath.parse."""
    return VirtualPath.parse(raw)


def put(storage: IStorage, path: bytes, data: bytes, intent: WriteIntent | None = None) -> FileInfo:
    """Upload ``data`` whole."""
    upload = value_of(storage.open_write(path_of(path), intent or WriteIntent()))
    value_of(upload.write(data))
    return value_of(upload.commit())


def put_part(storage: IStorage, path: bytes, data: bytes, intent: WriteIntent | None = None) -> None:
    """Upload ``data`` and break off, keeping the part."""
    upload = value_of(storage.open_write(path_of(path), intent or WriteIntent()))
    value_of(upload.write(data))
    value_of(upload.suspend())


def get(storage: IStorage, path: bytes, offset: int = 0) -> bytes:
    """The bytes of a file from ``offset``, read in small pieces."""
    file = value_of(storage.open_read(path_of(path), offset))
    data = b""
    while piece := value_of(file.read(7)):
        data += piece
    file.close()
    return data


def entries(storage: IStorage, path: bytes = b"/", limit: int = 100) -> dict[bytes, FileInfo]:
    """A directory's entries by name."""
    listing = value_of(storage.list(path_of(path)))
    found: dict[bytes, FileInfo] = {}
    for _ in range(_MAX_BATCHES):
        batch = value_of(listing.next_batch(limit))
        if not batch:
            listing.close()
            return found
        if len(batch) > limit:
            raise AssertionError("a batch over its limit")
        for info in batch:
            if info.name in found:
                raise AssertionError(f"{info.name!r} listed twice")
            found[info.name] = info
    raise AssertionError("the listing does not end")
