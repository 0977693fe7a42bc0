"""`python -m bench.kills`: uploads that are killed at random points, and what they leave behind.

A daemon serves accounts with a quota from a small disk of its own; each account uploads one file at
a time, again and again, eight accounts at once. Every upload meets one of three ends: its client is
killed after a random number of bytes; the daemon is killed (-9), with all its uploads; the disk
is full. What a client left as a part is resumed by the next one. After each batch every file under
a final name must be, byte for byte, a version that was sent whole; at the end the quota ledger
must agree with the disk. Points are drawn from a seed; what the scheduler adds to them is not.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import ftplib
import json
import os
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Final, NamedTuple

from twisted_xfer.testing.daemon import Daemon

ENDS: Final = ("client killed", "server killed", "disk full")
SIZES: Final = (1, 600_000)
CHUNK: Final = 16 * 1024
DISK: Final = 64 << 20
TIMEOUT: Final = 30
#: A batch may kill nobody (all were too fast): so many are enough for any count.
BATCHES_PER_KILL: Final = 20
XFER: Final = "from twisted_xfer.cli.main import main; main()"
CONFIG: Final = """
root = "{place}/root"
listen = ["ftp=tcp:0:interface=127.0.0.1"]
auth = ["memory:{auth}"]
grace = 2
[quota]
file = "{place}/quota.sqlite"
{accounts}
"""
# How a client ends; a signal is -9.
WELL, REFUSED, LOST = 0, 3, 4


class Job(NamedTuple):
    """One upload: ``drop`` are files to delete before; at ``point`` bytes it dies, or tells and goes on."""

    name: str
    data: bytes
    drop: tuple[str, ...]
    end: str
    point: int
    pause: float
    announce: bool


class Wrong(Exception):
    """A file under a final name is what nobody sent, or the ledger is off."""


def client(address: tuple[str, int], user: str, job: Job, tell: int) -> int:
    """One upload, in a process of its own."""
    ftp = ftplib.FTP(timeout=TIMEOUT)
    try:
        ftp.connect(*address)
        ftp.login(user, "secret")
        ftp.voidcmd("TYPE I")
        for name in job.drop:
            ftp.delete(name)
        there = 0
        with contextlib.suppress(ftplib.error_perm):
            # The whole of a published file is no part: then the upload begins anew.
            there = ftp.size(job.name) or 0
        rest = there if job.name.startswith("new") and 0 < there < len(job.data) else None
        if job.announce:
            ftp.voidcmd(f"ALLO {len(job.data)}")
        data = ftp.transfercmd(f"STOR {job.name}", rest)
        sent = rest or 0
        point = max(job.point, sent)
        while sent < len(job.data):
            upto = min(len(job.data), sent + CHUNK, point if sent < point else len(job.data))
            data.sendall(job.data[sent:upto])
            sent = upto
            if sent == point:
                at_point(job, tell)
        data.close()
        if point >= len(job.data):
            at_point(job, tell)
        ftp.voidresp()
    except ftplib.Error:
        return REFUSED
    except (OSError, EOFError):
        return LOST
    return WELL


def at_point(job: Job, tell: int) -> None:
    """Where the seed said."""
    if job.end == "client killed":
        time.sleep(job.pause)
        os.kill(os.getpid(), signal.SIGKILL)
    os.write(tell, b"!")


class Account:
    """One account: what is published in its home, and what it uploads until that is published."""

    def __init__(self, number: int, seed: int, *, announce: bool) -> None:
        self.user = f"u{number}"
        self._announce = announce
        self._random = random.Random(f"{seed}/{number}")
        self.published: dict[str, bytes] = {}
        self.drop: tuple[str, ...] = ()
        self._made = 0
        self._next()

    def _next(self) -> None:
        """In turn a new version of one of two files, and a new name."""
        self._made += 1
        kind = self._made % 4
        self.name = f"old{kind}" if kind < 2 else f"new{self._made}"
        self.data = self._random.randbytes(self._random.randint(*SIZES))

    def job(self, end: str) -> Job:
        """What its next client is to do."""
        # A third dies around the end, where publishing is: the rest anywhere.
        point = len(self.data) if self._random.random() < 1 / 3 else self._random.randint(0, len(self.data))
        return Job(
            self.name, self.data, self.drop, end, point, self._random.choice((0, 0.002, 0.01)), self._announce
        )

    def look(self, home: Path, ended: int) -> None:
        """Compare the home with what may be there after a client that ended so.

        Raises:
            Wrong: it differs.
        """
        found = {path.name: path.read_bytes() for path in home.iterdir()} if home.is_dir() else {}
        parts = [name for name in found if name.startswith(".") and name.endswith(".xpart")]
        for name in parts:
            del found[name]
        # A client that was killed before its DELE, or while it, has deleted or not.
        before = {
            name: data for name, data in self.published.items() if name in found or name not in self.drop
        }
        after = {**before, self.name: self.data}
        if len(parts) > 1 or found not in {WELL: (after,), REFUSED: (before,)}.get(ended, (before, after)):
            sizes = {name: len(data) for name, data in found.items()}
            raise Wrong(
                f"{self.user}: {sizes} {parts} after {self.name} ({len(self.data)} bytes), end {ended}"
            )
        self.published = found
        # New names go again, by FTP, for the disk not to fill up with them.
        self.drop = tuple(name for name in found if name.startswith("new"))
        if found.get(self.name) == self.data:
            self._next()


class Run:
    """All batches."""

    def __init__(self, place: Path, *, seed: int, at_once: int, announce: int) -> None:
        self.place = place
        self.random = random.Random(seed)
        self.accounts = [Account(number, seed, announce=number < announce) for number in range(at_once)]
        self.count: Counter[str] = Counter()
        self.config = place / "xfer.toml"
        (place / "root").mkdir()
        self.config.write_text(
            CONFIG.format(
                place=place,
                auth=":".join(f"{one.user}:secret" for one in self.accounts),
                accounts="\n".join(f'[accounts.{one.user}]\nquota_bytes = "1G"' for one in self.accounts),
            )
        )
        self.daemon = self._daemon()

    def _daemon(self) -> Daemon:
        return Daemon(["--config", str(self.config)]).start()

    def close(self) -> None:
        """End the daemon, whatever happened."""
        self.daemon.close()

    def batch(self, end: str) -> int:
        """One upload of each account at once; answers how many of them met ``end``."""
        listens, tell = os.pipe()
        address = self.daemon.address("ftp")
        filler = self.place / "filler"
        if end == "disk full":
            self._fill(filler)
        waiting = {}
        for account in self.accounts:
            job = account.job(end)
            pid = os.fork()
            if not pid:
                ended = 99
                try:
                    os.close(listens)
                    ended = client(address, account.user, job, tell)
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(ended)
            waiting[pid] = account
        os.close(tell)
        if end == "server killed":
            # Whoever is the n-th to reach its point takes all others along.
            for _ in range(self.random.randint(1, len(self.accounts))):
                select.select([listens], [], [], TIMEOUT)
                os.read(listens, 1)
            time.sleep(self.random.random() * 0.005)
            self.daemon.kill()
        ended = {}
        for pid, account in waiting.items():
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            if status not in {WELL, REFUSED, LOST, -signal.SIGKILL}:
                raise RuntimeError(f"a client ended with {status}")
            ended[account] = status
        os.close(listens)
        if end == "server killed":
            self.daemon.close()
        else:
            self._quiet(address[1])
        for account, status in ended.items():
            account.look(self.place / "root" / account.user, status)
        filler.unlink(missing_ok=True)
        if end == "server killed":
            self.daemon = self._daemon()
        killed = {"client killed": -signal.SIGKILL, "server killed": LOST, "disk full": REFUSED}[end]
        met = sum(status == killed for status in ended.values())
        self.count["ended well"] += sum(status == WELL for status in ended.values())
        self.count[end] += met
        self.count["parts left"] += sum(1 for _ in (self.place / "root").glob("*/.*.xpart"))
        return met

    def _fill(self, filler: Path) -> None:
        """Leave room for a random part of what is about to come."""
        room = int(self.random.random() * sum(len(account.data) for account in self.accounts))
        disk = os.statvfs(self.place)
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(1, disk.f_bavail * disk.f_frsize - room))

    def _quiet(self, port: int) -> None:
        """Wait until the daemon has no control connection left: its side of all sessions is over."""
        listen_or_gone = {"0A", "06"}
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
            if not any(line[1].endswith(f":{port:04X}") and line[3] not in listen_or_gone for line in lines):
                return
            time.sleep(0.005)
        raise RuntimeError("the daemon keeps its sessions")

    def resume(self) -> None:
        """Let everybody end what was begun: parts included, all of it whole."""
        for end in ("nothing", "nothing"):
            # The first ends what is there, the second what came after it.
            address = self.daemon.address("ftp")
            for account in self.accounts:
                ended = client(address, account.user, account.job(end), os.open(os.devnull, os.O_WRONLY))
                self._quiet(address[1])
                account.look(self.place / "root" / account.user, ended)
                if ended != WELL:
                    raise Wrong(f"{account.user}: the last upload ended with {ended}")

    def drift(self) -> dict[str, int]:
        """Bytes and files by which ledger and disk differ: as it is, and after a recount.

        Raises:
            Wrong: the recount did not come through.
        """
        address = self.daemon.address("ftp")
        before = sum(self._off(account, self._usage(address, account)) for account in self.accounts)
        command = [sys.executable, "-c", XFER, "user", "recount", str(self.config)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise Wrong(f"recount: {done.returncode} {done.stderr}")
        after = sum(self._off(account, self._usage(address, account)) for account in self.accounts)
        return {"drift": before, "drift after recount": after, "recounted": done.stdout.count("(was ")}

    def _usage(self, address: tuple[str, int], account: Account) -> tuple[int, int]:
        with ftplib.FTP(timeout=TIMEOUT) as ftp:
            ftp.connect(*address)
            ftp.login(account.user, "secret")
            numbers = re.findall(r"\d+", ftp.sendcmd("SITE QUOTA").splitlines()[1])
        # Used bytes, their limit, used files, bytes under way.
        return int(numbers[0]), int(numbers[2])

    def _off(self, account: Account, usage: tuple[int, int]) -> int:
        sizes = [len(data) for data in account.published.values()]
        return abs(usage[0] - sum(sizes)) + abs(usage[1] - len(sizes))


def small_disk(place: Path) -> str:
    """A disk of this process's own at ``place``, so that it can be full; else why there is none."""
    libc = ctypes.CDLL(None, use_errno=True)
    new_user, new_mounts, private = 0x10000000, 0x20000, 0x4C000
    uid, gid = os.getuid(), os.getgid()
    if libc.unshare(new_mounts | (new_user if uid else 0)):
        return f"no mount namespace: {os.strerror(ctypes.get_errno())}"
    if uid:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    libc.mount(b"none", b"/", None, private, None)
    if libc.mount(b"tmpfs", os.fsencode(place), b"tmpfs", 0, b"size=%d" % DISK):
        return f"no mount: {os.strerror(ctypes.get_errno())}"
    return ""


