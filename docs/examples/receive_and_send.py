"""Receive in one part of a program, send from another, and watch both."""

import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.task import react

from twisted_xfer import TransferEvent, receive, send


def show(event: TransferEvent) -> None:
    """Called for every step; ``position`` and ``size`` are bytes."""
    if event.kind in {"started", "done"}:
        print(event.kind, event.path.decode(), event.position, "of", event.size)


async def main(reactor: Any) -> None:
    with tempfile.TemporaryDirectory() as directory:
        inbox = Path(directory, "inbox")
        inbox.mkdir()
        source = Path(directory, "big.iso")
        source.write_bytes(bytes(1_000_000))

        receiver = receive(reactor, inbox)  # on loopback, at a free port
        arrived = receiver.received()
        sent = await send(reactor, [source], receiver.target, receiver.login, on_event=show)
        came = await arrived
        await receiver.stop()

        print(sent.files, "sent,", came.files, "received, the same:", sent.digest == came.digest)
        print("verified", f"{sent.hash}:{sent.digest.hex()}")


if __name__ == "__main__":
    react(main)
