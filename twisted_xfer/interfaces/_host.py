"""What the daemon offers to protocols and plugins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import Attribute, Interface

from twisted_xfer.interfaces._avatar import ILogin
from twisted_xfer.interfaces._both import IBlocking, RandomBytes
from twisted_xfer.interfaces._certificate import CertificateFacts
from twisted_xfer.interfaces._events import IEvents
from twisted_xfer.interfaces._transfer import IChannel, IDataPorts, ILimits, ITransfers
from twisted_xfer.values import Value


@attrs.frozen(eq=False, repr=False)
class Timeouts(Value):
    """Deadlines in seconds; 0 switches one off."""

    idle: float = 300.0
    login: float = 60.0
    stall: float = 120.0
    accept: float = 30.0
    handshake: float = 20.0


class ISecureChannel(IChannel):
    """A data connection in TLS, its handshake done."""

    resumed: bool = Attribute(
        "whether it resumed a session of its control connection: it is the same client's"
    )

    one_ticket: bool = Attribute(
        "whether it used up the client's ticket, until the client has read what it sends (TLS 1.3)"
    )

    certificate: object | None = Attribute(
        "as that of ITLSSession, of this connection or the session resumed"
    )

    def send_last(data: bytes | memoryview) -> int:
        """As send(), for what nothing comes after: it may stay here until shutdown() sends all at once."""

    def accept_end(*received: int) -> None:
        """Take an end without close_notify for a clean one after exactly so many bytes.

        Without an argument at any place, for clients that never send close_notify.
        """


class ITLSSession(Interface):
    """The TLS of one control connection and its data connections.

    A TLS session of theirs is resumed by nobody else's connection: one that is resumed on a data
    connection proves that the client of the control connection made it.
    """

    creator: object = Attribute("what ITLSTransport.startTLS takes for the server's end")
    version: str = Attribute("TLS version of the control connection; empty before its handshake")
    cipher: str = Attribute("its cipher; empty before its handshake")
    certificate: object | None = Attribute("the client's verified cryptography.x509.Certificate, or None")
    facts: CertificateFacts | None = Attribute("what that certificate says; None without one")

    def refusal(reason: BaseException | None) -> str:
        """Why the handshake of the control connection failed, for a log; ``reason`` is what ended it.

        Empty when nobody knows.
        """

    def start(transport: object) -> None:
        """Have the control connection go over to TLS behind what was written to ``transport``.

        The protocol is told by ``handshakeCompleted`` (IHandshakeListener), or by the end of the
        connection, whose reason ``refusal`` can explain.
        """

    def leave(transport: object, timeout: float) -> None:
        """Take TLS off the control connection again (CCC), once its client has sent close_notify.

        ``timeout`` seconds (0: no limit) are given for that; then, or at anything else from the
        client, the connection is aborted. Nothing may be written to ``transport`` meanwhile.
        """

    def secure(channel: IChannel, timeout: float) -> Deferred[ISecureChannel]:
        """The server's handshake over ``channel``, which belongs to the answer from here on.

        Fails with DataTLSRefused, TimedOut or Cancelled, the channel then being closed.
        """


class ITLS(Interface):
    """TLS for one daemon: certificates, reload, and sessions that belong to one control connection."""

    def control_session(alpn: bytes = b"") -> ITLSSession:
        """TLS for a fresh control connection.

        A client that offers ALPN protocols must offer ``alpn`` among them, unless that is empty.
        """


class IRounds(Interface):
    """One timer for all deadlines that need no more precision than about a second."""

    def join(call: Callable[[float], object]) -> None:
        """Have ``call(now)`` called about every second, ``now`` being the clock's seconds; twice is once."""

    def leave(call: Callable[[float], object]) -> None:
        """Call it no more. What has no connections left has left the rounds, too."""


class IHost(Interface):
    """Everything a protocol may use. Protocols import nothing of the kernel; they ask here."""

    login: ILogin = Attribute("ILogin: the one way in")
    transfers: ITransfers = Attribute("ITransfers")
    data_ports: IDataPorts = Attribute("IDataPorts")
    limits: ILimits = Attribute("ILimits")
    events: IEvents = Attribute("IEvents")
    blocking: IBlocking = Attribute("IBlocking")
    tls: ITLS | None = Attribute("ITLS, or None when no certificate is configured")
    clock: IReactorTime = Attribute("IReactorTime: for every deadline")
    rounds: IRounds = Attribute("IRounds: cheaper than a timer, for deadlines of seconds")
    random: RandomBytes = Attribute("random bytes")
    log: Logger = Attribute("twisted.logger.Logger for diagnostics")
    timeouts: Timeouts = Attribute("Timeouts")
    server_name: str = Attribute("what to call ourselves in greetings")

    def wall_time() -> float:
        """Unix time in seconds; frozen in tests."""

    def new_session_id() -> str:
        """A short id, unique in the daemon's life, for logs, events and replies."""

    def command_rows(plugin: str, options: Mapping[str, object]) -> Iterable[object]:
        """The rows of the command plugin of this name (see ICommandPlugin), ``options`` being its table.

        Raises:
            PluginError: there is none, or it is broken.
            ConfigError: its options are wrong.
        """
