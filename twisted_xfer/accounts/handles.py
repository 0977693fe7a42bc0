"""Open files of an avatar: thin wrappers that report how a transfer ended and charge quota.

They stand between every read and write and the storage, so each method is one call on. Whether
the kernel may move the bytes itself is the inner object's fact: there is one class with and one
without ``fileno`` for each direction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_xfer.accounts.changes import Unchanged
from twisted_xfer.accounts.charges import Charge, Published
from twisted_xfer.accounts.reports import Reporter, code_of
from twisted_xfer.errors import QuotaExceeded, Truncated
from twisted_xfer.interfaces import (
    Eventually,
    Expected,
    FileInfo,
    IHasFileno,
    IReadFile,
    IUpload,
)
from twisted_xfer.interfaces.answers import resolve, then_or, waiting
from twisted_xfer.paths import VirtualPath


@implementer(IReadFile)
class ReadHandle:
    """A file that is read, and reported when it is closed."""

    __slots__ = ("_inner", "_path", "_reporter", "_start", "_started", "info", "mode", "transfer")

    def __init__(self, inner: IReadFile, path: VirtualPath, reporter: Reporter) -> None:
        self._inner = inner
        self._path = path
        self._reporter: Reporter | None = reporter
        self._started = reporter.clock.seconds()
        self._start = inner.offset
        self.info = inner.info
        self.mode = "image"
        self.transfer = reporter.next_transfer()

    @property
    def offset(self) -> int:
        """Where the next read() starts."""
        return self._inner.offset

    def read(self, size: int) -> Eventually[bytes]:
        """At most ``size`` bytes; empty at the end."""
        return self._inner.read(size)

    def advance(self, size: int) -> None:
        """The kernel moved ``size`` bytes itself."""
        self._inner.advance(size)

    def close(self, reason: Exception | None = None) -> None:
        """Let go, and report: complete without a ``reason``, else aborted."""
        reporter = self._reporter
        inner = self._inner
        moved = inner.offset - self._start if reporter is not None else 0
        inner.close(reason)
        if reporter is None:
            return
        self._reporter = None
        fields = {
            "path": bytes(self._path),
            "size": self.info.size,
            "bytes": moved,
            "seconds": reporter.clock.seconds() - self._started,
            "mode": self.mode,
        }
        if reason is None:
            reporter.tell("download.complete", transfer=self.transfer, **fields)
        else:
            reporter.tell("download.aborted", transfer=self.transfer, code=code_of(reason), **fields)


@implementer(IHasFileno)
class PlainReadHandle(ReadHandle):
    """A plain file that is read."""

    __slots__ = ()

    def fileno(self) -> int:
        """The inner file's descriptor."""
        return self._inner.fileno()  # type: ignore[attr-defined, no-any-return]


