"""The contract of a storage, executable: inherit it, say how to make one, run any test runner.

    class TestAcmeStorage(StorageContract):
        def make_storage(self) -> IStorage:
            return AcmeStorage(...)

The methods are plain; with unittest inherit from ``unittest.TestCase`` as well. Answers may be
values, coroutines or Deferreds that have fired: give a storage that waits for threads or a
network a runner that works at once.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from twisted_xfer.errors import (
    AlreadyExists,
    Busy,
    DigestMismatch,
    DirectoryNotEmpty,
    ForbiddenPath,
    IsADirectory,
    NameInvalid,
    NotADirectory,
    NotFound,
    OffsetInvalid,
    PermissionDenied,
    Truncated,
    XferError,
)
from twisted_xfer.interfaces import (
    Eventually,
    Expected,
    FileInfo,
    IHasFileno,
    IListing,
    IReadFile,
    IStorage,
    IUpload,
    WriteIntent,
)
from twisted_xfer.paths import MAX_NAME, ROOT, VirtualPath

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
        return error
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


class StorageContract:
    """What every storage does."""

    def make_storage(self) -> IStorage:
        """A fresh, empty storage."""
        raise NotImplementedError

    def home(self, name: str) -> str:
        """The home of account ``name`` in the storage's own spelling."""
        return name

    def dispose(self) -> None:
        """Clean up after one test."""

    @contextmanager
    def opened(self) -> Iterator[tuple[IStorage, Callable[[str], IStorage]]]:
        """A view for ``alice``, and a way to get the same tree for other owners."""
        storage = self.make_storage()
        views: list[IStorage] = []

        def view(owner: str) -> IStorage:
            views.append(value_of(storage.view(self.home("shared"), owner=owner, create=True)))
            return views[-1]

        try:
            yield view("alice"), view
        finally:
            for one in [*views, storage, storage]:
                one.close()
            self.dispose()

    # --- shape -----------------------------------------------------------------------------

    def test_interfaces_are_provided(self) -> None:
        """The storage and what it opens provide their interfaces, and fileno as announced."""
        with self.opened() as (storage, _):
            verifyObject(IStorage, storage)
            upload = value_of(storage.open_write(path_of(b"/a"), WriteIntent()))
            verifyObject(IUpload, upload)
            has_fileno = "fileno" in storage.capabilities
            equal(IHasFileno.providedBy(upload), has_fileno, "fileno of uploads")
            value_of(upload.commit())
            file = value_of(storage.open_read(path_of(b"/a")))
            verifyObject(IReadFile, file)
            equal(IHasFileno.providedBy(file), has_fileno, "fileno of files")
            file.close()
            file.close()
            listing = value_of(storage.list(ROOT))
            verifyObject(IListing, listing)
            listing.close()
            listing.close()

    def test_view_needs_its_home(self) -> None:
        """A home that is missing is NotFound unless it may be created."""
        storage = self.make_storage()
        try:
            fails_with(NotFound, lambda: storage.view(self.home("nobody"), owner="nobody"))
            value_of(storage.view(self.home("somebody"), owner="somebody", create=True)).close()
            value_of(storage.view(self.home("somebody"), owner="somebody")).close()
        finally:
            storage.close()
            self.dispose()

    # --- whole files -----------------------------------------------------------------------

    def test_round_trip(self) -> None:
        """What is written is read, from any offset, and described."""
        with self.opened() as (storage, _):
            info = put(storage, b"/a.txt", b"hello world")
            equal((info.name, info.kind, info.size), (b"a.txt", "file", 11))
            equal(get(storage, b"/a.txt"), b"hello world")
            equal(get(storage, b"/a.txt", 6), b"world")
            equal(get(storage, b"/a.txt", 11), b"", "read at the end")
            error = fails_with(OffsetInvalid, lambda: storage.open_read(path_of(b"/a.txt"), 12))
            equal(error.fields.get("size"), 11, "field size")
            found = value_of(storage.stat(path_of(b"/a.txt")))
            equal((found.name, found.kind, found.size), (b"a.txt", "file", 11))
            equal(value_of(storage.stat(ROOT)).kind, "dir")

    def test_missing_things(self) -> None:
        """Missing files and parents are NotFound; a file is no directory."""
        with self.opened() as (storage, _):
            for path in (path_of(b"/no"), path_of(b"/no/such")):
                fails_with(NotFound, lambda p=path: storage.stat(p))  # type: ignore[misc]
                fails_with(NotFound, lambda p=path: storage.list(p))  # type: ignore[misc]
                fails_with(NotFound, lambda p=path: storage.open_read(p))  # type: ignore[misc]
                fails_with(NotFound, lambda p=path: storage.remove(p))  # type: ignore[misc]
                fails_with(NotFound, lambda p=path: storage.remove_directory(p))  # type: ignore[misc]
                fails_with(NotFound, lambda p=path: storage.rename(p, path_of(b"/x")))  # type: ignore[misc]
                fails_with(NotFound, lambda p=path: storage.set_times(p, 0))  # type: ignore[misc]
                fails_with(NotFound, lambda p=path: storage.set_mode(p, 0o600))  # type: ignore[misc]
            fails_with(NotFound, lambda: storage.open_write(path_of(b"/no/such"), WriteIntent()))
            fails_with(NotFound, lambda: storage.make_directory(path_of(b"/no/such")))
            put(storage, b"/file", b"x")
            fails_with(NotADirectory, lambda: storage.list(path_of(b"/file")))
            fails_with(NotADirectory, lambda: storage.stat(path_of(b"/file/x")))
            fails_with(NotADirectory, lambda: storage.open_write(path_of(b"/file/x"), WriteIntent()))
            fails_with(NotADirectory, lambda: storage.remove_directory(path_of(b"/file")))

    def test_any_byte_in_names(self) -> None:
        """Names are bytes: not UTF-8, with newlines, spaces and quotes, and up to MAX_NAME."""
        names = [b"\xff\xfe.bin", b"line\nfeed", b" lead", b"quo\"te'", b"-dash", b"n" * MAX_NAME]
        with self.opened() as (storage, _):
            for name in names:
                put(storage, b"/" + name, name)
            equal(sorted(entries(storage)), sorted(names), "listing")
            for name in names:
                equal(get(storage, b"/" + name), name)
                value_of(storage.remove(path_of(b"/" + name)))
            equal(entries(storage), {})

    def test_policies_for_a_taken_name(self) -> None:
        """Overwrite replaces, refuse fails before any byte, rename and unique find a free name."""
        with self.opened() as (storage, _):
            put(storage, b"/a.txt", b"one")
            put(storage, b"/a.txt", b"two")
            equal(get(storage, b"/a.txt"), b"two")
            refuse = WriteIntent(if_exists="refuse")
            fails_with(AlreadyExists, lambda: storage.open_write(path_of(b"/a.txt"), refuse))
            put(storage, b"/b.txt", b"new", refuse)
            renamed = put(storage, b"/a.txt", b"three", WriteIntent(if_exists="rename"))
            equal(renamed.name, b"a (1).txt")
            equal(put(storage, b"/a.txt", b"4", WriteIntent(if_exists="rename")).name, b"a (2).txt")
            equal((get(storage, b"/a.txt"), get(storage, b"/a (1).txt")), (b"two", b"three"))
            upload = value_of(storage.open_write(path_of(b"/a.txt"), WriteIntent(unique=True)))
            chosen = upload.path
            value_of(upload.write(b"unique"))
            equal(value_of(upload.commit()).name, chosen.name, "STOU keeps the name it told")
            equal(get(storage, bytes(chosen)), b"unique")
            equal(get(storage, b"/a.txt"), b"two")

    def test_commit_checks(self) -> None:
        """Size and digest are verified; times and mode are set."""
        with self.opened() as (storage, _):
            upload = value_of(storage.open_write(path_of(b"/a"), WriteIntent()))
            value_of(upload.write(b"abc"))
            fails_with(Truncated, lambda: upload.commit(Expected(size=4)))
            upload = value_of(storage.open_write(path_of(b"/a"), WriteIntent()))
            value_of(upload.write(b"abc"))
            fails_with(DigestMismatch, lambda: upload.commit(Expected(digest=("sha256", b"x" * 32))))
            value_of(upload.abort())
            upload = value_of(storage.open_write(path_of(b"/a"), WriteIntent()))
            value_of(upload.write(b"abc"))
            md5 = bytes.fromhex("900150983cd24fb0d6963f7d28e17f72")
            wanted = Expected(size=3, digest=("md5", md5), mtime_ns=1_000_000_000, mode=0o640)
            for info in (value_of(upload.commit(wanted)), value_of(storage.stat(path_of(b"/a")))):
                equal((info.size, info.mtime_ns, info.mode), (3, 1_000_000_000, 0o640))
            value_of(upload.abort())
            equal(get(storage, b"/a"), b"abc", "abort after commit")

    def test_write_accepts_any_buffer(self) -> None:
        """bytes, bytearray and memoryview; the position moves; all of it may be reserved."""
        with self.opened() as (storage, _):
            upload = value_of(storage.open_write(path_of(b"/a"), WriteIntent()))
            for piece in (b"ab", bytearray(b"cd"), memoryview(b"xefx")[1:3]):
                if not 1 <= upload.reserve(len(piece)) <= len(piece):
                    raise AssertionError("reserve() out of range")
                value_of(upload.write(piece))
            equal(upload.offset, 6)
            value_of(upload.commit())
            equal(get(storage, b"/a"), b"abcdef")

    # --- directories -----------------------------------------------------------------------

    def test_directories(self) -> None:
        """Directories are made, listed and removed only when empty; the root stays."""
        with self.opened() as (storage, _):
            value_of(storage.make_directory(path_of(b"/d")))
            value_of(storage.make_directory(path_of(b"/d/e")))
            put(storage, b"/d/f", b"x")
            fails_with(AlreadyExists, lambda: storage.make_directory(path_of(b"/d")))
            fails_with(AlreadyExists, lambda: storage.make_directory(path_of(b"/d/f")))
            fails_with(AlreadyExists, lambda: storage.make_directory(ROOT))
            equal({n: i.kind for n, i in entries(storage, b"/d").items()}, {b"e": "dir", b"f": "file"})
            fails_with(DirectoryNotEmpty, lambda: storage.remove_directory(path_of(b"/d")))
            fails_with(IsADirectory, lambda: storage.remove(path_of(b"/d")))
            fails_with(IsADirectory, lambda: storage.open_read(path_of(b"/d")))
            fails_with(IsADirectory, lambda: storage.open_write(path_of(b"/d"), WriteIntent()))
            fails_with(IsADirectory, lambda: storage.open_write(ROOT, WriteIntent()))
            fails_with(ForbiddenPath, lambda: storage.remove_directory(ROOT))
            value_of(storage.remove(path_of(b"/d/f")))
            value_of(storage.remove_directory(path_of(b"/d/e")))
            value_of(storage.remove_directory(path_of(b"/d")))
            equal(entries(storage), {})

    def test_listing_comes_in_batches(self) -> None:
        """No batch is over its limit, and together they are everything once."""
        with self.opened() as (storage, _):
            for number in range(23):
                put(storage, b"/f%02d" % number, b"x" * number)
            found = entries(storage, limit=10)
            equal({n: i.size for n, i in found.items()}, {b"f%02d" % n: n for n in range(23)})

    def test_rename(self) -> None:
        """Renaming moves, replaces a file, and refuses what cannot be."""
        with self.opened() as (storage, _):
            put(storage, b"/a", b"a")
            put(storage, b"/b", b"b")
            value_of(storage.make_directory(path_of(b"/d")))
            value_of(storage.rename(path_of(b"/a"), path_of(b"/d/a")))
            fails_with(NotFound, lambda: storage.stat(path_of(b"/a")))
            value_of(storage.rename(path_of(b"/b"), path_of(b"/d/a")))
            equal(get(storage, b"/d/a"), b"b", "replaced in one step")
            put(storage, b"/c", b"c")
            fails_with(IsADirectory, lambda: storage.rename(path_of(b"/c"), path_of(b"/d")))
            fails_with(NotADirectory, lambda: storage.rename(path_of(b"/d"), path_of(b"/c")))
            fails_with(ForbiddenPath, lambda: storage.rename(path_of(b"/d"), path_of(b"/d/x")))
            fails_with(ForbiddenPath, lambda: storage.rename(ROOT, path_of(b"/x")))
            fails_with(NotFound, lambda: storage.rename(path_of(b"/c"), path_of(b"/no/c")))
            value_of(storage.rename(path_of(b"/d"), path_of(b"/e")))
            equal(get(storage, b"/e/a"), b"b")

    def test_times_and_modes(self) -> None:
        """Both are set on files and directories; special bits are refused."""
        with self.opened() as (storage, _):
            put(storage, b"/a", b"a")
            value_of(storage.make_directory(path_of(b"/d")))
            for raw in (b"/a", b"/d"):
                path = path_of(raw)
                value_of(storage.set_times(path, 1_234_567_890_000_000_000))
                equal(value_of(storage.stat(path)).mtime_ns, 1_234_567_890_000_000_000)
                value_of(storage.set_mode(path, 0o750))
                equal(value_of(storage.stat(path)).mode, 0o750)
                fails_with(PermissionDenied, lambda p=path: storage.set_mode(p, 0o4755))  # type: ignore[misc]
                equal(value_of(storage.stat(path)).mode, 0o750)

    def test_reserved_names(self) -> None:
        """Names of parts do not exist and cannot be made, by any way."""
        reserved = path_of(b"/.a.0123456789abcdef.xpart")
        with self.opened() as (storage, _):
            put(storage, b"/a", b"a")
            fails_with(NameInvalid, lambda: storage.open_write(reserved, WriteIntent()))
            fails_with(NameInvalid, lambda: storage.make_directory(reserved))
            fails_with(NameInvalid, lambda: storage.rename(path_of(b"/a"), reserved))
            fails_with(NotFound, lambda: storage.stat(reserved))
            fails_with(NotFound, lambda: storage.open_read(reserved))
            fails_with(NotFound, lambda: storage.remove(reserved))
            put(storage, b"/plain.xpart", b"x")
            equal(sorted(entries(storage)), [b"a", b"plain.xpart"])

    # --- going on --------------------------------------------------------------------------

    def test_append_and_offset_go_on_with_the_old_file(self) -> None:
        """APPE continues the old file, an offset overwrites its rest; neither goes past the end."""
        with self.opened() as (storage, _):
            put(storage, b"/a", b"0123456789")
            put(storage, b"/a", b"ab", WriteIntent(append=True))
            equal(get(storage, b"/a"), b"0123456789ab")
            put(storage, b"/a", b"xy", WriteIntent(offset=4))
            equal(get(storage, b"/a"), b"0123xy")
            put(storage, b"/a", b"z", WriteIntent(offset=6))
            equal(get(storage, b"/a"), b"0123xyz")
            error = fails_with(
                OffsetInvalid, lambda: storage.open_write(path_of(b"/a"), WriteIntent(offset=8))
            )
            equal(error.fields.get("size"), 7, "field size")
            put(storage, b"/new", b"n", WriteIntent(append=True))
            equal(get(storage, b"/new"), b"n")
            fails_with(OffsetInvalid, lambda: storage.open_write(path_of(b"/newer"), WriteIntent(offset=1)))
            equal(sorted(entries(storage)), [b"a", b"new"])

    def test_one_upload_of_a_name_at_a_time(self) -> None:
        """A second upload of the same owner is Busy until the first has ended."""
        with self.opened() as (storage, view):
            upload = value_of(storage.open_write(path_of(b"/a"), WriteIntent()))
            fails_with(Busy, lambda: view("alice").open_write(path_of(b"/a"), WriteIntent()))
            value_of(upload.write(b"first"))
            value_of(upload.commit())
            put(storage, b"/a", b"second")
            equal(get(storage, b"/a"), b"second")


