"""Events that wait to be delivered, in a SQLite file that outlives the daemon.

Several processes may share one file: whoever claims an event delivers it, and has it to itself for
a while. A statement takes some microseconds on a local disk.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from typing import Final, NamedTuple

from twisted_xfer.errors import StorageFailure

#: The place of an outbox that is gone with the process.
IN_MEMORY: Final = ":memory:"
#: Events kept unless told otherwise: some ten MiB at most; past it the oldest go.
DEFAULT_MOST: Final = 10_000
#: Another process holds the file for much less.
BUSY_SECONDS: Final = 0.25
#: Events name accounts, files and addresses.
FILE_MODE: Final = 0o600

_SCHEMA: Final = """
create table if not exists outbox (
    id integer primary key autoincrement, key text not null, body blob not null,
    added real not null, tries integer not null default 0, due real not null
);
create index if not exists outbox_due on outbox (due);
"""


class Parcel(NamedTuple):
    """One event: its number in the file, a key that no other has, and what to deliver.

    ``added`` is in Unix seconds; ``tries`` counts failures.
    """

    id: int
    key: str
    body: bytes
    added: float
    tries: int


class OutboxStore:
    """The file at ``path``; it is made when it is missing. Holds the newest ``most`` events.

    Raises:
        StorageFailure: it cannot be opened, or is something else. So do all methods when it fails.
    """

    def __init__(self, path: str = IN_MEMORY, most: int = DEFAULT_MOST) -> None:
        self.path = path
        self._most = most
        #: Events that may be added before they are counted. Others that share the file have theirs,
        #: so that together they may go past the limit by what fits into it.
        self._room = 0
        if path != IN_MEMORY:
            try:
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))
            except OSError as error:
                raise StorageFailure(path, error.strerror or "", errno=error.errno) from error
        with self._failing():
            self._base = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            with self._failing():
                # What was written survives the death of the process; only a power cut may take the last.
                self._base.execute("pragma journal_mode = wal")
                self._base.execute("pragma synchronous = normal")
                self._base.executescript(_SCHEMA)
        except StorageFailure:
            self._base.close()
            raise

    def put(self, key: str, body: bytes, now: float) -> int:
        """Add an event; how many old ones were dropped for it."""
        with self._failing():
            self._base.execute(
                "insert into outbox (key, body, added, due) values (?, ?, ?, ?)", (key, body, now, now)
            )
            # Counted only when there may be too many: after a count, not before so many more have come.
            self._room -= 1
            if self._room >= 0:
                return 0
            self._room = self._most - self.count()
            if self._room >= 0:
                return 0
            # A thousandth more than needed, so that a full outbox is not counted for each event.
            spare = self._most // 1000
            dropped = self._base.execute(
                "delete from outbox where id in (select id from outbox order by id limit ?)",
                (spare - self._room,),
            )
            self._room = spare
            return dropped.rowcount

    def claim(self, now: float, lease: float) -> Parcel | None:
        """The oldest event that is due; nobody else gets it for ``lease`` seconds."""
        with self._failing():
            found = self._base.execute(
                "update outbox set due = ? where id = (select id from outbox where due <= ? order by id limit 1)"
                " returning id, key, body, added, tries",
                (now + lease, now),
            ).fetchall()
        return Parcel(*found[0]) if found else None

    def done(self, parcel: Parcel) -> None:
        """It was delivered, or never will be."""
        with self._failing():
            self._base.execute("delete from outbox where id = ?", (parcel.id,))

    def retry(self, parcel: Parcel, due: float, *, failed: bool = True) -> None:
        """It is to be claimed again from ``due`` on."""
        with self._failing():
            self._base.execute(
                "update outbox set due = ?, tries = tries + ? where id = ?", (due, int(failed), parcel.id)
            )

    def next_due(self) -> float | None:
        """When the next event is due, claimed ones included; None when it is empty."""
        with self._failing():
            due: float | None = self._base.execute("select min(due) from outbox").fetchone()[0]
            return due

    def count(self) -> int:
        """Events in it."""
        with self._failing():
            count: int = self._base.execute("select count(*) from outbox").fetchone()[0]
            return count

    def close(self) -> None:
        """Let go. May be called twice."""
        self._base.close()

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StorageFailure(self.path, str(error)) from error
