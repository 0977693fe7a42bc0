"""The contract of a storage whose uploads are staged and can be resumed."""

from __future__ import annotations

from zope.interface.verify import verifyObject

from twisted_xfer.errors import AlreadyExists, Busy, NotFound, OffsetInvalid, Truncated
from twisted_xfer.interfaces import Expected, IHasParts, IStoresNew, NewFile, WriteIntent
from twisted_xfer.paths import MAX_NAME
from twisted_xfer.testing.contracts_storage import StorageContract
from twisted_xfer.testing.storage_checks import (
    entries,
    equal,
    fails_with,
    get,
    path_of,
    put,
    put_part,
    value_of,
)


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
            equal(value_of(again.stat(path_of(b"/a"))).kept, True, "stat says that it is a part")
            equal(entries(again)[b"a"].kept, True, "a listing says that it is a part")
            file = value_of(again.open_read(path_of(b"/a")))
            equal(file.info.kept, True, "whoever opens it is told that it is a part")
            file.close()
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
            equal(value_of(bob.stat(path_of(b"/a"))).size, 3, "what is published is what SIZE says, to both")
            equal(value_of(storage.stat(path_of(b"/a"))).size, 3)

    def test_an_old_file_beside_a_part(self) -> None:
        """Where a file is published, everything is told of it, and APPE goes on from it."""
        with self.opened() as (storage, _):
            put(storage, b"/a", b"whole old file")
            put_part(storage, b"/a", b"new")
            equal(value_of(storage.stat(path_of(b"/a"))).size, 14)
            equal(entries(storage)[b"a"].size, 14)
            equal(value_of(storage.stat(path_of(b"/a"))).kept, False, "stat says that it is no part")
            equal(entries(storage)[b"a"].kept, False, "a listing says that it is no part")
            equal(get(storage, b"/a"), b"whole old file")
            put(storage, b"/a", b"!", WriteIntent(append=True))
            equal(get(storage, b"/a"), b"whole old file!")
            put_part(storage, b"/a", b"new")
            put(storage, b"/a", b"ER", WriteIntent(offset=5))
            equal(get(storage, b"/a"), b"wholeER")

    def test_what_is_published_is_told_apart_from_parts(self) -> None:
        """published() sees no part; replaced is the size of the old file at the moment of publishing."""
        with self.opened() as (storage, view):
            parts = IHasParts(storage)
            equal(value_of(parts.published(path_of(b"/a"))), None)
            equal(value_of(parts.published(path_of(b"/none/a"))), None)
            put_part(storage, b"/a", b"0123456789")
            equal(value_of(parts.published(path_of(b"/a"))), None, "only a part")
            upload = value_of(storage.open_write(path_of(b"/a"), WriteIntent(append=True)))
            value_of(upload.commit())
            equal(getattr(upload, "replaced", "missing"), None, "nothing replaced")
            equal(value_of(parts.published(path_of(b"/a"))), 10)
            for follow in (True, False):
                equal(value_of(parts.published(path_of(b"/a"), follow)), 10)
            late = value_of(storage.open_write(path_of(b"/a"), WriteIntent()))
            value_of(late.write(b"abc"))
            equal(value_of(parts.published(path_of(b"/a"))), 10, "under way")
            value_of(storage.rename(path_of(b"/a"), path_of(b"/b")))
            put(view("bob"), b"/a", b"1234567")
            value_of(late.commit())
            equal(getattr(late, "replaced", "missing"), 7, "what bob has put there meanwhile")
            equal(value_of(parts.published(path_of(b"/a"))), 3)
            value_of(storage.make_directory(path_of(b"/d")))
            equal(value_of(parts.published(path_of(b"/d"))), None, "a directory")

    def test_small_new_files_stored_at_once(self) -> None:
        """Where a storage can: as uploads would publish them, or not touched at all, and a part stays what it is."""
        with self.opened() as (storage, view):
            if not IStoresNew.providedBy(storage):
                return
            verifyObject(IStoresNew, storage)
            value_of(storage.make_directory(path_of(b"/d")))
            put_part(storage, b"/part", b"begun")
            put(storage, b"/old", b"old")
            new = [NewFile(path_of(name), name, 0o640, 5_000_000_000) for name in (b"/d/a", b"/b")]
            stored = storage.store_new(new)
            for one in new[:stored]:
                info = value_of(storage.stat(one.path))
                equal((info.kind, info.size, info.mtime_ns), ("file", len(one.data), 5_000_000_000))
                equal(get(view("bob"), bytes(one.path)), one.data)
            for one in new[stored:]:
                fails_with(NotFound, lambda one=one: storage.stat(one.path))  # type: ignore[misc]
            before = entries(storage)
            for name in (b"/", b"/part", b"/old", b"/d", b"/none/x", b"/old/x"):
                equal(storage.store_new([NewFile(path_of(name), b"new"), NewFile(path_of(b"/z"), b"z")]), 0)
            equal(entries(storage), before, "entries")
            equal(get(storage, b"/old"), b"old")
            equal(get(storage, b"/part"), b"begun")

    def test_counting_what_is_published(self) -> None:
        """Bytes and files at and below a path, parts of anybody aside."""
        with self.opened() as (storage, view):
            verifyObject(IHasParts, storage)
            parts = IHasParts(storage)

            def count(path: bytes) -> object:
                return value_of(parts.count(path_of(path)))

            equal(count(b"/"), (0, 0))
            value_of(storage.make_directory(path_of(b"/d")))
            value_of(storage.make_directory(path_of(b"/d/e")))
            for path, size in ((b"/a", 1), (b"/d/b", 10), (b"/d/e/c", 100)):
                put(storage, path, b"x" * size)
            put_part(storage, b"/d/part", b"mine")
            put_part(view("bob"), b"/d/part", b"theirs")
            equal(count(b"/"), (111, 3))
            equal(count(b"/d"), (110, 2))
            equal(count(b"/a"), (1, 1), "a file")
            equal(count(b"/d/part"), (0, 0), "a part")
            equal(count(b"/none/at/all"), (0, 0))
            equal(count(b"/a/below"), (0, 0))

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
