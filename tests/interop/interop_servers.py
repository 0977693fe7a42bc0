"""The servers that the interop tests run against, each a process of its own on loopback."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from interop_support import PASSWORD

from twisted_xfer.testing.daemon import Daemon

#: One account a test; more than there are tests.
ACCOUNTS: Final = tuple(f"u{number:03}" for number in range(300))
#: The account whose names are in GBK.
GBK_USER: Final = "gbkuser"

REFERENCE: Final = """
import sys
from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.ioloop import IOLoop
from pyftpdlib.servers import FTPServer
root, password, *users = sys.argv[1:]
class Homes(DummyAuthorizer):
    def add_user(self, name, password, home, **rest):
        import os
        os.makedirs(home, exist_ok=True)
        super().add_user(name, password, home, **rest)
class Handler(FTPHandler):
    authorizer = Homes()
    auth_failed_timeout = 0
    permit_foreign_addresses = False
    def respond(self, resp, *rest, **more):
        # rclone, like most, knows a missing file by 550 alone.
        super().respond(resp.replace("501 No such", "550 No such"), *rest, **more)
for user in users:
    Handler.authorizer.add_user(user, password, root + "/" + user, perm="elradfmwMT")
loop = IOLoop.instance()
servers = [FTPServer((host, 0), Handler, ioloop=loop) for host in ("127.0.0.1", "::1")]
print(*(server.socket.getsockname()[1] for server in servers), flush=True)
servers[0].serve_forever()
"""


@dataclass(frozen=True)
class Running:
    """A server that listens on 127.0.0.1 and on ::1."""

    root: Path
    port: int
    port6: int
    gbk_user: str | None = None


@contextmanager
def start_reference(root: Path) -> Iterator[Running]:
    """pyftpdlib: another implementation, to prove the tests themselves."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", REFERENCE, str(root), PASSWORD, *ACCOUNTS],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        port, port6 = map(int, process.stdout.readline().split())
        yield Running(root, port, port6)
    finally:
        process.terminate()
        process.wait(20)
        if process.stdout is not None:
            process.stdout.close()


@contextmanager
def start_xfer(root: Path) -> Iterator[Running]:
    """The daemon under test, started by twistd as its users start it."""
    users = (*ACCOUNTS, GBK_USER)
    batches = [users[first : first + 100] for first in range(0, len(users), 100)]
    checkers = [":".join(["memory", *(f"{user}:{PASSWORD}" for user in batch)]) for batch in batches]
    config = root.with_name(f"{root.name}.toml")
    config.write_text(
        f"""
root = "{root}"
listen = ["ftp=tcp:0:interface=127.0.0.1", 'ftp=tcp:0:interface=\\:\\:1']
auth = {checkers}
accounts.{GBK_USER}.charset = "gbk"
""",
        encoding="utf-8",
    )
    with Daemon(["--config", str(config)], directory=root.parent) as daemon:
        ports = {address.host: address.port for address in daemon.addresses("ftp")}
        yield Running(root, ports["127.0.0.1"], ports["::1"], GBK_USER)
