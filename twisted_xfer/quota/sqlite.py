"""A ledger in one SQLite file: it survives restarts, and all processes of a daemon share it.

Each process holds a lease: a row, and a lock on a file that the kernel releases when the process
ends in whatever way. What a dead process had set aside is given back by whoever notices first,
and every account that it touched has to be counted anew, since it may have died between a change
on the disk and its entry here.

Writes are one short transaction each in WAL mode, which waits for no disk; a power failure may
lose the last of them, so after a restart of the machine that found leases, all accounts are
counted anew. Everything happens in the thread that calls; a transaction takes some tens of
microseconds, and waits for those of other processes.
"""

from __future__ import annotations

import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from zope.interface import implementer

from twisted_xfer.errors import QuotaExceeded, StorageFailure
from twisted_xfer.interfaces import (
    ICountsAnew,
    IQuotaLedger,
    IReservation,
    QuotaScope,
    RandomBytes,
    Usage,
)
from twisted_xfer.quota.arithmetic import Standing, Tally, admit, grow
from twisted_xfer.quota.leases import Lease, boot_id

#: Seconds to wait for the transactions of other processes: they take microseconds, so a lock
#: that is held for longer is a fault to be told, not one to wait for.
BUSY_SECONDS: Final = 5.0
#: Ends of uploads and other changes that wait in memory for a disk with room, in one process.
MAX_OWED: Final = 10_000
#: Kept in the file; another number is another program's, or a later version's.
SCHEMA_VERSION: Final = 1

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS account (name BLOB PRIMARY KEY, bytes INTEGER NOT NULL,
    files INTEGER NOT NULL, changes INTEGER NOT NULL, exact INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lease (id TEXT PRIMARY KEY, boot TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS touched (lease TEXT NOT NULL, name BLOB NOT NULL,
    PRIMARY KEY (lease, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS claim (id INTEGER PRIMARY KEY, lease TEXT NOT NULL,
    reservation INTEGER NOT NULL, name BLOB NOT NULL, bytes INTEGER NOT NULL, files INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS claim_name ON claim (name);
CREATE INDEX IF NOT EXISTS claim_reservation ON claim (lease, reservation)
"""
_ADD: Final = (
    "INSERT INTO account VALUES (?, max(0, ?), max(0, ?), 1, 0) ON CONFLICT (name) DO UPDATE SET"
    " bytes = max(0, bytes + ?), files = max(0, files + ?), changes = changes + 1"
)
_TALLY: Final = (
    "SELECT coalesce((SELECT bytes FROM account WHERE name = :name), 0),"
    " coalesce((SELECT files FROM account WHERE name = :name), 0),"
    " (SELECT coalesce(sum(bytes), 0) FROM claim WHERE name = :name),"
    " (SELECT coalesce(sum(files), 0) FROM claim WHERE name = :name)"
)


def _key(name: str) -> bytes:
    """Names of accounts may hold surrogates, which SQLite's text does not."""
    return name.encode("utf-8", "surrogateescape")


@implementer(IReservation)
class SqliteReservation:
    """Room set aside in a SQLite ledger."""

    __slots__ = ("_ledger", "_number", "_scopes", "granted")

    def __init__(
        self, ledger: SqliteLedger, scopes: tuple[QuotaScope, ...], number: int, granted: int
    ) -> None:
        self._ledger: SqliteLedger | None = ledger
        self._scopes = scopes
        self._number = number
        self.granted = granted

    def extend(self, size: int) -> int:
        """At most ``size`` more. Raises QuotaExceeded, StorageFailure."""
        if self._ledger is None:
            return 0
        granted = self._ledger.extend(self._scopes, self._number, size, self.granted)
        self.granted += granted
        return granted

    def commit(self, actual: int, files: int = 1) -> None:
        """What was set aside becomes what is published. Raises StorageFailure."""
        ledger, self._ledger = self._ledger, None
        if ledger is not None:
            self.granted = 0
            ledger.settle(self._number, self._scopes, actual, files)

    def release(self) -> None:
        """Give it back. Raises StorageFailure."""
        ledger, self._ledger = self._ledger, None
        if ledger is not None:
            self.granted = 0
            ledger.settle(self._number, (), 0, 0)


@implementer(IQuotaLedger, ICountsAnew)
class SqliteLedger:
    """A ledger in the file ``path``, opened at its first use, so that a daemon may fork before.

    Args:
        path: the database; leases lie beside it in ``path`` + ``-leases``.
        random: names for leases.
        boot: tells which start of the machine this is.
    """

    def __init__(
        self, path: str, *, random: RandomBytes = os.urandom, boot: Callable[[], str] = boot_id
    ) -> None:
        self.path = path
        self._random = random
        self._boot = boot
        self._connection: sqlite3.Connection | None = None
        self._lease: Lease | None = None
        self._touched: set[str] = set()
        self._numbers = 0
        self._closed = False
        #: What happened and could not be written yet: (reservation or None, scopes' names, bytes, files).
        self._owed: deque[tuple[int | None, tuple[str, ...], int, int]] = deque()
        self._lost = False

    # --- the ledger --------------------------------------------------------------------------

    def reserve(
        self,
        username: str,
        size: int | None,
        *,
        limit_bytes: int | None,
        limit_files: int | None,
        also: Sequence[QuotaScope] = (),
        files: int = 1,
    ) -> SqliteReservation:
        """Set room aside. Raises QuotaExceeded, StorageFailure."""
        scopes = (QuotaScope(username, limit_bytes, limit_files), *also)

        def work(connection: sqlite3.Connection, lease: str) -> int:
            granted = admit(_standings(connection, scopes), size, files)
            connection.executemany(
                "INSERT INTO claim (lease, reservation, name, bytes, files) VALUES (?, ?, ?, ?, ?)",
                [(lease, self._numbers, _key(scope.name), granted, files) for scope in scopes],
            )
            return granted

        self._numbers += 1
        granted = self._patiently(scopes, work)
        return SqliteReservation(self, scopes, self._numbers, granted)

    def extend(self, scopes: Sequence[QuotaScope], number: int, size: int, own: int) -> int:
        """For a reservation. Raises QuotaExceeded, StorageFailure."""

        def work(connection: sqlite3.Connection, lease: str) -> int:
            granted = grow(_standings(connection, scopes), size, own)
            connection.execute(
                "UPDATE claim SET bytes = bytes + ? WHERE lease = ? AND reservation = ?",
                (granted, lease, number),
            )
            return granted

        return self._patiently(scopes, work)

    def settle(self, number: int, scopes: Sequence[QuotaScope], size: int, files: int) -> None:
        """The end of a reservation: drop its claims, and add to what is published."""
        self._enter(number, tuple(scope.name for scope in scopes), size, files)

    def adjust(self, username: str, size: int, files: int) -> None:
        """What is published changed."""
        self._enter(None, (username,), size, files)

    def _enter(self, number: int | None, names: tuple[str, ...], size: int, files: int) -> None:
        """Enter what has happened: if the file fails, as on a full disk, as soon as it works again.

        Raises:
            StorageFailure: too much waits already; the accounts are counted anew after a restart.
        """
        self._owed.append((number, names, size, files))
        try:
            connection, lease = self._open()
            self._pay(connection, lease.id)
        except (sqlite3.Error, OSError, StorageFailure) as error:
            if len(self._owed) > MAX_OWED:
                self._owed.pop()
                self._lost = True
                raise StorageFailure(self.path, f"quota ledger: {error}") from error

    def _pay(self, connection: sqlite3.Connection, lease: str) -> None:
        """Write what is owed, in one transaction."""
        with _transaction(connection):
            for number, names, size, files in self._owed:
                if number is not None:
                    connection.execute(
                        "DELETE FROM claim WHERE lease = ? AND reservation = ?", (lease, number)
                    )
                for name in names:
                    connection.execute("INSERT OR IGNORE INTO touched VALUES (?, ?)", (lease, _key(name)))
                    _add(connection, name, size, files)
        self._owed.clear()

    def usage(self, username: str) -> Usage:
        """What is used. Raises StorageFailure."""
        with self._writing() as (connection, _):
            tally = _tally(connection, username)
        return Usage(tally.bytes, tally.files, tally.reserved_bytes)

    # --- counting anew -------------------------------------------------------------------------

    def exact(self, name: str) -> bool:
        """Whether it has been counted since the last doubt. Raises StorageFailure."""
        with self._writing((name,)) as (connection, _):
            row = connection.execute("SELECT exact FROM account WHERE name = ?", (_key(name),)).fetchone()
        return row is not None and bool(row[0])

    def doubt(self, name: str) -> None:
        """It has to be counted again. Raises StorageFailure."""
        with self._writing((name,)) as (connection, _):
            _add(connection, name, 0, 0)
            connection.execute("UPDATE account SET exact = 0 WHERE name = ?", (_key(name),))

    def begin_count(self, name: str) -> int | None:
        """The number of changes so far. Raises StorageFailure."""
        with self._writing() as (connection, lease):
            self._reap(connection, lease)
            return _changes(connection, name)

    def end_count(self, name: str, size: int, files: int, began: int, also: Sequence[str] = ()) -> bool:
        """Take the count, unless something changed. Raises StorageFailure."""
        with self._writing((name, *also)) as (connection, _):
            if _changes(connection, name) != began:
                return False
            old = _tally(connection, name)
            for other in (name, *also):
                _add(connection, other, size - old.bytes, files - old.files)
            connection.execute("UPDATE account SET exact = 1 WHERE name = ?", (_key(name),))
        return True

    def close(self) -> None:
        """End the lease. May be called twice."""
        self._closed = True
        connection, self._connection = self._connection, None
        lease, self._lease = self._lease, None
        if connection is None or lease is None:
            return
        try:
            if self._owed:
                self._pay(connection, lease.id)
            with _transaction(connection):
                # Uploads that are still open do not end in order: as if the process had died.
                doubted = self._lost or _has_claims(connection, lease.id)
                _bury(connection, lease.id, doubted=doubted)
            connection.close()
        except sqlite3.Error as error:
            raise StorageFailure(self.path, f"quota ledger: {error}") from error
        finally:
            lease.end()

    # --- the file ------------------------------------------------------------------------------

    def _patiently(self, scopes: Sequence[QuotaScope], work: Callable[[sqlite3.Connection, str], int]) -> int:
        """Do it; where there is not enough, look first whether a dead process still holds some."""
        names = [scope.name for scope in scopes]
        try:
            with self._writing(names) as (connection, lease):
                return work(connection, lease)
        except QuotaExceeded:
            with self._writing() as (connection, lease):
                found = self._reap(connection, lease)
            if not found:
                raise
        with self._writing(names) as (connection, lease):
            return work(connection, lease)

    @contextmanager
    def _writing(self, names: Sequence[str] = ()) -> Iterator[tuple[sqlite3.Connection, str]]:
        """One transaction; ``names`` are entered as touched by this process."""
        try:
            connection, lease = self._open()
            if self._owed:
                self._pay(connection, lease.id)
            with _transaction(connection):
                new = [name for name in names if name not in self._touched]
                for name in new:
                    connection.execute("INSERT OR IGNORE INTO touched VALUES (?, ?)", (lease.id, _key(name)))
                yield connection, lease.id
            self._touched.update(new)
        except (sqlite3.Error, OSError) as error:
            raise StorageFailure(self.path, f"quota ledger: {error}") from error

    def _open(self) -> tuple[sqlite3.Connection, Lease]:
        if self._connection is not None and self._lease is not None:
            return self._connection, self._lease
        if self._closed:
            raise StorageFailure(self.path, "the quota ledger is closed")
        os.makedirs(os.path.dirname(os.path.abspath(self.path)), mode=0o700, exist_ok=True)
        lease = Lease(self.path + "-leases", self._random(8).hex())
        try:
            connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
            try:
                self._prepare(connection, lease)
            except BaseException:
                connection.close()
                raise
        except BaseException:
            lease.end()
            raise
        self._connection, self._lease = connection, lease
        return connection, lease

    def _prepare(self, connection: sqlite3.Connection, lease: Lease) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        with _transaction(connection):
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in {0, SCHEMA_VERSION}:
                raise StorageFailure(self.path, f"a quota ledger of version {version}, which is not ours")
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.execute("INSERT INTO lease VALUES (?, ?)", (lease.id, self._boot()))
            self._reap(connection, lease.id)

    def _reap(self, connection: sqlite3.Connection, own: str) -> bool:
        """Give back what dead processes held; whether there were any."""
        found = False
        boot = self._boot()
        for other, when in connection.execute("SELECT id, boot FROM lease WHERE id != ?", (own,)).fetchall():
            if Lease.is_held(self.path + "-leases", other):
                continue
            found = True
            _bury(connection, other, doubted=True)
            if when != boot:
                connection.execute("UPDATE account SET exact = 0, changes = changes + 1")
        return found


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _has_claims(connection: sqlite3.Connection, lease: str) -> bool:
    return connection.execute("SELECT 1 FROM claim WHERE lease = ? LIMIT 1", (lease,)).fetchone() is not None


def _bury(connection: sqlite3.Connection, lease: str, doubted: bool) -> None:
    """Drop a lease and what it held; ``doubted``: what it touched has to be counted anew."""
    if doubted:
        connection.execute(
            "UPDATE account SET exact = 0, changes = changes + 1"
            " WHERE name IN (SELECT name FROM touched WHERE lease = ?)",
            (lease,),
        )
    for table, column in (("claim", "lease"), ("touched", "lease"), ("lease", "id")):
        connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (lease,))  # noqa: S608 - our own names


def _tally(connection: sqlite3.Connection, name: str) -> Tally:
    row: Any = connection.execute(_TALLY, {"name": _key(name)}).fetchone()
    return Tally(*row)


def _standings(connection: sqlite3.Connection, scopes: Sequence[QuotaScope]) -> list[Standing]:
    return [Standing(scope, _tally(connection, scope.name)) for scope in scopes]


def _add(connection: sqlite3.Connection, name: str, size: int, files: int) -> None:
    connection.execute(_ADD, (_key(name), size, files, size, files))


def _changes(connection: sqlite3.Connection, name: str) -> int | None:
    """The number of changes; None while anything is set aside."""
    key = _key(name)
    if connection.execute("SELECT 1 FROM claim WHERE name = ? LIMIT 1", (key,)).fetchone():
        return None
    row = connection.execute("SELECT changes FROM account WHERE name = ?", (key,)).fetchone()
    return int(row[0]) if row is not None else 0
