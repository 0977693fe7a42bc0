"""The C servers as Debian ships them, downloaded and unpacked, each in a tree of its own.

Nothing is installed: no maintainer script runs and init starts nothing, so packages that conflict do not.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
from pathlib import Path

CACHE = Path(".cache/bench-peers")
PACKAGES = {
    "openssl": ("libssl-dev",),
    "vsftpd": ("vsftpd", "libwrap0", "libcap2"),
    "pure-ftpd": ("pure-ftpd", "pure-ftpd-common", "libsodium23", "libcap2"),
    "proftpd": (
        "proftpd-core",
        "proftpd-mod-crypto",
        "libhiredis0.14",
        "libmemcached11",
        "libmemcachedutil2",
        "libhashkit2",
        "libidn2-0",
        "libpcre2-8-0",
        "libpcre2-posix3",
    ),
    "rsync": ("rsync", "libpopt0", "libxxhash0", "liblz4-1", "libzstd1", "libacl1"),
    "openssh": ("openssh-server", "openssh-client", "libwrap0"),
    "netcat": ("netcat-openbsd", "libbsd0", "libmd0"),
}
DOWNLOAD_SECONDS = 300
VERSION_IN_NAME = re.compile(r"_(?:\d+%3a)?([^_]+)_[a-z0-9]+\.deb$")


class PeerError(Exception):
    """A peer cannot be had or does not start; the text says why and what helps."""


def version_of(deb: str) -> str:
    """Return the version in a package file's name, without the epoch."""
    found = VERSION_IN_NAME.search(deb)
    return found.group(1) if found else "unknown"


class Unpacked:
    """One peer's own tree: its package and the libraries that it needs besides the base system's."""

    def __init__(self, name: str, cache: Path = CACHE) -> None:
        self.name = name
        self.root = (cache / "unpacked" / name).resolve()

    @property
    def _stamp(self) -> Path:
        return self.root / "version"

    @property
    def version(self) -> str:
        """Return the Debian version that lies here."""
        return self._stamp.read_text().splitlines()[0]

    @property
    def triplet(self) -> str:
        """Return what Debian calls this machine."""
        return f"{platform.machine()}-linux-gnu"

    def path(self, inside: str) -> Path:
        """Return a file of the tree."""
        return self.root / inside

    def environment(self) -> dict[str, str]:
        """Return what lets its programs find their libraries."""
        folders = (self.path(f"usr/lib/{self.triplet}"), self.path(f"lib/{self.triplet}"))
        return {
            "LD_LIBRARY_PATH": ":".join(str(folder) for folder in folders),
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        }

    def obtain(self) -> None:
        """Download and unpack unless that was done before.

        Raises:
            PeerError: no Debian package tools, no network, or no such package here.

        """
        wanted = " ".join(PACKAGES[self.name])
        if self._stamp.exists() and wanted in self._stamp.read_text().splitlines():
            return
        if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
            raise PeerError("needs apt-get and dpkg-deb to fetch the Debian package")
        debs = self.root.with_name(f"{self.name}.debs")
        for folder in (debs, self.root):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        done = subprocess.run(
            ["apt-get", "download", "--quiet", *PACKAGES[self.name]],
            cwd=debs,
            capture_output=True,
            text=True,
            timeout=DOWNLOAD_SECONDS,
            check=False,
        )
        if done.returncode:
            why = (done.stderr.strip() or "failed").splitlines()[-1]
            raise PeerError(f"apt-get download: {why} (an `apt-get update` may help)")
        for deb in sorted(debs.glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", str(deb), str(self.root)], timeout=60, check=True)
        main = next(debs.glob(f"{PACKAGES[self.name][0]}_*.deb"))
        self._stamp.write_text(f"{version_of(main.name)}\n{wanted}\n")
        shutil.rmtree(debs)
