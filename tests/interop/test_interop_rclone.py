"""rclone against the daemon."""

from __future__ import annotations

import pytest
from interop_support import SIZES, Runner, Site, fill, payload, sha256, tree


def rclone(run: Runner, site: Site, *argv: str, said: bool = True) -> str:
    """Run rclone with the site as the remote ``:ftp:``; what it prints, with what it logs if ``said``."""
    secret = run("rclone", "obscure", site.password).stdout.strip()
    done = run(
        "rclone", *argv, "--config", "", "--retries", "1", "--low-level-retries", "2",
        "--ftp-host", site.host, "--ftp-port", str(site.port),
        "--ftp-user", site.user, "--ftp-pass", secret,
    )  # fmt: skip
    return done.stdout + done.stderr if said else done.stdout


@pytest.mark.parametrize("size", SIZES)
def test_a_file_goes_up_and_comes_back(site: Site, run: Runner, size: int) -> None:
    """Empty, one byte and 64 MiB."""
    (run.cwd / "sent").write_bytes(payload(size))
    rclone(run, site, "copyto", "sent", ":ftp:file.bin")
    assert site.tree() == {"file.bin": sha256(payload(size))}
    rclone(run, site, "copyto", ":ftp:file.bin", "back")
    assert sha256(run.cwd / "back") == sha256(payload(size))


def test_sync_up_check_and_sync_down(site: Site, run: Runner) -> None:
    """A tree with awkward names: after the sync, the check finds no difference, by size, time and content."""
    expected = fill(run.cwd / "source")
    rclone(run, site, "sync", "source", ":ftp:there")
    assert tree(site.home / "there") == expected
    assert "0 differences found" in rclone(run, site, "check", "source", ":ftp:there")
    assert "0 differences found" in rclone(run, site, "check", "--download", "source", ":ftp:there")
    rclone(run, site, "sync", ":ftp:there", "back")
    assert tree(run.cwd / "back") == expected


def test_a_second_sync_moves_nothing(site: Site, run: Runner) -> None:
    """rclone sets times with MFMT and reads them with MLSD, so an equal tree is seen as equal."""
    fill(run.cwd / "source")
    rclone(run, site, "sync", "source", ":ftp:there")
    assert "There was nothing to transfer" in rclone(run, site, "sync", "-v", "source", ":ftp:there")


def test_sync_removes_what_is_gone(site: Site, run: Runner) -> None:
    """Files and empty directories of the server that the source lacks."""
    fill(run.cwd / "source")
    site.put("there/extra/deep/file", b"x")
    rclone(run, site, "sync", "source", ":ftp:there")
    assert tree(site.home / "there") == tree(run.cwd / "source")


def test_moves_and_removal(site: Site, run: Runner) -> None:
    """moveto, mkdir, rmdir and purge on the server's side."""
    site.put("old.bin", payload(1000))
    site.put("tree/a/b", b"x")
    rclone(run, site, "moveto", ":ftp:old.bin", ":ftp:moved/new.bin")
    rclone(run, site, "purge", ":ftp:tree")
    rclone(run, site, "mkdir", ":ftp:made/deep")
    rclone(run, site, "rmdir", ":ftp:made/deep")
    assert site.tree() == {"moved/new.bin": sha256(payload(1000))}
    assert (site.home / "made").is_dir()


def test_part_of_a_file(site: Site, run: Runner) -> None:
    """`cat --offset --count` restarts in the middle and leaves before the end."""
    site.put("file.txt", b"".join(b"%09d\n" % number for number in range(300_000)))
    part = rclone(run, site, "cat", "--offset", "1000000", "--count", "10", ":ftp:file.txt", said=False)
    assert part == "000100000\n"
