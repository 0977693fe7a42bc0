"""Many clients at once."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor

from interop_support import PATIENCE, Runner, Site, payload, sha256

CLIENTS = 20


def test_twenty_sessions_move_files_both_ways(site: Site) -> None:
    """Each stores and fetches files of its own; none gets another's bytes."""

    def one(number: int) -> list[str]:
        found = []
        with site.connect() as ftp:
            for turn in range(3):
                data = payload(200_000 + number * 10 + turn)
                ftp.storbinary(f"STOR {number}-{turn}.bin", io.BytesIO(data))
                into = io.BytesIO()
                ftp.retrbinary(f"RETR {number}-{turn}.bin", into.write)
                found.append(sha256(into.getvalue()))
        return found

    with ThreadPoolExecutor(CLIENTS) as pool:
        results = list(pool.map(one, range(CLIENTS), timeout=PATIENCE))
    expected = [[sha256(payload(200_000 + n * 10 + turn)) for turn in range(3)] for n in range(CLIENTS)]
    assert results == expected
    assert len(site.tree()) == CLIENTS * 3


def test_twenty_curls_fetch_one_file(site: Site, run: Runner) -> None:
    """Twenty processes read the same large file."""
    site.put("file.bin", payload(8 << 20))
    started = [
        run.start("curl", "-s", "--max-time", "60", "-o", f"{number}.bin", site.url("file.bin"))
        for number in range(CLIENTS)
    ]
    assert [process.wait(PATIENCE) for process in started] == [0] * CLIENTS
    assert {sha256(run.cwd / f"{number}.bin") for number in range(CLIENTS)} == {sha256(payload(8 << 20))}


def test_twenty_sessions_stay_open_together(site: Site) -> None:
    """All are logged in at the same time and each keeps its own directory."""
    sessions = [site.connect() for _ in range(CLIENTS)]
    for number, ftp in enumerate(sessions):
        ftp.mkd(f"d{number}")
        ftp.cwd(f"d{number}")
    assert [ftp.pwd() for ftp in sessions] == [f"/d{number}" for number in range(CLIENTS)]
    for ftp in sessions:
        ftp.quit()
