"""wget against the daemon; it only downloads."""

from __future__ import annotations

import pytest
from interop_support import AWKWARD_NAMES, SIZES, Runner, Site, fill, payload, sha256, tree

WGET = ("wget", "--no-verbose", "--tries=2", "--timeout=60", "--no-config")


@pytest.mark.parametrize("size", SIZES)
def test_a_file_comes_down(site: Site, run: Runner, size: int) -> None:
    """Empty, one byte and 64 MiB."""
    site.put("file.bin", payload(size))
    run(*WGET, "-O", "back.bin", site.url("file.bin"))
    assert sha256(run.cwd / "back.bin") == sha256(payload(size))


@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_awkward_names(site: Site, run: Runner, name: str) -> None:
    """Names arrive as they are."""
    site.put(f"dir/{name}", payload(1000))
    run(*WGET, "-O", "back", site.url(f"dir/{name}"))
    assert (run.cwd / "back").read_bytes() == payload(1000)


def test_resume(site: Site, run: Runner) -> None:
    """`-c` continues the file that is there."""
    site.put("file.bin", payload(3_000_000))
    (run.cwd / "file.bin").write_bytes(payload(3_000_000)[:1_234_567])
    done = run(*WGET, "--verbose", "-c", site.url("file.bin"))
    assert (run.cwd / "file.bin").read_bytes() == payload(3_000_000)
    assert "1765433" in done.stderr.replace(",", "")


@pytest.mark.parametrize("mode", ["--passive-ftp", "--no-passive-ftp"])
def test_a_whole_tree(site: Site, run: Runner, mode: str) -> None:
    """`-r` reads our LIST and finds every file, passive and active."""
    expected = fill(site.home)
    run(*WGET, mode, "--recursive", "--no-host-directories", "--restrict-file-names=nocontrol", site.url())
    found = {name: digest for name, digest in tree(run.cwd).items() if not name.endswith(".listing")}
    # Names that wget itself changes: it strips leading blanks of a listing and decodes percent signs.
    changed = {"names/ leading space.bin", "names/100%41.bin", "names/100A.bin", "names/leading space.bin"}
    assert {n: d for n, d in found.items() if n not in changed} == {
        n: d for n, d in expected.items() if n not in changed
    }


def test_globs(site: Site, run: Runner) -> None:
    """A pattern in the last component."""
    for name in ("a1.txt", "a2.txt", "b1.txt"):
        site.put(name, name.encode())
    run(*WGET, site.url() + "a*.txt")
    assert sorted(tree(run.cwd)) == ["a1.txt", "a2.txt"]


def test_ipv6(site: Site, run: Runner) -> None:
    """Over ::1."""
    site.put("file.bin", payload(300_000))
    run(*WGET, "-O", "back", site.url("file.bin", ipv6=True))
    assert (run.cwd / "back").read_bytes() == payload(300_000)


def test_timestamping_fetches_once(site: Site, run: Runner) -> None:
    """`-N` compares our LIST's time and size and leaves an equal file alone."""
    site.put("file.bin", payload(1000))
    run(*WGET, "-N", site.url("file.bin"))
    done = run(*WGET, "--verbose", "-N", site.url("file.bin"))
    assert "not retrieving" in done.stderr
