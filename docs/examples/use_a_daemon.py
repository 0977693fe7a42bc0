"""Send to a daemon, look what is there, fetch it, remove it."""

import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.task import react

from twisted_xfer import Login, Target, get, ls, rm, send
from twisted_xfer.storage.local import LocalStorage
from twisted_xfer.testing.server import XferServer


async def main(reactor: Any, port: int) -> None:
    login = Login(password="secret", plain=True)
    pub = Target("127.0.0.1", port, path=b"pub", username="alice")
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory, "report.txt")
        source.write_text("all is well\n")
        sent = await send(reactor, [source], pub, login)
        print("sent", sent.files, "verified", sent.verified, "bytes")

        for entry in await ls(reactor, pub, login):
            print(entry.path.decode(), entry.size)

        storage = LocalStorage(directory)
        got = await get(reactor, pub, login, storage)
        storage.close()
        print("got", got.files, Path(directory, "pub/report.txt").read_text().strip())

        await rm(reactor, Target("127.0.0.1", port, path=b"pub/report.txt", username="alice"), login)
        print("left", await ls(reactor, pub, login))


if __name__ == "__main__":
    with XferServer() as server:
        react(main, [server.daemon.address("xfer")[1]])
