"""The contract of a storage, executable: inherit it, say how to make one, run any test runner.

    class TestAcmeStorage(StorageContract):
        def make_storage(self) -> IStorage:
            return AcmeStorage(...)

The methods are plain; with unittest inherit from ``unittest.TestCase`` as well. Answers may be
values, coroutines or Deferreds that have fired: give a storage that waits for threads or a
network a runner that works at once. ``contracts_staging`` goes on where uploads are staged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

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
)
from twisted_xfer.interfaces import (
    Expected,
    IHasFileno,
    IListing,
    IReadFile,
    IStorage,
    IUpload,
    WriteIntent,
)
from twisted_xfer.paths import MAX_NAME, ROOT
from twisted_xfer.testing.storage_checks import (
    entries,
    equal,
    fails_with,
    get,
    path_of,
    put,
    value_of,
)


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
            equal(upload.offset, 6, "offset after the end, for events")
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
