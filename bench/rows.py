"""The rows: what is done to a server, what is taken from it, and what ours is to reach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .client import Client, RowError, Sample
from .fixture import MIB, SMALL_BYTES, Fixture
from .goals import BEST, Goal
from .server import Server
from .stats import percentile

GIB = 1024 * MIB
IDLE_PROBES = 1000
BULK_UNDER_LOAD = 8
CONCURRENT_SESSIONS = 16


@dataclass(frozen=True, slots=True)
class Bench:
    """What a row works with."""

    server: Server
    client: Client
    fixture: Fixture


@dataclass(frozen=True, slots=True)
class Metric:
    """A column; the first of a row decides its order."""

    name: str
    digits: int
    higher_is_better: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A table of the report.

    `measure` returns a value for each metric.  `fresh` starts the server anew for each round; `needs` names a command
    that some peers lack; `tls` has everything go through TLS.
    """

    key: str
    title: str
    metrics: tuple[Metric, ...]
    measure: Callable[[Bench], dict[str, float]]
    goals: tuple[Goal, ...] = ()
    fresh: bool = False
    needs: str = ""
    tls: bool = False


def _expect(what: str, got: int, wanted: int) -> None:
    if got != wanted:
        raise RowError(f"{what}: {got} instead of {wanted}")


def _bulk(sample: Sample, bytes_moved: int) -> dict[str, float]:
    return {
        "CPU s/GiB": sample.server_cpu * GIB / bytes_moved,
        "MB/s": bytes_moved / 1e6 / sample.seconds,
        "client CPU s/GiB": float(sample.answer["client_cpu"]) * GIB / bytes_moved,
    }


def _each(sample: Sample) -> dict[str, float]:
    return {"CPU ms each": 1e3 * sample.server_cpu / sample.done, "per second": sample.done / sample.seconds}


def download(bench: Bench) -> dict[str, float]:
    """One large file down."""
    sample = bench.client.run("get", Fixture.big, 0)
    _expect("bytes received", sample.answer["bytes"], bench.fixture.sizes.bulk)
    return _bulk(sample, bench.fixture.sizes.bulk)


def upload(bench: Bench) -> dict[str, float]:
    """One large file up, under a new name, checked on disk."""
    bench.fixture.touch_memory()
    return _bulk(_put(bench, bench.fixture.sizes.bulk), bench.fixture.sizes.bulk)


def _put(bench: Bench, size: int) -> Sample:
    sample = bench.client.run("put", bench.fixture.home / Fixture.big, size, f"{Fixture.uploads}/big")
    files, stored = bench.fixture.take_uploads()
    _expect("files stored", files, 1)
    _expect("bytes stored", stored, size)
    return sample


def tls_download(bench: Bench) -> dict[str, float]:
    """The last part of the large file down."""
    sizes = bench.fixture.sizes
    sample = bench.client.run("get", Fixture.big, sizes.bulk - sizes.tls_bulk)
    _expect("bytes received", sample.answer["bytes"], sizes.tls_bulk)
    return _bulk(sample, sizes.tls_bulk)


def tls_upload(bench: Bench) -> dict[str, float]:
    """The first part of the large file up."""
    bench.fixture.touch_memory()
    size = bench.fixture.sizes.tls_bulk
    return _bulk(_put(bench, size), size)


def sessions(concurrency: int) -> Callable[[Bench], dict[str, float]]:
    """Whole sessions: connect, login, PWD, QUIT."""

    def measure(bench: Bench) -> dict[str, float]:
        sizes = bench.fixture.sizes
        sample = bench.client.run("sessions", sizes.sessions, concurrency, sizes.session_seconds, hold=False)
        if sample.done < 1:
            raise RowError("no session came to its end")
        return _each(sample)

    return measure


def small_downloads(bench: Bench) -> dict[str, float]:
    """Many small files down in one session."""
    return _each(_small_down(bench, bench.fixture.sizes.small_files))


