"""aioftp's client against the daemon."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aioftp
import pytest
from interop_support import AWKWARD_NAMES, PATIENCE, SIZES, Runner, Site, fill, payload, sha256, tree


def session(site: Site, *, ipv6: bool = False) -> aioftp.Client:
    """A client context for the site."""
    host, port = ("::1", site.port6) if ipv6 else (site.host, site.port)
    return aioftp.Client.context(host, port, site.user, site.password)


@pytest.mark.parametrize("size", SIZES)
def test_a_file_goes_up_and_comes_back(site: Site, run: Runner, size: int) -> None:
    """Empty, one byte and 64 MiB."""
    (run.cwd / "sent").write_bytes(payload(size))

    async def work() -> None:
        async with session(site) as client:
            await client.upload(run.cwd / "sent", "file.bin", write_into=True)
            await client.download("file.bin", run.cwd / "back", write_into=True)

    asyncio.run(asyncio.wait_for(work(), PATIENCE))
    assert site.tree() == {"file.bin": sha256(payload(size))}
    assert sha256(run.cwd / "back") == sha256(payload(size))


def test_a_tree_both_ways(site: Site, run: Runner) -> None:
    """Recursive upload, listing by MLSD and download, awkward names among them."""
    expected = fill(run.cwd / "source")

    async def work() -> list[str]:
        async with session(site) as client:
            await client.upload(run.cwd / "source", "there", write_into=True)
            await client.download("there", run.cwd / "back", write_into=True)
            return [Path(path).name for path, _ in await client.list("there/names")]

    names = asyncio.run(asyncio.wait_for(work(), PATIENCE))
    assert tree(site.home / "there") == expected
    assert tree(run.cwd / "back") == expected
    assert sorted(names) == sorted(AWKWARD_NAMES)


def test_resume_both_ways(site: Site) -> None:
    """Streams with an offset."""
    data = payload(300_000)
    site.put("down.bin", data)
    site.put("up.bin", data[:100_000])

    async def work() -> bytes:
        async with session(site) as client:
            async with client.upload_stream("up.bin", offset=100_000) as stream:
                await stream.write(data[100_000:])
            async with client.download_stream("down.bin", offset=123_456) as stream:
                return await stream.read()

    assert asyncio.run(asyncio.wait_for(work(), PATIENCE)) == data[123_456:]
    assert (site.home / "up.bin").read_bytes() == data


def test_ipv6_and_small_commands(site: Site) -> None:
    """Over ::1: stat, rename, make and remove."""

    async def work() -> None:
        async with session(site, ipv6=True) as client:
            await client.make_directory("a/b/c")
            async with client.upload_stream("a/b/c/old") as stream:
                await stream.write(b"12345")
            assert (await client.stat("a/b/c/old"))["size"] == "5"
            await client.rename("a/b/c/old", "new")
            await client.remove("a")
            assert await client.exists("new")
            assert not await client.exists("a")

    asyncio.run(asyncio.wait_for(work(), PATIENCE))
    assert site.tree() == {"new": sha256(b"12345")}
