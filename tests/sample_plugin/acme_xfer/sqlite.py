"""The ``sqlite`` storage: small files in one SQLite database.

Written plainly, one blocking call after the other: the plugin puts the daemon's ``ThreadedStorage``
around it, which runs every operation in the disk pool.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import attrs
from zope.interface import implementer

from acme_xfer.sqlite_files import SqliteListing, SqliteReadFile, SqliteUpload
from twisted_xfer.errors import (
    AlreadyExists,
    Busy,
    DirectoryNotEmpty,
    ForbiddenPath,
    IsADirectory,
    NameInvalid,
    NotADirectory,
    NotFound,
    OffsetInvalid,
    PermissionDenied,
    StorageFailure,
)
from twisted_xfer.interfaces import API_VERSION, FileInfo, IHost, IStorage, IStoragePlugin, WriteIntent
from twisted_xfer.paths import VirtualPath
from twisted_xfer.storage.local_upload import MAX_RENAMES, numbered
from twisted_xfer.storage.parts import is_part_name
from twisted_xfer.storage.threaded import ThreadedStorage

#: ``path`` is absolute, and the empty blob for the root; ``data`` is NULL for directories.
SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (
    path BLOB PRIMARY KEY, parent BLOB, data BLOB, mtime_ns INTEGER NOT NULL, mode INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_parent ON entry (parent);
"""


