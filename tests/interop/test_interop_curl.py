"""curl against the daemon."""

from __future__ import annotations

import time

import pytest
from interop_support import AWKWARD_NAMES, BIG, PATIENCE, SIZES, Runner, Site, payload, sha256

CURL = ("curl", "--silent", "--show-error", "--fail", "--max-time", "60")


@pytest.mark.parametrize("size", SIZES)
def test_a_file_goes_up_and_comes_back(site: Site, run: Runner, size: int) -> None:
    """Empty, one byte and 64 MiB, with the digest the same on all three disks."""
    sent = run.cwd / "sent.bin"
    sent.write_bytes(payload(size))
    run(*CURL, "--upload-file", sent, site.url("file.bin"))
    assert site.tree() == {"file.bin": sha256(sent)}
    run(*CURL, "--output", "back.bin", site.url("file.bin"))
    if size:
        assert sha256(run.cwd / "back.bin") == sha256(sent)
    else:
        # curl makes no file for nothing.
        assert not (run.cwd / "back.bin").exists() or not (run.cwd / "back.bin").read_bytes()


@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_awkward_names(site: Site, run: Runner, name: str) -> None:
    """The name on the server's disk is the name that was meant, both ways."""
    (run.cwd / "sent").write_bytes(payload(1000))
    run(*CURL, "--upload-file", "sent", site.url(name))
    assert site.tree() == {name: sha256(payload(1000))}
    run(*CURL, "--output", "back", site.url(name))
    assert (run.cwd / "back").read_bytes() == payload(1000)


def test_resume_of_a_download(site: Site, run: Runner) -> None:
    """`-C -` fetches only what is missing."""
    site.put("file.bin", payload(3_000_000))
    (run.cwd / "file.bin").write_bytes(payload(3_000_000)[:1_234_567])
    done = run(
        *CURL, "-C", "-", "--output", "file.bin", "--write-out", "%{size_download}", site.url("file.bin")
    )
    assert (run.cwd / "file.bin").read_bytes() == payload(3_000_000)
    assert int(done.stdout) == 3_000_000 - 1_234_567


def test_resume_of_an_upload(site: Site, run: Runner) -> None:
    """`-C -` sends only what the server lacks."""
    site.put("file.bin", payload(3_000_000)[:1_234_567])
    (run.cwd / "file.bin").write_bytes(payload(3_000_000))
    done = run(
        *CURL, "-C", "-", "--upload-file", "file.bin", "--write-out", "%{size_upload}", site.url("file.bin")
    )
    assert site.tree() == {"file.bin": sha256(payload(3_000_000))}
    assert int(done.stdout) == 3_000_000 - 1_234_567


def test_resume_after_the_client_was_killed(site: Site, run: Runner) -> None:
    """A killed upload is taken up where it stopped, and the whole is what was meant."""
    (run.cwd / "file.bin").write_bytes(payload(BIG))
    killed = run.start(*CURL, "--limit-rate", "4M", "--upload-file", "file.bin", site.url("file.bin"))
    try:
        deadline = time.monotonic() + PATIENCE
        while not stored(site) and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        killed.kill()
        killed.wait(PATIENCE)
    assert 0 < stored(site) < BIG
    done = run(
        *CURL, "-C", "-", "--upload-file", "file.bin", "--write-out", "%{size_upload}", site.url("file.bin")
    )
    assert site.tree() == {"file.bin": sha256(payload(BIG))}
    assert int(done.stdout) < BIG


def stored(site: Site) -> int:
    """Bytes below the home, under whatever names."""
    return sum(path.stat().st_size for path in site.home.rglob("*") if path.is_file())


def test_a_range(site: Site, run: Runner) -> None:
    """curl stops a ranged download with ABOR and is content."""
    site.put("file.bin", payload(3_000_000))
    run(*CURL, "--range", "1000-1999", "--output", "slice", site.url("file.bin"))
    assert (run.cwd / "slice").read_bytes() == payload(3_000_000)[1000:2000]


