"""tnftp, the BSD client, with a script on its standard input and by URL."""

from __future__ import annotations

import pytest
from interop_support import AWKWARD_NAMES, SIZES, Runner, Site, payload, sha256, tree


def tnftp(run: Runner, site: Site, *commands: str, options: tuple[str, ...] = (), ipv6: bool = False) -> str:
    """Run commands in one session; the client goes on after a failed one, so the tests look at the files."""
    host, port = ("::1", site.port6) if ipv6 else (site.host, site.port)
    script = "\n".join(
        (f"open {host} {port}", f"user {site.user} {site.password}", "prompt off", *commands, "bye", "")
    )
    return run("tnftp", "-n", "-v", *options, stdin=script, check=False).stdout


def quoted(name: str) -> str:
    """A name on the client's command line, where a backslash keeps the next character."""
    return "".join("\\" + char if char in " '\"\\" else char for char in name)


@pytest.mark.parametrize("size", SIZES)
def test_a_file_goes_up_and_comes_back(site: Site, run: Runner, size: int) -> None:
    """Empty, one byte and 64 MiB."""
    (run.cwd / "sent").write_bytes(payload(size))
    tnftp(run, site, "binary", "put sent file.bin", "get file.bin back")
    assert site.tree() == {"file.bin": sha256(payload(size))}
    assert sha256(run.cwd / "back") == sha256(payload(size))


@pytest.mark.parametrize("name", AWKWARD_NAMES)
def test_awkward_names(site: Site, run: Runner, name: str) -> None:
    """Names survive both ways."""
    (run.cwd / "sent").write_bytes(payload(1000))
    tnftp(run, site, f"put sent {quoted(name)}", f"get {quoted(name)} back")
    assert site.tree() == {name: sha256(payload(1000))}
    assert (run.cwd / "back").read_bytes() == payload(1000)


def test_resume_of_a_download(site: Site, run: Runner) -> None:
    """`reget` asks with REST."""
    site.put("file.bin", payload(3_000_000))
    (run.cwd / "file.bin").write_bytes(payload(3_000_000)[:1_234_567])
    said = tnftp(run, site, "binary", "reget file.bin")
    assert (run.cwd / "file.bin").read_bytes() == payload(3_000_000)
    assert "1765433 bytes received" in said


def test_resume_of_an_upload(site: Site, run: Runner) -> None:
    """`restart N` before a put is REST and STOR; `append` is APPE."""
    data = payload(300_000)
    site.put("file.bin", data[:100_000])
    (run.cwd / "file.bin").write_bytes(data)
    tnftp(run, site, "binary", "restart 100000", "put file.bin")
    assert site.tree() == {"file.bin": sha256(data)}
    (run.cwd / "more").write_bytes(b"more")
    tnftp(run, site, "binary", "append more file.bin")
    assert (site.home / "file.bin").read_bytes() == data + b"more"


@pytest.mark.parametrize("options", [("-A",), ("-p",), ("-A", "-4"), ("-p", "-4")])
def test_active_and_passive(site: Site, run: Runner, options: tuple[str, ...]) -> None:
    """Both ways to make the data connection, and several files on one session."""
    for number in range(5):
        (run.cwd / f"m{number}.bin").write_bytes(payload(number * 1000))
    expected = tree(run.cwd)
    tnftp(run, site, "binary", "mkdir d", "cd d", "mput m*.bin", options=options)
    assert tree(site.home / "d") == expected
    (run.cwd / "back").mkdir()
    tnftp(run, site, "binary", "cd d", "lcd back", "mget m?.bin", options=options)
    assert tree(run.cwd / "back") == expected


@pytest.mark.parametrize("options", [("-A",), ("-p",)])
def test_ipv6(site: Site, run: Runner, options: tuple[str, ...]) -> None:
    """EPSV and EPRT over ::1."""
    (run.cwd / "sent").write_bytes(payload(300_000))
    tnftp(run, site, "binary", "put sent file.bin", "get file.bin back", options=options, ipv6=True)
    assert (run.cwd / "back").read_bytes() == payload(300_000)


def test_ascii(site: Site, run: Runner) -> None:
    """Text keeps its lines."""
    (run.cwd / "text.txt").write_bytes(b"one\ntwo\n")
    tnftp(run, site, "ascii", "put text.txt up.txt", "get up.txt back.txt")
    assert (site.home / "up.txt").read_bytes() == b"one\ntwo\n"
    assert (run.cwd / "back.txt").read_bytes() == b"one\ntwo\n"


def test_listings_and_small_commands(site: Site, run: Runner) -> None:
    """ls -la, nlist with a pattern, mlsd, size, modtime, rename, delete, rmdir, chmod, system, rhelp, site."""
    for name in ("a1.txt", "a2.txt", ".hidden", "old", "gone", "dir/x"):
        site.put(name, b"12345")
    said = tnftp(
        run, site, "binary", "size a1.txt", "ls -la", "nlist a*", "mlsd", "modtime a1.txt", "rename old new", "delete gone",
        "delete dir/x", "rmdir dir", "chmod 600 a1.txt", "system", "rhelp", "rstatus", "pwd", "feat",
    )  # fmt: skip
    assert ".hidden" in said
    assert "a1.txt\t5" in said
    assert "215 UNIX" in said
    assert set(site.tree()) == {"a1.txt", "a2.txt", ".hidden", "new"}
    assert not (site.home / "dir").exists()
    assert (site.home / "a1.txt").stat().st_mode & 0o777 == 0o600


def test_by_url(site: Site, run: Runner) -> None:
    """Auto-fetch and upload without a session of one's own."""
    (run.cwd / "sent").write_bytes(payload(1000))
    run("tnftp", "-u", site.url("file.bin"), "sent")
    run("tnftp", "-o", "back", site.url("file.bin"))
    assert (run.cwd / "back").read_bytes() == payload(1000)
