"""Driving the handshake of a TLS channel from the reactor, under a deadline."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReadDescriptor, IWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_xfer.errors import Cancelled, DataTLSRefused, TimedOut, XferError
from twisted_xfer.interfaces import WantRead, WantWrite
from twisted_xfer.runtime.dial import DescriptorReactor
from twisted_xfer.runtime.tls_channel import TLSChannel


@implementer(IReadDescriptor, IWriteDescriptor)
class Handshake:
    """One handshake under way, under a deadline."""

    __slots__ = ("_channel", "_deadline", "_fd", "_reactor", "_reading", "_writing", "result")

    def __init__(self, reactor: DescriptorReactor, channel: TLSChannel) -> None:
        self._reactor = reactor
        self._channel = channel
        self._fd = channel.fileno()
        self._reading = self._writing = False
        self._deadline: IDelayedCall | None = None
        self.result: Deferred[TLSChannel] = Deferred(self._cancelled)

    def start(self, timeout: float) -> None:
        """Take the first step at once, unless it is the client's, who does not make its hello that fast."""
        if self._channel.listens:
            self._watch(reading=True, writing=False)
        else:
            self._step()
        if timeout > 0 and not self.result.called:
            self._deadline = self._reactor.callLater(timeout, self._late)

    def fileno(self) -> int:
        """The channel's descriptor."""
        return self._fd

    def doRead(self) -> None:
        """Readable."""
        self._step()

    def doWrite(self) -> None:
        """Writable."""
        self._step()

    def connectionLost(self, reason: Failure) -> None:
        """Hang-up."""
        self._fail(DataTLSRefused(detail="hang-up during the handshake"))

    def logPrefix(self) -> str:
        """For the log context."""
        return "tls"

    def _step(self) -> None:
        if self.result.called:
            return
        try:
            self._channel.handshake()
        except WantRead:
            self._watch(reading=True, writing=False)
        except WantWrite:
            self._watch(reading=False, writing=True)
        except DataTLSRefused as error:
            self._fail(error)
        else:
            self._stop()
            self.result.callback(self._channel)

    def _watch(self, *, reading: bool, writing: bool) -> None:
        if reading != self._reading:
            self._reading = reading
            (self._reactor.addReader if reading else self._reactor.removeReader)(self)
        if writing != self._writing:
            self._writing = writing
            (self._reactor.addWriter if writing else self._reactor.removeWriter)(self)

    def _stop(self) -> None:
        self._watch(reading=False, writing=False)
        deadline, self._deadline = self._deadline, None
        if deadline is not None and deadline.active():
            deadline.cancel()

    def _late(self) -> None:
        self._fail(TimedOut(detail="TLS handshake"))

    def _cancelled(self, result: Deferred[TLSChannel]) -> None:
        self._fail(Cancelled(detail="TLS handshake"))

    def _fail(self, error: XferError) -> None:
        self._stop()
        self._channel.abort()
        if not self.result.called:
            self.result.errback(error)


def handshake_channel(
    reactor: DescriptorReactor, channel: TLSChannel, timeout: float
) -> Deferred[TLSChannel]:
    """Drive the handshake of ``channel``.

    Fails with DataTLSRefused, TimedOut or Cancelled, the channel then being closed.
    """
    handshake = Handshake(reactor, channel)
    handshake.start(timeout)
    return handshake.result
