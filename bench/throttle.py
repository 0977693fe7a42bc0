"""`python -m bench.throttle`: bandwidth asked for and got, over ten seconds, by a real daemon.

Each row is a daemon of its own with one limit. Its sessions start together and move files that take
ten seconds at the rate; got is all their bytes over the time until the last one has its 226.
"""

from __future__ import annotations

import argparse
import ftplib
import io
import itertools
import platform
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from twisted_xfer.testing.server import XferServer

RESULTS: Final = Path("bench/results/throttle.md")
SECONDS: Final = 10.0
#: Of the rate: what the rows are to keep to.
TOLERANCE: Final = 0.05
#: The slowest session's time over the fastest one's.
FAIRNESS: Final = 1.10
BLOCK: Final = 64 * 1024
USERS: Final = 4
KEYS: Final = {"session": "session_", "account": "account_", "daemon": ""}


class Case(NamedTuple):
    """One row: whose limit, which way, how secure, how many sessions, bytes per second."""

    scope: str
    way: str
    secure: bool
    sessions: int
    rate: int

    @property
    def whole(self) -> int:
        """What all sessions together may move in a second."""
        return self.rate * self.sessions if self.scope == "session" else self.rate


class Got(NamedTuple):
    """What came of it."""

    rate: float
    fairness: float

    def fits(self, case: Case) -> bool:
        """Whether it is what was asked for."""
        return abs(self.rate / case.whole - 1) <= TOLERANCE and self.fairness <= FAIRNESS


def cases(slow: int, fast: int) -> list[Case]:
    """All rows."""
    ways, sessions = ("down", "up"), (1, 4)
    found = [
        Case(scope, way, secure, count, slow)
        for scope, way, secure, count in itertools.product(KEYS, ways, (False, True), sessions)
    ]
    return found + [
        Case("daemon", way, False, count, fast) for way, count in itertools.product(ways, sessions)
    ]


def measure(case: Case, seconds: float) -> Got:
    """Run one row."""
    size = int(case.whole * seconds / case.sessions)
    # The daemon's limit is shared by accounts, an account's by its sessions.
    users = [f"u{number if case.scope == 'daemon' else 0}" for number in range(case.sessions)]
    throttle = {f"{KEYS[case.scope]}{case.way}": case.rate}
    began: list[float] = []
    ended: list[float] = []
    failed: list[BaseException] = []
    with (
        tempfile.TemporaryDirectory(prefix="xfer-throttle-", dir="/dev/shm") as place,
        XferServer(
            users={f"u{number}": "secret" for number in range(USERS)},
            tls=case.secure,
            config={"throttle": throttle},
            directory=place,
        ) as server,
    ):
        together = threading.Barrier(case.sessions)

        def session(number: int, user: str) -> None:
            try:
                if case.way == "down":
                    (server.root / user / f"f{number}").write_bytes(bytes(size))
                ftp = ftplib.FTP_TLS(context=server.ssl_context()) if case.secure else ftplib.FTP()
                with ftp:
                    ftp.connect(server.host, server.port, timeout=60)
                    ftp.login(user, "secret")
                    if isinstance(ftp, ftplib.FTP_TLS):
                        ftp.prot_p()
                    together.wait(60)
                    began.append(time.monotonic())
                    if case.way == "down":
                        count = Count()
                        ftp.retrbinary(f"RETR f{number}", count.add, BLOCK)
                        arrived = count.bytes
                    else:
                        ftp.storbinary(f"STOR f{number}", io.BytesIO(bytes(size)), BLOCK)
                        arrived = (server.root / user / f"f{number}").stat().st_size
                    ended.append(time.monotonic())
                if arrived != size:
                    raise ValueError(f"{arrived} of {size} bytes")
            except BaseException as error:
                failed.append(error)
                together.abort()

        threads = [threading.Thread(target=session, args=one) for one in enumerate(users)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds * 3 + 120)
    if failed:
        raise failed[0]
    start = min(began)
    return Got(
        size * case.sessions / (max(ended) - start), (max(ended) - start) / max(min(ended) - start, 1e-9)
    )


class Count:
    """Bytes that came and went."""

    def __init__(self) -> None:
        self.bytes = 0

    def add(self, data: bytes) -> None:
        """More of them."""
        self.bytes += len(data)


def row(case: Case, got: Got) -> str:
    """One line of the table."""
    how = "TLS" if case.secure else "sendfile" if case.way == "down" else "splice"
    off = got.rate / case.whole - 1
    verdict = "yes" if got.fits(case) else "NO"
    return (
        f"| {case.scope} | {case.way} | {how} | {case.sessions} | {case.whole / 1e6:.0f} | {got.rate / 1e6:.2f} "
        f"| {off:+.1%} | {got.fairness:.2f} | {verdict} |"
    )


HEAD: Final = """\
# Throttle

`python -m bench.throttle`: {date}, Python {python}, {machine}. Each row runs for {seconds:.0f} s against a daemon with that one
limit in `[throttle]`; its sessions start together with files of the same size. Asked and got are MB/s, of all sessions together
(a session's limit holds for each). Fairness is the time of the slowest session over that of the fastest one, 1 is fair.
A row fits when got is within {tolerance:.0%} of asked and fairness at most {fairness:.2f}.

| limit of | way | by | sessions | asked | got | off | fairness | fits |
|---|---|---|---|---|---|---|---|---|
"""


def main(arguments: list[str] | None = None) -> int:
    """Run all rows and write the table; 1 when one does not fit."""
    parser = argparse.ArgumentParser(prog="python -m bench.throttle", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=SECONDS, metavar="S", help="of each row; 10")
    parser.add_argument(
        "--rate", type=int, default=10_000_000, metavar="B", help="bytes per second; 10000000"
    )
    parser.add_argument(
        "--fast", type=int, default=200_000_000, metavar="B", help="of the last rows; 200000000"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, metavar="FILE", help=str(RESULTS))
    chosen = parser.parse_args(arguments)
    head = HEAD.format(
        date=datetime.now(UTC).date(),
        python=platform.python_version(),
        machine=f"{platform.system()} {platform.machine()}",
        seconds=chosen.seconds,
        tolerance=TOLERANCE,
        fairness=FAIRNESS,
    )
    lines, good = [], True
    for case in cases(chosen.rate, chosen.fast):
        got = measure(case, chosen.seconds)
        good = good and got.fits(case)
        lines.append(row(case, got))
        print(lines[-1], flush=True)
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(head + "\n".join(lines) + "\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