@pytest.mark.parametrize(
    "mode", [("--ftp-port", "-"), ("--ftp-port", "-", "--disable-eprt"), ("--disable-epsv",)]
)
def test_ways_to_make_the_data_connection(site: Site, run: Runner, mode: tuple[str, ...]) -> None:
    """EPRT, PORT and PASV carry the same bytes as EPSV."""
    (run.cwd / "sent").write_bytes(payload(300_000))
    run(*CURL, *mode, "--upload-file", "sent", site.url("file.bin"))
    assert site.tree() == {"file.bin": sha256(payload(300_000))}
    run(*CURL, *mode, "--output", "back", site.url("file.bin"))
    assert (run.cwd / "back").read_bytes() == payload(300_000)


@pytest.mark.parametrize("mode", [(), ("--ftp-port", "-")])
def test_ipv6(site: Site, run: Runner, mode: tuple[str, ...]) -> None:
    """Over ::1, passive and active."""
    (run.cwd / "sent").write_bytes(payload(300_000))
    run(*CURL, *mode, "--globoff", "--upload-file", "sent", site.url("file.bin", ipv6=True))
    run(*CURL, *mode, "--globoff", "--output", "back", site.url("file.bin", ipv6=True))
    assert (run.cwd / "back").read_bytes() == payload(300_000)


def test_ascii(site: Site, run: Runner) -> None:
    """Lines leave with CR LF, and arrive with the ends of this system."""
    site.put("lines.txt", b"one\ntwo\n\nlast\n")
    done = run(*CURL, "--use-ascii", "--output", "-", site.url("lines.txt") + ";type=a")
    assert done.stdout.splitlines() == ["one", "two", "", "last"]
    (run.cwd / "sent").write_bytes(b"one\ntwo\n")
    run(*CURL, "--upload-file", "sent", site.url("up.txt") + ";type=a")
    assert (site.home / "up.txt").read_bytes() == b"one\ntwo\n"


def test_directories_on_the_way_and_listings(site: Site, run: Runner) -> None:
    """Missing directories are made; LIST and NLST show what is there; several files share a session."""
    (run.cwd / "sent").write_bytes(b"x")
    target = site.url("a b/c/{one,two,three}.bin").replace("%7B", "{").replace("%7D", "}").replace("%2C", ",")
    run(*CURL, "--ftp-create-dirs", "--upload-file", "sent", target)
    assert set(site.tree()) == {f"a b/c/{name}.bin" for name in ("one", "two", "three")}
    listing = run(*CURL, site.url("a b/c/")).stdout
    assert sorted(line.split()[-1] for line in listing.splitlines()) == ["one.bin", "three.bin", "two.bin"]
    names = run(*CURL, "--list-only", site.url("a b/c/")).stdout
    assert sorted(names.splitlines()) == ["one.bin", "three.bin", "two.bin"]


def test_quoted_commands(site: Site, run: Runner) -> None:
    """RNFR and RNTO, DELE and MKD sent by hand around a listing."""
    site.put("old.bin", b"x")
    site.put("gone.bin", b"x")
    commands = ("RNFR old.bin", "RNTO new.bin", "DELE gone.bin", "MKD made")
    run(*CURL, *(part for command in commands for part in ("--quote", command)), site.url())
    assert set(site.tree()) == {"new.bin"}
    assert (site.home / "made").is_dir()


@pytest.mark.parametrize("path", ["missing.bin", "../../etc/passwd", "no/such/dir/file"])
def test_what_is_not_there_fails_and_gives_nothing(site: Site, run: Runner, path: str) -> None:
    """A missing file is an error of the client, and nothing is stored."""
    done = run(*CURL, "--path-as-is", "--output", "back", site.url(path), check=False)
    assert done.returncode in {9, 19, 78}
    assert not (run.cwd / "back").exists()


def test_wrong_password(site: Site, run: Runner) -> None:
    """curl's exit code for a refused login."""
    done = run(*CURL, "--user", f"{site.user}:wrong", site.url(login=False), check=False)
    assert done.returncode == 67
