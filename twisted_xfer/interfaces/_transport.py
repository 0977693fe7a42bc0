"""What our own transports offer beyond Twisted's."""

from __future__ import annotations

from twisted.internet.interfaces import ITCPTransport


class IPromptTransport(ITCPTransport):
    """A connection on which an answer leaves in the turn of the reactor in which it was made.

    Twisted's own wait for the next turn, which costs more than most answers. Its ``write`` is still
    there, for what comes in many small pieces.
    """

    def send(data: bytes) -> bool:
        """Send ``data`` behind whatever was written; whether the kernel has all of it.

        What it does not take waits in the transport, as after ``write``.
        """

    def finish(last: bytes) -> None:
        """Send ``last`` behind whatever was written, and close."""