class Database:
    """One connection, used by one thread at a time, and the names that are being uploaded."""

    def __init__(self, path: str, largest: int, host: IHost) -> None:
        self.largest = largest
        self.host = host
        self.uploads: set[tuple[str, bytes]] = set()
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.executescript(SCHEMA)

    @contextmanager
    def changes(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it or, if anything is raised, nothing."""
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                self._rollback()
                raise StorageFailure(None, f"database: {type(error).__name__}") from error
            except BaseException:
                self._rollback()
                raise

    def _rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def now_ns(self) -> int:
        return int(self.host.wall_time() * 1e9)

    def close(self) -> None:
        with self._lock:
            self._connection.close()


@implementer(IStorage)
class SqliteStorage:
    """A view of the tree below ``home``, for one owner."""

    capabilities = frozenset({"append", "chmod", "utime", "unique"})

    def __init__(self, database: Database, home: bytes = b"", owner: str = "", *, view: bool = False) -> None:
        self._database = database
        self._home = home
        self._owner = owner
        self._is_view = view

    def view(self, home: str, *, owner: str, create: bool = False) -> "SqliteStorage":
        """The tree below ``home``, which is a path in the database."""
        path = VirtualPath.parse(home.encode("utf-8", "surrogateescape"))
        with self._database.changes() as sql:
            for depth in range(len(path.parts) + 1):
                key = key_of(b"", VirtualPath(path.parts[:depth]))
                if not sql.execute("SELECT 1 FROM entry WHERE path = ?", (key,)).fetchone():
                    if not create:
                        raise NotFound(bytes(path))
                    self._insert(sql, key, None)
        return SqliteStorage(self._database, key_of(b"", path), owner, view=True)

    def close(self) -> None:
        """Views share the connection; the storage itself closes it."""
        if not self._is_view:
            self._database.close()

    # --- rows ------------------------------------------------------------------------------

    def _insert(
        self, sql, key: bytes, data: bytes | None, mode: int = 0o755, mtime_ns: int | None = None
    ) -> None:
        row = (key, parent_of(key), data, self._database.now_ns() if mtime_ns is None else mtime_ns, mode)
        sql.execute("INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?)", row)

    def _find(self, sql, path: VirtualPath) -> FileInfo | None:
        """What is there; NotFound or NotADirectory if there is no directory for it to be in."""
        row = sql.execute(
            "SELECT length(data), mtime_ns, mode FROM entry WHERE path = ?", (key_of(self._home, path),)
        ).fetchone()
        if row is not None:
            size, mtime_ns, mode = row
            return FileInfo(path.name, "dir" if size is None else "file", size or 0, mtime_ns, mode)
        if path.parts and self._need(sql, path.parent).kind != "dir":
            raise NotADirectory(bytes(path))
        return None

    def _need(self, sql, path: VirtualPath) -> FileInfo:
        info = self._find(sql, path)
        if info is None:
            raise NotFound(bytes(path))
        return info

    # --- looking and reading ---------------------------------------------------------------

    def stat(self, path: VirtualPath) -> FileInfo:
        with self._database.changes() as sql:
            return self._need(sql, path)

    def list(self, path: VirtualPath) -> SqliteListing:
        key = key_of(self._home, path)
        with self._database.changes() as sql:
            if self._need(sql, path).kind != "dir":
                raise NotADirectory(bytes(path))
            query = "SELECT path, length(data), mtime_ns, mode FROM entry WHERE parent = ? ORDER BY path"
            rows = sql.execute(query, (key,)).fetchall()
        return SqliteListing(
            [
                FileInfo(row[len(key) + 1 :], "dir" if size is None else "file", size or 0, mtime_ns, mode)
                for row, size, mtime_ns, mode in rows
            ]
        )

    def open_read(self, path: VirtualPath, offset: int = 0) -> SqliteReadFile:
        with self._database.changes() as sql:
            info = self._need(sql, path)
            if info.kind == "dir":
                raise IsADirectory(bytes(path))
            if offset > info.size:
                raise OffsetInvalid(bytes(path), size=info.size)
            return SqliteReadFile(info, self._data(sql, path), offset)

    def _data(self, sql, path: VirtualPath) -> bytes:
        query = "SELECT data FROM entry WHERE path = ?"
        return sql.execute(query, (key_of(self._home, path),)).fetchone()[0]

    # --- writing ---------------------------------------------------------------------------

    def open_write(self, path: VirtualPath, intent: WriteIntent) -> SqliteUpload:
        """Everything that can be refused is refused here, before the first byte."""
        refuse_part_name(path)
        if intent.unique:
            suffix = b"." + self._database.host.random(8).hex().encode()
            path = path.parent.child(path.name[: 255 - len(suffix)] + suffix)
        with self._database.changes() as sql:
            old = self._find(sql, path)
            if old is not None and old.kind == "dir":
                raise IsADirectory(bytes(path))
            if old is not None and intent.if_exists != "overwrite":
                path, old = self._other_name(sql, path, intent), None
            there = old.size if old is not None else 0
            offset = there if intent.append else intent.offset
            if offset > there:
                raise OffsetInvalid(bytes(path), size=there)
            begin = self._data(sql, path)[:offset] if offset else b""
        upload = (self._owner, key_of(self._home, path))
        if upload in self._database.uploads:
            raise Busy(bytes(path), "another upload of this name is under way")
        self._database.uploads.add(upload)
        return SqliteUpload(
            path,
            begin,
            largest=self._database.largest,
            publish=lambda data, expected: self._publish(path, intent, data, expected),
            ended=lambda: self._database.uploads.discard(upload),
        )

    def _other_name(self, sql, path: VirtualPath, intent: WriteIntent) -> VirtualPath:
        if intent.if_exists == "rename":
            for number in range(1, MAX_RENAMES):
                other = path.parent.child(numbered(path.name, number))
                if self._find(sql, other) is None:
                    return other
        raise AlreadyExists(bytes(path))

    def _publish(self, path: VirtualPath, intent: WriteIntent, data: bytes, expected) -> FileInfo:
        """In one transaction: meanwhile somebody may have made a file or a directory of this name."""
        with self._database.changes() as sql:
            old = self._find(sql, path)
            if old is not None and old.kind == "dir":
                raise IsADirectory(bytes(path))
            if old is not None and (intent.unique or intent.if_exists != "overwrite"):
                raise AlreadyExists(bytes(path))
            mode = old.mode if old is not None else 0o644
            if expected is not None and expected.mode is not None:
                mode = expected.mode & 0o777
            mtime_ns = expected.mtime_ns if expected is not None else None
            self._insert(sql, key_of(self._home, path), data, mode, mtime_ns)
            return self._need(sql, path)

    # --- changing --------------------------------------------------------------------------

    def make_directory(self, path: VirtualPath) -> None:
        refuse_part_name(path)
        with self._database.changes() as sql:
            if self._find(sql, path) is not None:
                raise AlreadyExists(bytes(path))
            self._insert(sql, key_of(self._home, path), None)

    def remove(self, path: VirtualPath) -> None:
        with self._database.changes() as sql:
            if self._need(sql, path).kind == "dir":
                raise IsADirectory(bytes(path))
            sql.execute("DELETE FROM entry WHERE path = ?", (key_of(self._home, path),))

    def remove_directory(self, path: VirtualPath) -> None:
        key = key_of(self._home, path)
        with self._database.changes() as sql:
            if not path.parts:
                raise ForbiddenPath(bytes(path), "the root")
            if self._need(sql, path).kind != "dir":
                raise NotADirectory(bytes(path))
            if sql.execute("SELECT 1 FROM entry WHERE parent = ?", (key,)).fetchone():
                raise DirectoryNotEmpty(bytes(path))
            sql.execute("DELETE FROM entry WHERE path = ?", (key,))

    def rename(self, source: VirtualPath, target: VirtualPath) -> None:
        refuse_part_name(target)
        if not source.parts or not target.parts:
            raise ForbiddenPath(b"/", "the root")
        before, after = key_of(self._home, source), key_of(self._home, target)
        with self._database.changes() as sql:
            info = self._need(sql, source)
            if target == source:
                return
            if target.is_within(source):
                raise ForbiddenPath(bytes(target), "a directory cannot move into itself")
            old = self._find(sql, target)
            if old is not None and old.kind != info.kind:
                raise (IsADirectory if old.kind == "dir" else NotADirectory)(bytes(target))
            if old is not None and sql.execute("SELECT 1 FROM entry WHERE parent = ?", (after,)).fetchone():
                raise DirectoryNotEmpty(bytes(target))
            sql.execute("DELETE FROM entry WHERE path = ?", (after,))
            below = "SELECT path FROM entry WHERE path = ?1 OR substr(path, 1, ?2) = ?3"
            rows = sql.execute(below, (before, len(before) + 1, before + b"/")).fetchall()
            for (path,) in rows:
                moved = after + path[len(before) :]
                change = "UPDATE entry SET path = ?, parent = ? WHERE path = ?"
                sql.execute(change, (moved, parent_of(moved), path))

    def set_times(self, path: VirtualPath, mtime_ns: int) -> None:
        self._set(path, "UPDATE entry SET mtime_ns = ? WHERE path = ?", mtime_ns)

    def set_mode(self, path: VirtualPath, mode: int) -> None:
        if mode & ~0o777:
            raise PermissionDenied(bytes(path), "set-uid, set-gid and sticky are refused")
        self._set(path, "UPDATE entry SET mode = ? WHERE path = ?", mode)

    def _set(self, path: VirtualPath, change: str, value: int) -> None:
        with self._database.changes() as sql:
            self._need(sql, path)
            sql.execute(change, (value, key_of(self._home, path)))


def key_of(home: bytes, path: VirtualPath) -> bytes:
    """The path in the database: ``/alice/pub/a.txt``, and empty for the root."""
    return b"/".join((home, *path.parts))


def parent_of(key: bytes) -> bytes | None:
    """The directory of an entry; the root is in none."""
    return key.rpartition(b"/")[0] if key else None


def refuse_part_name(path: VirtualPath) -> None:
    """Every storage keeps the names of parts free, so that trees can move between storages."""
    if is_part_name(path.name):
        raise NameInvalid(bytes(path), "reserved for parts")


@attrs.frozen
class SqliteOptions:
    """``database``: its file. ``largest``: bytes of one file, as each is read and written whole."""

    database: str = ":memory:"
    largest: int = 16 * 1024 * 1024


@implementer(IStoragePlugin)
class SqlitePlugin:
    """What the daemon sees."""

    name = "sqlite"
    api_version = API_VERSION
    options = SqliteOptions

    def describe(self) -> str:
        return "small files in one SQLite database"

    def open(self, options: SqliteOptions, host: IHost) -> IStorage:
        database = Database(options.database, options.largest, host)
        return ThreadedStorage(SqliteStorage(database), host.blocking)


plugin = SqlitePlugin()
