"""A private corner of the machine for a run as root: own mounts and own network, gone with the last process.

Why mounts: the C servers check a system user. One is added to private copies of passwd, group and shadow that only the
benchmark's processes see; the machine's own files are never written.

Why a network: its loopback has its own ports, its own TIME_WAIT table and no way out.  TIME_WAIT is capped, because a
server that binds port 0 for each transfer scans the table on each bind: after some ten thousand files the number
would tell how long the benchmark has been running.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

USER = "bench"
PASSWORD = "bench"
UID = 54321
# SHA-512-crypt of PASSWORD with 1,000 rounds, the least there is: the rows compare servers, not password hashes.
PASSWORD_HASH = "$6$rounds=1000$xferbench$z6XHkoegGcxqadAXv.5UjbNKSPwl/xaEYBeH8ohVUEMdEiEo96aTmefoeBTZ2wHH50Yxq385HAccB4YHeAxwO1"
PAM_SERVICE = "xfer-bench"
TIME_WAIT_CAP = 256
TIME_WAIT_CALM = 2000
CALM_SECONDS = 75
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1


def possible() -> bool:
    """Tell whether namespaces can be made here."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return False
    trial = subprocess.run(
        ["unshare", "--mount", "--net", "true"], capture_output=True, timeout=20, check=False
    )
    return trial.returncode == 0


def restart(arguments: list[str], module: str = "bench") -> None:
    """Start the benchmark again inside the namespaces; does not return."""
    command = ["unshare", "--mount", "--net", "--propagation", "private", sys.executable, "-m", module]
    os.execvp("unshare", [*command, *arguments])


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack_from("h", fcntl.ioctl(control, _SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def _cubic() -> None:
    """Use cubic on loopback where the default is another: the pacing of bbr alone can halve the rate there."""
    if not shutil.which("ip"):
        return
    for route in ("127.0.0.0/8", "127.0.0.1"):
        command = ["ip", "route", "change", "local", route, "dev", "lo", "proto", "kernel", "scope", "host"]
        command += ["src", "127.0.0.1", "table", "local", "congctl", "cubic"]
        subprocess.run(command, capture_output=True, timeout=20, check=False)


def _private_accounts(folder: Path) -> None:
    additions = {
        "passwd": f"{USER}:x:{UID}:{UID}:benchmark:/:/bin/sh\n",
        "group": f"{USER}:x:{UID}:\n",
        "shadow": f"{USER}:{PASSWORD_HASH}:19000:0:99999:7:::\n",
    }
    for name, line in additions.items():
        copy = folder / name
        copy.touch(mode=0o600)
        own = Path("/etc") / name
        copy.write_text(own.read_text() + line)
        copy.chmod(own.stat().st_mode & 0o777)
        subprocess.run(["mount", "--bind", str(copy), str(own)], timeout=20, check=True)
    services = folder / "pam.d"
    services.mkdir(exist_ok=True)
    (services / PAM_SERVICE).write_text(
        "auth required pam_unix.so\naccount required pam_unix.so\nsession required pam_permit.so\n"
    )
    (services / "other").write_text("auth required pam_deny.so\naccount required pam_deny.so\n")
    if Path("/etc/pam.d").is_dir():
        subprocess.run(["mount", "--bind", str(services), "/etc/pam.d"], timeout=20, check=True)


def furnish(folder: Path) -> None:
    """Set the fresh namespaces up; `folder` keeps the private copies and is readable by root alone."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    _loopback_up()
    with suppress(OSError):
        Path("/proc/sys/net/ipv4/tcp_max_tw_buckets").write_text(str(TIME_WAIT_CAP))
    _cubic()
    _private_accounts(folder)


def time_wait() -> int:
    """Return how many TCP sockets are in TIME_WAIT in this network."""
    for line in Path("/proc/net/sockstat").read_text().splitlines():
        words = line.split()
        if words[0] == "TCP:":
            return int(words[words.index("tw") + 1])
    return 0


def calm() -> None:
    """Wait, boundedly, until few sockets are in TIME_WAIT; at once where the table is capped."""
    until = time.monotonic() + CALM_SECONDS
    while time_wait() > TIME_WAIT_CALM and time.monotonic() < until:
        time.sleep(1)