class StagedContract(StorageContract):
    """What a storage with capability ``resume`` and staged uploads does besides."""

    def test_nothing_shows_before_commit(self) -> None:
        """Until commit the old file is whole, and others see no trace of the upload."""
        with self.opened() as (storage, view):
            bob = view("bob")
            put(storage, b"/a", b"old")
            for path in (b"/a", b"/b"):
                upload = value_of(storage.open_write(path_of(path), WriteIntent()))
                value_of(upload.write(b"new and longer"))
                equal(sorted(entries(bob)), [b"a"])
                equal(get(bob, b"/a"), b"old")
                fails_with(NotFound, lambda: bob.stat(path_of(b"/b")))
                value_of(upload.abort())
                value_of(upload.abort())
            equal(get(storage, b"/a"), b"old")
            equal(sorted(entries(storage)), [b"a"])

    def test_owner_sees_and_resumes_the_part(self) -> None:
        """SIZE, REST+STOR and APPE take the kept part for the file."""
        with self.opened() as (storage, view):
            put_part(storage, b"/a", b"01234")
            again = view("alice")
            equal(value_of(again.stat(path_of(b"/a"))).size, 5)
            equal(entries(again)[b"a"].size, 5)
            equal(get(again, b"/a"), b"01234")
            error = fails_with(OffsetInvalid, lambda: again.open_write(path_of(b"/a"), WriteIntent(offset=6)))
            equal(error.fields.get("size"), 5, "field size")
            upload = value_of(again.open_write(path_of(b"/a"), WriteIntent(offset=5)))
            equal(upload.offset, 5)
            value_of(upload.write(b"56"))
            value_of(upload.suspend())
            value_of(upload.suspend())
            put_part(again, b"/a", b"7", WriteIntent(append=True))
            equal(value_of(again.stat(path_of(b"/a"))).size, 8)
            put(again, b"/a", b"xyz", WriteIntent(offset=2))
            equal(get(view("bob"), b"/a"), b"01xyz", "cut to the offset, then published")

    def test_others_do_not_see_the_part(self) -> None:
        """To another owner the name is free: missing, writable, and separate."""
        with self.opened() as (storage, view):
            put_part(storage, b"/a", b"secret")
            bob = view("bob")
            fails_with(NotFound, lambda: bob.stat(path_of(b"/a")))
            fails_with(NotFound, lambda: bob.open_read(path_of(b"/a")))
            fails_with(NotFound, lambda: bob.remove(path_of(b"/a")))
            fails_with(NotFound, lambda: bob.rename(path_of(b"/a"), path_of(b"/b")))
            fails_with(OffsetInvalid, lambda: bob.open_write(path_of(b"/a"), WriteIntent(offset=6)))
            equal(entries(bob), {})
            put(bob, b"/a", b"bob")
            equal(get(storage, b"/a"), b"bob")
            equal(value_of(storage.stat(path_of(b"/a"))).size, 6, "SIZE is still the part's")

    def test_an_old_file_beside_a_part(self) -> None:
        """The owner's SIZE is the part's; listing and reading keep to the whole file."""
        with self.opened() as (storage, _):
            put(storage, b"/a", b"whole old file")
            put_part(storage, b"/a", b"new")
            equal(value_of(storage.stat(path_of(b"/a"))).size, 3)
            equal(entries(storage)[b"a"].size, 14)
            equal(get(storage, b"/a"), b"whole old file")

    def test_a_fresh_upload_forgets_the_part(self) -> None:
        """STOR from the start begins anew."""
        with self.opened() as (storage, _):
            put_part(storage, b"/a", b"0123456789")
            put(storage, b"/a", b"new")
            equal(get(storage, b"/a"), b"new")
            equal(value_of(storage.stat(path_of(b"/a"))).size, 3)

    def test_parts_are_dropped(self) -> None:
        """By remove, by abort, and by suspend when there is nothing in them."""
        with self.opened() as (storage, _):
            put_part(storage, b"/a", b"part")
            value_of(storage.remove(path_of(b"/a")))
            fails_with(NotFound, lambda: storage.stat(path_of(b"/a")))
            put(storage, b"/a", b"file")
            put_part(storage, b"/a", b"part")
            value_of(storage.remove(path_of(b"/a")))
            fails_with(NotFound, lambda: storage.stat(path_of(b"/a")))
            put_part(storage, b"/a", b"")
            fails_with(NotFound, lambda: storage.stat(path_of(b"/a")))
            equal(entries(storage), {})

    def test_a_part_cannot_be_renamed_or_removed_under_an_upload(self) -> None:
        """A part is no file yet, and whoever writes it keeps it."""
        with self.opened() as (storage, _):
            upload = value_of(storage.open_write(path_of(b"/a"), WriteIntent()))
            value_of(upload.write(b"x"))
            fails_with(NotFound, lambda: storage.rename(path_of(b"/a"), path_of(b"/b")))
            fails_with(Busy, lambda: storage.remove(path_of(b"/a")))
            value_of(upload.commit())
            equal(get(storage, b"/a"), b"x")

    def test_a_failed_check_keeps_the_part(self) -> None:
        """Truncated leaves the part to resume, and the final name as it was."""
        with self.opened() as (storage, view):
            upload = value_of(storage.open_write(path_of(b"/a"), WriteIntent()))
            value_of(upload.write(b"abc"))
            fails_with(Truncated, lambda: upload.commit(Expected(size=6)))
            fails_with(NotFound, lambda: view("bob").stat(path_of(b"/a")))
            put(storage, b"/a", b"def", WriteIntent(offset=3))
            equal(get(storage, b"/a"), b"abcdef")

    def test_keys(self) -> None:
        """A part goes on only for the same source; the old file is never taken for the source."""
        with self.opened() as (storage, _):
            one, other = WriteIntent(append=True, key="one"), WriteIntent(append=True, key="other")
            put(storage, b"/a", b"old file")
            put_part(storage, b"/a", b"0123", WriteIntent(key="one"))
            upload = value_of(storage.open_write(path_of(b"/a"), one))
            equal(upload.offset, 4, "same key")
            value_of(upload.suspend())
            upload = value_of(storage.open_write(path_of(b"/a"), other))
            equal(upload.offset, 0, "another key")
            value_of(upload.write(b"ab"))
            value_of(upload.suspend())
            fails_with(
                OffsetInvalid, lambda: storage.open_write(path_of(b"/a"), WriteIntent(offset=2, key="one"))
            )
            put_part(storage, b"/a", b"0123", WriteIntent(key="one"))
            put_part(storage, b"/a", b"45", WriteIntent(offset=4))
            upload = value_of(storage.open_write(path_of(b"/a"), one))
            equal(upload.offset, 0, "an upload without a key unties the part from its source")
            value_of(upload.abort())

    def test_a_name_taken_meanwhile(self) -> None:
        """The policy is kept at commit too: refuse fails, rename moves on, nobody is overwritten."""
        with self.opened() as (storage, view):
            bob = view("bob")
            refused = value_of(storage.open_write(path_of(b"/a"), WriteIntent(if_exists="refuse")))
            value_of(refused.write(b"alice"))
            put(bob, b"/a", b"bob")
            fails_with(AlreadyExists, refused.commit)
            fails_with(
                AlreadyExists, lambda: storage.open_write(path_of(b"/a"), WriteIntent(if_exists="refuse"))
            )
            renamed = value_of(storage.open_write(path_of(b"/b"), WriteIntent(if_exists="rename")))
            value_of(renamed.write(b"alice"))
            put(bob, b"/b", b"bob")
            equal(value_of(renamed.commit()).name, b"b (1)")
            equal(renamed.path, path_of(b"/b (1)"))
            equal((get(bob, b"/a"), get(bob, b"/b"), get(bob, b"/b (1)")), (b"bob", b"bob", b"alice"))

    def test_long_names_have_parts(self) -> None:
        """The longest name leaves room for its part, and two that differ at the end do not meet."""
        first, second = b"/" + b"n" * (MAX_NAME - 1) + b"1", b"/" + b"n" * (MAX_NAME - 1) + b"2"
        with self.opened() as (storage, _):
            put_part(storage, first, b"first")
            put_part(storage, second, b"2nd")
            equal(value_of(storage.stat(path_of(first))).size, 5)
            put(storage, second, b"!", WriteIntent(append=True))
            put(storage, first, b"!", WriteIntent(append=True))
            equal((get(storage, first), get(storage, second)), (b"first!", b"2nd!"))

    def test_an_upload_outlives_the_view(self) -> None:
        """Logging out while an upload is being finished does not lose it."""
        with self.opened() as (_, view):
            carol = view("carol")
            upload = value_of(carol.open_write(path_of(b"/a"), WriteIntent()))
            value_of(upload.write(b"late"))
            carol.close()
            value_of(upload.commit())
            equal(get(view("bob"), b"/a"), b"late")