@implementer(IUpload)
class UploadHandle:
    """A file that is written: charged, asked about before it is published, and reported."""

    __slots__ = (
        "_charge",
        "_inner",
        "_published",
        "_reporter",
        "_same",
        "_start",
        "_started",
        "mode",
        "path",
        "transfer",
    )

    def __init__(
        self,
        inner: IUpload,
        reporter: Reporter,
        charge: Charge | None = None,
        published: Published | None = None,
        same: Sequence[Unchanged] = (),
    ) -> None:
        self._inner = inner
        self._reporter: Reporter | None = reporter
        self._charge = charge
        self._published = published
        self._same = same
        self._started = reporter.clock.seconds()
        self._start = inner.offset
        self.path = inner.path
        self.mode = "image"
        self.transfer = reporter.next_transfer()

    @property
    def offset(self) -> int:
        """Where the next write() goes."""
        return self._inner.offset

    def reserve(self, size: int) -> int:
        """How many bytes may be written now, by the storage's limits and the quota."""
        allowed = self._inner.reserve(size)
        if self._charge is None:
            return allowed
        try:
            return self._charge.room(self._inner.offset, allowed)
        except QuotaExceeded as error:
            if self._reporter is not None and self._reporter.active:
                left = error.fields.get("left", 0)
                self._reporter.tell(
                    "quota.exceeded", transfer=self.transfer, path=bytes(self.path), left=left
                )
            raise

    def write(self, data: bytes | bytearray | memoryview) -> Eventually[None]:
        """Append ``data``."""
        return self._inner.write(data)

    def advance(self, size: int) -> None:
        """The kernel moved ``size`` bytes itself."""
        self._inner.advance(size)

    def commit(self, expected: Expected | None = None) -> Eventually[FileInfo]:
        """Publish, unless a veto listener or the quota refuses."""
        reporter = self._reporter
        asks = reporter is not None and reporter.asks
        if asks or self._charge is not None or self._same:
            return Deferred.fromCoroutine(self._commit_asking(expected))
        try:
            answer = self._inner.commit(expected)
        except Exception as error:
            self._ended(error)
            raise
        if waiting(answer):
            return then_or(answer, self._complete, self._failed)
        return self._complete(answer)  # type: ignore[arg-type]

    def suspend(self, reason: Exception | None = None) -> Eventually[None]:
        """Keep the part; its quota is given back until it is resumed."""
        return self._let_go(self._inner.suspend, reason)

    def abort(self, reason: Exception | None = None) -> Eventually[None]:
        """Drop it."""
        return self._let_go(self._inner.abort, reason)

    def _let_go(
        self, way: Callable[[Exception | None], Eventually[None]], reason: Exception | None
    ) -> Eventually[None]:
        """Say how it ended, end it, and settle the quota by what stays."""
        charge, self._charge = self._charge, None
        self._ended(reason)
        if charge is None:
            return way(reason)
        try:
            answer = way(reason)
        except BaseException:
            charge.release()
            raise
        if waiting(answer):
            return then_or(answer, partial(self._settle, charge), partial(self._unsettled, charge))
        self._settle(charge, None)
        return None

    def _settle(self, charge: Charge, _none: None) -> None:
        """Nothing was published, unless the storage writes under the final name itself."""
        inner = self._inner
        kept = getattr(inner, "kept", None)
        if kept is not None:
            charge.commit(kept, getattr(inner, "replaced", None))
        else:
            charge.release()

    def _unsettled(self, charge: Charge, failure: Failure) -> Failure:
        charge.release()
        return failure

    async def _commit_asking(self, expected: Expected | None) -> FileInfo:
        """Publish after the veto listeners, and with the ledger."""
        inner, reporter, charge = self._inner, self._reporter, self._charge
        size = inner.offset
        replaced: int | None = None
        try:
            if reporter is not None and reporter.asks:
                fields = reporter.context_fields()
                fields["descriptor"] = inner.fileno() if IHasFileno.providedBy(inner) else None
                path = bytes(self.path)
                await resolve(reporter.events.ask("upload.publish", path=path, size=size, **fields))
            if charge is not None:
                if self._published is not None:
                    replaced = await resolve(self._published())
                    if replaced is None:
                        await charge.place()
                charge.cover(size, replaced or 0)
            for one in self._same:
                await one.check(inner)
        except Exception as error:
            # Refused by rule: nothing of it may stay, not even a part.
            self._charge = None
            self._ended(error)
            try:
                await resolve(inner.abort(error))
            finally:
                if charge is not None:
                    self._settle(charge, None)
            raise
        try:
            info = await resolve(inner.commit(expected))
        except Exception as error:
            self._charge = None
            self._ended(error)
            if charge is not None:
                self._settle(charge, None)
            raise
        if charge is not None:
            charge.commit(info.size, getattr(inner, "replaced", replaced))
            self._charge = None
        return self._complete(info)

    def _complete(self, info: FileInfo) -> FileInfo:
        reporter = self._reporter
        if reporter is not None:
            self._reporter = None
            if reporter.active:
                moved, seconds = self._inner.offset - self._start, reporter.clock.seconds() - self._started
                reporter.uploaded(self.transfer, self.path, info.size, moved, seconds, self.mode)
        return info

    def _failed(self, failure: Failure) -> Failure:
        self._ended(failure.value)
        return failure

    def _ended(self, reason: BaseException | None) -> None:
        """Give the quota back and say once how it ended."""
        charge = self._charge
        if charge is not None:
            self._charge = None
            charge.release()
        reporter = self._reporter
        if reporter is None:
            return
        self._reporter = None
        if not reporter.active:
            return
        fields = {
            "path": bytes(self.path),
            "bytes": self._inner.offset - self._start,
            "seconds": reporter.clock.seconds() - self._started,
            "mode": self.mode,
        }
        if isinstance(reason, Truncated):
            reporter.tell("upload.truncated", transfer=self.transfer, **fields)
        else:
            reporter.tell("upload.aborted", transfer=self.transfer, code=code_of(reason), **fields)


@implementer(IHasFileno)
class PlainUploadHandle(UploadHandle):
    """A plain file that is written."""

    __slots__ = ()

    def fileno(self) -> int:
        """The inner file's descriptor."""
        return self._inner.fileno()  # type: ignore[attr-defined, no-any-return]


def wrap_read(inner: IReadFile, path: VirtualPath, reporter: Reporter) -> ReadHandle:
    """The handle that offers what ``inner`` does."""
    kind = PlainReadHandle if IHasFileno.providedBy(inner) else ReadHandle
    return kind(inner, path, reporter)


def wrap_upload(
    inner: IUpload,
    reporter: Reporter,
    charge: Charge | None = None,
    published: Published | None = None,
    same: Sequence[Unchanged] = (),
) -> UploadHandle:
    """The handle that offers what ``inner`` does."""
    kind = PlainUploadHandle if IHasFileno.providedBy(inner) else UploadHandle
    return kind(inner, reporter, charge, published, same)