def _small_down(bench: Bench, count: int) -> Sample:
    sample = bench.client.run("small-get", Fixture.small, count)
    _expect("bytes received", sample.answer["bytes"], count * SMALL_BYTES)
    return sample


def small_uploads(bench: Bench) -> dict[str, float]:
    """Many small files up in one session."""
    return _each(_small_up(bench, bench.fixture.sizes.small_files))


def _small_up(bench: Bench, count: int) -> Sample:
    sample = bench.client.run("small-put", Fixture.uploads, count, bench.fixture.small_source)
    files, size = bench.fixture.take_uploads()
    _expect("files stored", files, count)
    _expect("bytes stored", size, count * SMALL_BYTES)
    return sample


def _each_resumed(sample: Sample) -> dict[str, float]:
    return {**_each(sample), "resumed": float(sample.answer["resumed"]) / sample.done}


def tls_small_downloads(bench: Bench) -> dict[str, float]:
    """Small files down in one session, a TLS handshake for each."""
    return _each_resumed(_small_down(bench, bench.fixture.sizes.tls_files))


def tls_small_uploads(bench: Bench) -> dict[str, float]:
    """Small files up in one session, a TLS handshake for each."""
    return _each_resumed(_small_up(bench, bench.fixture.sizes.tls_files))


def listing(verb: str) -> Callable[[Bench], dict[str, float]]:
    """One listing of a large directory; its lines are counted."""

    def measure(bench: Bench) -> dict[str, float]:
        sample = bench.client.run("list", verb, Fixture.listed)
        # MLSD may add the directory itself and its parent, LIST a line with the total.
        extra = sample.done - bench.fixture.sizes.listed_files
        if not 0 <= extra <= 3:
            raise RowError(f"{verb}: {sample.done} lines for {bench.fixture.sizes.listed_files} files")
        return {"CPU s": sample.server_cpu, "wall s": sample.seconds}

    return measure


def idle(bench: Bench) -> dict[str, float]:
    """Memory of sessions that are logged in and silent, then a NOOP to each."""
    count = bench.fixture.sizes.idle_sessions
    bench.server.settle()
    before = bench.server.pss_kib()
    held: list[int] = []
    sample = bench.client.run(
        "idle", count, IDLE_PROBES, at_ready=lambda: held.append(bench.server.pss_kib())
    )
    latency = sample.answer["latency_us"]
    return {
        "PSS KiB/session": max(0, held[0] - before) / count,
        "PSS KiB before": before,
        "NOOP p50 us": percentile(latency, 0.5),
        "NOOP p99 us": percentile(latency, 0.99),
    }


def parallel(bench: Bench) -> dict[str, float]:
    """Many downloads that start together: cost, rate and fairness."""
    sizes = bench.fixture.sizes
    sample = bench.client.run("many", sizes.parallel, Fixture.medium)
    total = sizes.parallel * sizes.parallel_bytes
    _expect("bytes received", sample.answer["bytes"], total)
    finished = sample.answer["finished_us"]
    bulk = _bulk(sample, total)
    return {"CPU s/GiB": bulk["CPU s/GiB"], "MB/s": bulk["MB/s"], "last/first": max(finished) / min(finished)}


def latency_under_load(bench: Bench) -> dict[str, float]:
    """NOOPs of one session while others download and list."""
    seconds = bench.fixture.sizes.load_seconds
    sample = bench.client.run("noop", BULK_UNDER_LOAD, Fixture.big, Fixture.listed, seconds, hold=False)
    latency = sample.answer["latency_us"]
    return {
        "p99 ms": percentile(latency, 0.99) / 1e3,
        "p50 ms": percentile(latency, 0.5) / 1e3,
        "max ms": max(latency) / 1e3,
        "bulk MB/s": float(sample.answer["bytes"]) / 1e6 / sample.seconds,
        "LISTs/s": float(sample.answer["lists"]) / sample.seconds,
    }


