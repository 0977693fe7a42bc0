"""Bans and the failures that lead to them, in a SQLite file, which the processes of a daemon and ``xfer bans`` share.

A statement takes some microseconds on a local disk, and one that finds the file locked gives up
after BUSY_SECONDS: it may run in the reactor's thread.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from typing import Final, NamedTuple

from twisted_xfer.errors import StorageFailure

#: Bans in the file, and scores; the oldest go first. The same as of one process.
MAX_ROWS: Final = 10_000
#: A writer holds the file for much less.
BUSY_SECONDS: Final = 0.25
#: Who is kept out is nobody's business.
FILE_MODE: Final = 0o600
#: Old rows are counted once for so many new ones: a flood must not pay for each.
_TRIM_EVERY: Final = 100

#: Half-lives after which a score is as good as none.
_FADED: Final = 10

_SCHEMA: Final = """
create table if not exists bans (
    address text primary key, until real not null, added real not null, reason text not null
) without rowid;
create table if not exists scores (
    address text primary key, count real not null, updated real not null
) without rowid
"""


class Row(NamedTuple):
    """One ban: an address or IPv6 /64, and Unix seconds of its end and its beginning."""

    address: str
    until: float
    added: float
    reason: str


class BanStore:
    """The file at ``path``; it is made when it is missing.

    Raises:
        StorageFailure: it cannot be opened, or is something else. So do all methods when it fails.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._puts = self._scored = 0
        try:
            # Made here, for SQLite knows no mode.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))
        except OSError as error:
            raise StorageFailure(path, error.strerror or "", errno=error.errno) from error
        with self._failing():
            self._base = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        try:
            with self._failing():
                # A ban that a power cut forgets is no loss worth an fsync each.
                self._base.execute("pragma synchronous = off")
                for statement in _SCHEMA.split(";"):
                    self._base.execute(statement)
        except StorageFailure:
            self._base.close()
            raise
        self._version = -1

    def put(self, row: Row) -> None:
        """Add a ban, or replace the one of the same address."""
        with self._failing():
            self._base.execute("insert or replace into bans values (?, ?, ?, ?)", row)
            self._puts += 1
            if self._puts % _TRIM_EVERY == 1:
                self._base.execute(
                    "delete from bans where address in (select address from bans order by added desc limit -1 offset ?)",
                    (MAX_ROWS,),
                )

    def score(self, address: str, now: float, half_life: float) -> float:
        """Count one failure of ``address``; what it has now, all processes together.

        A count falls by half each ``half_life`` seconds.
        """
        with self._failing():
            self._base.execute("begin immediate")
            try:
                found = self._base.execute(
                    "select count, updated from scores where address = ?", (address,)
                ).fetchone()
                count, updated = found or (0.0, now)
                count = 1.0 + count * 0.5 ** (max(0.0, now - updated) / half_life)
                self._base.execute(
                    "insert or replace into scores values (?, ?, ?)", (address, count, max(now, updated))
                )
                self._scored += 1
                if self._scored % _TRIM_EVERY == 0:
                    self._trim_scores(now - _FADED * half_life)
            except BaseException:
                self._base.execute("rollback")
                raise
            self._base.execute("commit")
        return float(count)

    def _trim_scores(self, faded: float) -> None:
        self._base.execute("delete from scores where updated < ?", (faded,))
        self._base.execute(
            "delete from scores where address in (select address from scores order by updated desc limit -1 offset ?)",
            (MAX_ROWS,),
        )

    def forget(self, address: str) -> None:
        """Failures of ``address`` count no more."""
        with self._failing():
            self._base.execute("delete from scores where address = ?", (address,))

    def end(self, address: str, now: float) -> bool:
        """Let the ban of ``address`` be over; whether there was one.

        The row stays until ``expire``, so that some process of the daemon reports it.
        """
        with self._failing():
            ended = self._base.execute(
                "update bans set until = 0 where address = ? and until > ?", (address, now)
            )
            return ended.rowcount > 0

    def expire(self, now: float) -> list[str]:
        """Take out what is over, and tell it: to one of the processes that ask, and to no other."""
        with self._failing():
            found = self._base.execute("select 1 from bans where until <= ? limit 1", (now,)).fetchone()
            if found is None:
                return []
            gone = self._base.execute("delete from bans where until <= ? returning address", (now,))
            return [row[0] for row in gone.fetchall()]

    def rows(self, now: float) -> list[Row]:
        """What holds now, the oldest first; at most MAX_ROWS."""
        with self._failing():
            found = self._base.execute(
                "select address, until, added, reason from bans where until > ? order by added desc limit ?",
                (now, MAX_ROWS),
            )
            return [Row(*row) for row in reversed(found.fetchall())]

    def changed(self) -> bool:
        """Whether another process has written since the last time this was asked; true the first time."""
        with self._failing():
            version: int = self._base.execute("pragma data_version").fetchone()[0]
        if version == self._version:
            return False
        self._version = version
        return True

    def close(self) -> None:
        """Let go. May be called twice."""
        self._base.close()

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StorageFailure(self.path, str(error)) from error
