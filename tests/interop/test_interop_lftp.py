"""lftp against the daemon."""

from __future__ import annotations

import pytest
from interop_support import AWKWARD_NAMES, SIZES, Runner, Site, fill, payload, sha256, tree


def lftp(run: Runner, site: Site, *commands: str, ipv6: bool = False) -> str:
    """Run lftp commands on the site; the first that fails fails the test."""
    host = "[::1]" if ipv6 else site.host
    port = site.port6 if ipv6 else site.port
    script = "\n".join(
        (
            "set cmd:fail-exit yes",
            "set net:max-retries 2",
            "set net:timeout 30",
            "set net:reconnect-interval-base 1",
            "set ftp:ssl-allow no",
            f"open -u {site.user},{site.password} -p {port} ftp://{host}",
            *commands,
        )
    )
    (run.cwd / ".script").write_text(script, encoding="utf-8")
    return run("lftp", "--norc", "-f", ".script").stdout


def quoted(name: str) -> str:
    """A name for lftp's command line."""
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


@pytest.mark.parametrize("size", SIZES)
def test_a_file_goes_up_and_comes_back(site: Site, run: Runner, size: int) -> None:
    """Empty, one byte and 64 MiB."""
    (run.cwd / "sent").write_bytes(payload(size))
    lftp(run, site, "put sent -o file.bin", "get file.bin -o back")
    assert site.tree() == {"file.bin": sha256(payload(size))}
    assert sha256(run.cwd / "back") == sha256(payload(size))


@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_awkward_names(site: Site, run: Runner, name: str) -> None:
    """Names survive both ways and in a listing."""
    (run.cwd / "sent").write_bytes(payload(1000))
    listing = lftp(
        run, site, f"put sent -o {quoted('./' + name)}", f"get {quoted('./' + name)} -o back", "cls -1"
    )
    assert site.tree() == {name: sha256(payload(1000))}
    assert (run.cwd / "back").read_bytes() == payload(1000)
    assert name in listing


def test_resume_of_a_download(site: Site, run: Runner) -> None:
    """`get -c` continues."""
    site.put("file.bin", payload(3_000_000))
    (run.cwd / "file.bin").write_bytes(payload(3_000_000)[:1_234_567])
    lftp(run, site, "get -c file.bin")
    assert (run.cwd / "file.bin").read_bytes() == payload(3_000_000)


def test_resume_of_an_upload(site: Site, run: Runner) -> None:
    """`put -c` (reput) continues with REST and STOR."""
    site.put("file.bin", payload(3_000_000)[:1_234_567])
    (run.cwd / "file.bin").write_bytes(payload(3_000_000))
    lftp(run, site, "put -c file.bin")
    assert site.tree() == {"file.bin": sha256(payload(3_000_000))}


@pytest.mark.parametrize("passive", ["on", "off"])
def test_mirror_both_ways(site: Site, run: Runner, passive: str) -> None:
    """A tree goes up and comes back over four sessions at once."""
    expected = fill(run.cwd / "source")
    (run.cwd / "source").joinpath("bare").mkdir()
    lftp(
        run,
        site,
        f"set ftp:passive-mode {passive}",
        "mirror --reverse --parallel=4 source there",
        "mirror --parallel=4 there back",
    )
    assert tree(site.home / "there") == expected
    assert tree(run.cwd / "back") == expected
    assert (run.cwd / "back" / "bare").is_dir()


def test_a_second_mirror_moves_nothing(site: Site, run: Runner) -> None:
    """Times and sizes that we report make an equal tree equal."""
    expected = fill(run.cwd / "source")
    lftp(run, site, "mirror --reverse source there")
    again = lftp(run, site, "mirror --reverse --verbose=1 source there")
    assert "Transferring" not in again
    assert tree(site.home / "there") == expected


def test_mirror_deletes_what_is_gone(site: Site, run: Runner) -> None:
    """`--delete` removes files and directories of the server."""
    fill(run.cwd / "source")
    fill(site.home / "there")
    site.put("there/extra/deep/file", b"x")
    lftp(run, site, "mirror --reverse --delete source there")
    assert tree(site.home / "there") == tree(run.cwd / "source")
    assert not (site.home / "there/extra").exists()


def test_globs_and_listings(site: Site, run: Runner) -> None:
    """mget, mrm, and a long listing with dot files."""
    for name in ("a1.txt", "a2.txt", "b1.txt", ".hidden"):
        site.put(name, name.encode())
    listing = lftp(run, site, "ls -la", "mget a*.txt", "mrm b*.txt")
    assert ".hidden" in listing
    assert {"a1.txt", "a2.txt"} <= set(tree(run.cwd))
    assert set(site.tree()) == {"a1.txt", "a2.txt", ".hidden"}


def test_ascii(site: Site, run: Runner) -> None:
    """Text goes both ways with its lines kept."""
    (run.cwd / "sent.txt").write_bytes(b"one\ntwo\n")
    lftp(run, site, "put -a sent.txt -o up.txt", "get -a up.txt -o back.txt")
    assert (site.home / "up.txt").read_bytes() == b"one\ntwo\n"
    assert (run.cwd / "back.txt").read_bytes() == b"one\ntwo\n"


def test_ipv6(site: Site, run: Runner) -> None:
    """Over ::1."""
    (run.cwd / "sent").write_bytes(payload(300_000))
    lftp(run, site, "put sent -o file.bin", "get file.bin -o back", ipv6=True)
    assert (run.cwd / "back").read_bytes() == payload(300_000)


def test_many_segments_of_one_file(site: Site, run: Runner) -> None:
    """`pget` reads one file over several sessions, each from its own restart point, and stops them early."""
    site.put("file.bin", payload(16 << 20))
    lftp(run, site, "pget -n 4 file.bin -o back")
    assert sha256(run.cwd / "back") == sha256(payload(16 << 20))


def test_rename_modes_and_removal(site: Site, run: Runner) -> None:
    """mv, chmod, mkdir -p and rm -r."""
    site.put("old.bin", b"x")
    site.put("tree/a/b", b"x")
    lftp(run, site, "mv old.bin new.bin", "chmod 640 new.bin", "mkdir -p x/y/z", "rm -r tree")
    assert set(site.tree()) == {"new.bin"}
    assert (site.home / "new.bin").stat().st_mode & 0o777 == 0o640
    assert (site.home / "x/y/z").is_dir()