def kill_uploads(place: Path, uploads: int, *, seed: int, at_once: int, announce: int) -> dict[str, object]:
    """Kill so many uploads, a third of them each way; how it went.

    Raises:
        Wrong: what must not be.
    """
    excuse = small_disk(place)
    ends = ENDS[:2] if excuse else ENDS
    run = Run(place, seed=seed, at_once=at_once, announce=announce)
    began = time.monotonic()
    try:
        for index, end in enumerate(ends):
            wanted = uploads * (index + 1) // len(ends) - uploads * index // len(ends)
            for _ in range(wanted * BATCHES_PER_KILL):
                if run.count[end] >= wanted:
                    break
                run.batch(end)
        run.resume()
        drift = run.drift()
        output = run.daemon.output
        if run.daemon.stop() or "Traceback" in output:
            raise Wrong(f"the daemon did not end well: {output[-2000:]}")
    finally:
        run.close()
    return {
        **{end: run.count[end] for end in ENDS},
        "killed": sum(run.count[end] for end in ends),
        "ended well": run.count["ended well"],
        "parts left": run.count["parts left"],
        "wrong files": 0,
        **drift,
        "seconds": round(time.monotonic() - began, 1),
        "seed": seed,
        "at once": at_once,
        "of them with ALLO": announce,
        "no full disk": excuse,
    }


def main(arguments: list[str] | None = None) -> int:
    """Run, and print what was counted as JSON; 1 and the reason when something was wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench.kills", description=__doc__.partition("\n")[0])
    parser.add_argument("--uploads", type=int, default=1000, metavar="N", help="to be killed; 1000")
    parser.add_argument("--seed", type=int, default=4, metavar="N")
    parser.add_argument("--at-once", type=int, default=8, metavar="N", help="accounts that upload; 8")
    parser.add_argument("--announce", type=int, default=4, metavar="N", help="of them that send ALLO; 4")
    chosen = parser.parse_args(arguments)
    place = Path(tempfile.mkdtemp(prefix="xfer-kills-"))
    try:
        result = kill_uploads(
            place, chosen.uploads, seed=chosen.seed, at_once=chosen.at_once, announce=chosen.announce
        )
    except Wrong as wrong:
        print(f"wrong: {wrong}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(place, ignore_errors=True)
    print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