BULK = (Metric("CPU s/GiB", 3), Metric("MB/s", 0, higher_is_better=True), Metric("client CPU s/GiB", 3))
EACH = (Metric("CPU ms each", 3), Metric("per second", 0, higher_is_better=True))
TLS_EACH = (*EACH, Metric("resumed", 2, higher_is_better=True))
LISTED = (Metric("CPU s", 3), Metric("wall s", 3))
# Files are listed as fast as the machine allows: the absolute goal was set where pyftpdlib needs 0.19 s.
ROWS = (
    Row("download", "Download of a large file", BULK, download, (Goal("CPU s/GiB", 1, "vsftpd"),)),
    Row("upload", "Upload of a large file", BULK, upload, (Goal("CPU s/GiB", 0.8, "pure-ftpd"),)),
    Row(
        "session",
        "Sessions, one after the other",
        EACH,
        sessions(1),
        (Goal("CPU ms each", 1.2, "pyftpdlib"),),
    ),
    Row(
        "session16",
        "Sessions, 16 at a time",
        EACH,
        sessions(CONCURRENT_SESSIONS),
        (Goal("CPU ms each", 1.2, "pyftpdlib"),),
    ),
    Row(
        "small-down",
        "4 KiB downloads, one session",
        EACH,
        small_downloads,
        (Goal("CPU ms each", 1, "proftpd"),),
    ),
    Row("small-up", "4 KiB uploads, one session", EACH, small_uploads, (Goal("CPU ms each", 1, "proftpd"),)),
    Row(
        "tls-down",
        "Download of a large file, TLS",
        BULK,
        tls_download,
        (Goal("CPU s/GiB", 1, BEST),),
        tls=True,
    ),
    Row("tls-up", "Upload of a large file, TLS", BULK, tls_upload, (Goal("CPU s/GiB", 1, BEST),), tls=True),
    Row(
        "tls-session",
        "Sessions with a full TLS handshake",
        EACH,
        sessions(1),
        (Goal("CPU ms each", 1, "pyftpdlib"),),
        tls=True,
    ),
    Row(
        "tls-small-down",
        "4 KiB downloads, one session, TLS",
        TLS_EACH,
        tls_small_downloads,
        (Goal("CPU ms each", 1, "proftpd"),),
        tls=True,
    ),
    Row(
        "tls-small-up",
        "4 KiB uploads, one session, TLS",
        TLS_EACH,
        tls_small_uploads,
        (Goal("CPU ms each", 1, "proftpd"),),
        tls=True,
    ),
    Row("list", "LIST of 10,000 files", LISTED, listing("LIST"), (Goal("CPU s", 0.09),)),
    Row("mlsd", "MLSD of 10,000 files", LISTED, listing("MLSD"), needs="MLSD"),
    Row(
        "idle",
        "Idle sessions",
        (
            Metric("PSS KiB/session", 1),
            Metric("PSS KiB before", 0),
            Metric("NOOP p50 us", 0),
            Metric("NOOP p99 us", 0),
        ),
        idle,
        (Goal("PSS KiB/session", 10),),
        fresh=True,
    ),
    Row(
        "parallel",
        "100 downloads at once",
        (Metric("CPU s/GiB", 3), Metric("MB/s", 0, higher_is_better=True), Metric("last/first", 2)),
        parallel,
        (Goal("CPU s/GiB", 1, "pyftpdlib"), Goal("last/first", 1.5)),
    ),
    Row(
        "latency",
        "NOOP latency under 8 downloads and a LIST",
        (
            Metric("p99 ms", 2),
            Metric("p50 ms", 2),
            Metric("max ms", 2),
            Metric("bulk MB/s", 0, higher_is_better=True),
            Metric("LISTs/s", 1, higher_is_better=True),
        ),
        latency_under_load,
        (Goal("p99 ms", 1, "pyftpdlib"),),
    ),
)
