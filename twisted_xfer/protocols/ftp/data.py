"""The data connection of one session: how the next one is to be made, and making it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, cast

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.python.failure import Failure

from twisted_xfer.errors import Busy, Cancelled, DataConnectionFailed, TimedOut
from twisted_xfer.interfaces import IChannel, IHost, IPassivePort
from twisted_xfer.protocols.ftp.protection import Protection
from twisted_xfer.protocols.ftp.wire.replies import reply

NO_DATA: Final = reply(425, "Use PASV, EPSV, PORT or EPRT first.")
#: A listening port unused for so long goes back to the range; a busy session keeps its own, because
#: a bind per transfer costs more than the transfer of a small file.
PORT_LINGER: Final = 10.0


class DataLink:
    """What PASV, EPSV, PORT and EPRT set up, used up by one transfer.

    Where it is bounded: one passive port a session, out of the range of ``IDataPorts``; only the
    control connection's peer may connect or be connected to; each wait has a deadline.
    """

    __slots__ = (
        "_active", "_early", "_host", "_local", "_passive", "_pending", "_port", "_protection", "_reclaim", "_used", "peer"
    )  # fmt: skip

    def __init__(
        self, host: IHost, local: str, peer: str, protection: Protection, reclaim: Callable[[], None]
    ) -> None:
        self._host = host
        #: Has other sessions give back ports that they only keep.
        self._reclaim = reclaim
        self._local = local
        self.peer = peer
        self._protection = protection
        self._port: IPassivePort | None = None
        self._passive = False
        self._active: int = 0
        self._used = 0.0
        self._pending: Deferred[IChannel] | None = None
        #: In TLS: a connection that is accepted before the command, since some clients (aioftp) wait
        #: for its handshake before they say what it is for.
        self._early: Deferred[IChannel] | None = None

    def listen(self) -> int:
        """Make ready for the client to connect; returns the port.

        Raises:
            DataConnectionFailed: the passive range is used up.
        """
        self._forget_early()
        if self._port is None:
            self._port = self._free_port()
        else:
            self._port.clear()
        self._passive, self._active = True, 0
        self._used = self._host.clock.seconds()
        if self._protection.private:
            self._port.on_next(self._arrived)
        return self._port.port

    def begin_early(self) -> None:
        """Take the connection that a passive port waits for as PROT now has it, in TLS before the command.

        The level in force when the transfer command comes is what counts (RFC 4217 section 9).
        """
        self._forget_early()
        if self._passive and self._port is not None and self._protection.private:
            self._port.on_next(self._arrived)

    def _arrived(self, channel: IChannel) -> None:
        self._early = self._protection.secure(channel)

    def _free_port(self) -> IPassivePort:
        ports = self._host.data_ports
        try:
            return ports.listen(self._local, self.peer)
        except Busy:
            self._reclaim()
        try:
            return ports.listen(self._local, self.peer)
        except Busy as error:
            # RFC 959 section 5.4 knows no 450 in answer to PASV.
            raise DataConnectionFailed(None, "no passive port is free") from error

    def dial(self, port: int) -> None:
        """Make ready to connect to ``port`` of the control connection's peer."""
        self._passive, self._active = False, port

    @property
    def refusal(self) -> bytes | None:
        """The reply that refuses a transfer as things are; None when it may start."""
        refused = self._protection.refused
        if refused is not None:
            return refused
        return None if self._passive or self._active != 0 else NO_DATA

    def open(self) -> IChannel | Deferred[IChannel]:
        """The data connection, once, in TLS after PROT P; at once where it is there already.

        Fails with DataConnectionFailed, DataTLSRefused or Cancelled.
        """
        passive, port = self._passive, self._active
        self._passive, self._active = False, 0
        timeout = self._host.timeouts.accept
        self._used = self._host.clock.seconds()
        pending: Deferred[IChannel]
        private = self._protection.private
        if self._early is not None and not (passive and private):
            self._forget_early()
        if self._early is not None:
            pending, self._early = self._early, None
        else:
            if passive and self._port is not None:
                pending = self._port.accept(timeout)
            elif port:
                pending = self._host.data_ports.connect(self.peer, port, self._local, timeout)
            else:
                pending = fail(DataConnectionFailed(None, "no PASV, EPSV, PORT or EPRT before"))
            if private:
                pending = pending.addCallback(self._protection.secure)
        if pending.called:
            there: object = pending.result
            if not isinstance(there, (Deferred, Failure)):
                return cast("IChannel", there)
        self._pending = pending
        return pending.addBoth(self._opened)

    def _opened(self, result: object) -> object:
        self._pending = None
        if isinstance(result, Failure):
            error = result.value
            if isinstance(error, CancelledError):
                raise Cancelled from None
            if isinstance(error, TimedOut):
                # A deadline that passed before there was a data connection is a 425, not a 426.
                raise DataConnectionFailed(None, "nobody connected in time") from error
        return result

    def _forget_early(self) -> None:
        early, self._early = self._early, None
        if self._port is not None:
            self._port.on_next(None)
        if early is not None:
            early.addCallbacks(lambda channel: channel.abort(), lambda _failure: None)
            early.cancel()

    def cancel(self) -> None:
        """Stop waiting for a connection."""
        if self._pending is not None:
            self._pending.cancel()

    def release_unused(self, now: float) -> None:
        """Give the port back when it has not been used for a while."""
        if self._port is None or self._pending is not None:
            return
        # A client that asked for a port and then asks for no transfer gets as long as it would
        # have had to connect.
        limit = self._host.timeouts.accept if self._passive else PORT_LINGER
        if limit and now - self._used > limit:
            self._give_back()

    def release_lingering(self) -> None:
        """Give the port back if it is only kept for the next transfer: somebody needs one now."""
        if self._port is not None and self._pending is None and not self._passive:
            self._give_back()

    def _give_back(self) -> None:
        self._passive = False
        self._forget_early()
        if self._port is not None:
            self._port.close()
            self._port = None

    def close(self) -> None:
        """Let go of everything."""
        self.cancel()
        self._active = 0
        self._give_back()
