"""What TLS a session has, what it must have, and whose data connections are (RFC 4217)."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any, Final

from twisted.internet.defer import Deferred, fail
from twisted.internet.defer import TimeoutError as DeadlinePassed
from twisted.python.failure import Failure

from twisted_xfer.errors import DataTLSRefused, TimedOut
from twisted_xfer.interfaces import CertificateFacts, IChannel, IHost, ISecureChannel, ITLSSession
from twisted_xfer.protocols.ftp.options import FTPOptions
from twisted_xfer.protocols.ftp.siblings import Siblings
from twisted_xfer.protocols.ftp.wire.replies import reply

#: What ALPN calls us (IANA, RFC 4217).
ALPN: Final = b"ftp"
#: Letters of a CLNT argument that are remembered.
MAX_CLIENT: Final = 128

#: RFC 4217 section 10.3.
DATA_MUST_BE_PRIVATE: Final = reply(
    521, "Data connections must be protected here: send PBSZ 0 and PROT P first."
)


class Protection:
    """The TLS of one session.

    Attributes:
        tls: that of the control connection, from the moment when its handshake begins.
        handshaking: the handshake of the control connection is under way.
        control: it is done.
        cleared: the control connection has left TLS again (CCC).
        siblings: the sessions of the same listener.
        silent: nobody has been greeted yet, who has to be greeted in TLS.
        private: data connections use TLS (PROT P).
        sized: PBSZ was given.
        client: what CLNT said.
        data_by_account: whoever is logged in transfers nothing without TLS, whatever the listener allows.
    """

    __slots__ = (
        "_host", "_must", "_options", "_peer", "_resumed", "_session_id", "_since", "_spent", "_thrifty", "_username",
        "cleared", "client", "control", "data_by_account", "handshaking", "private", "siblings", "silent", "sized", "tls",
    )  # fmt: skip

    def __init__(
        self, host: IHost, options: FTPOptions, peer: str, session_id: str, siblings: Siblings | None = None
    ) -> None:
        self._host = host
        self._options = options
        self._peer = peer
        self._must = options.require_tls
        self._session_id = session_id
        self.siblings = siblings or Siblings()
        self._username = ""
        self._since = 0.0
        self._resumed = self._spent = self._thrifty = False
        self.tls: ITLSSession | None = None
        self.handshaking = False
        self.control = False
        self.cleared = False
        self.silent = False
        self.private = False
        self.sized = False
        self.client = ""
        self.data_by_account = False

    @property
    def control_required(self) -> bool:
        """Whether nobody may log in without TLS."""
        return self._must in {"control", "both", True}

    @property
    def data_required(self) -> bool:
        """Whether nothing may be transferred without TLS."""
        return self.data_by_account or self._must in {"data", "both", True}

    @property
    def facts(self) -> CertificateFacts | None:
        """What the client's certificate says, while the control connection is in TLS; None without one."""
        return self.tls.facts if self.tls is not None and self.control else None

    @property
    def refused(self) -> bytes | None:
        """The reply that refuses a transfer as things are; None when it may begin."""
        return None if self.private or not self.data_required else DATA_MUST_BE_PRIVATE

    def begin(self) -> ITLSSession:
        """TLS is about to start on the control connection."""
        if self._host.tls is None:
            raise DataTLSRefused(detail="no certificate")
        self.tls = self._host.tls.control_session(ALPN)
        self.handshaking = True
        self.private = self.sized = False
        return self.tls

    def secure(self, channel: IChannel) -> Deferred[IChannel]:
        """The channel in TLS, after its handshake.

        Fails with DataTLSRefused: no TLS on it, or not the session of the control connection; the
        channel is closed then.
        """
        tls = self.tls
        if tls is None:
            channel.abort()
            return fail(DataTLSRefused(detail="no certificate"))
        handshake: Deferred[Any] = tls.secure(channel, self._host.timeouts.handshake)
        return handshake.addCallbacks(self._shaken, _too_slow)

    def _shaken(self, channel: ISecureChannel) -> IChannel | Deferred[IChannel]:
        """Hold the data connection against the control connection."""
        if channel.resumed:
            if self._options.tls_resumption != "off":
                self._resumed = True
                self._thrifty = self._thrifty or self._spent
            self._spent = channel.one_ticket
            return channel
        return Deferred.fromCoroutine(self._bind(channel))

    def delivered(self) -> None:
        """A download is done: with it the client has read its next ticket."""
        self._spent = False

    def expect(self, channel: IChannel, size: int | None, offset: int) -> None:
        """What ends an upload without close_notify: the ``size`` that ALLO announced, if any.

        RFC 959 leaves open whether that counts what lies before the restart point at ``offset``.
        """
        anywhere = bool(self._options.tls_no_close_notify) and self._never_ends_cleanly()
        if not channel.secure or (size is None and not anywhere) or not ISecureChannel.providedBy(channel):
            return
        secured = ISecureChannel(channel)
        if anywhere:
            secured.accept_end()
        elif size is not None:
            secured.accept_end(size, size - offset)

    async def _bind(self, channel: ISecureChannel) -> IChannel:
        """Take a data connection that did not resume the session, or else close it.

        Raises:
            DataTLSRefused: it is not shown to be the same client's.
        """
        try:
            await self._excuse(channel)
        except BaseException:
            channel.abort()
            raise
        self._spent = channel.one_ticket
        return channel

    async def _excuse(self, channel: ISecureChannel) -> None:
        """Bear with a data connection that did not resume the session.

        In TLS 1.3, curl and others use a ticket once. Having sent a file they cannot resume, since
        they close before they read the next ticket: ``auto`` bears with that, unless this client
        has shown that it can resume all the same. Nor does it demand of a client what it may have
        got from another of its own sessions.

        A client that has shown a certificate shows it again or resumes, whatever the mode: its key
        proves as much as the session.

        Raises:
            DataTLSRefused: it is not shown to be the same client's.
        """
        certificate = self.tls.certificate if self.tls is not None else None
        if certificate is not None:
            if channel.certificate == certificate:
                return
            self._report(refused=True)
            raise DataTLSRefused(detail="not the certificate of the control connection", certificate=True)
        mode = self._options.tls_resumption
        if mode == "off":
            return
        if mode == "prefer" or (mode == "auto" and (not self._demanded or await self._is_siblings())):
            self._report(refused=False)
        else:
            self._report(refused=True)
            raise DataTLSRefused(detail="session not resumed", resumption=True)

    @property
    def _demanded(self) -> bool:
        """Whether this client resumes when it can, and can now."""
        return self._resumed and (self._thrifty or not self._spent)

    async def _is_siblings(self) -> bool:
        """Whether the client has another session, whose ticket it may have offered.

        A session that is about to log in counts once it has done so, and this waits for it: the
        client has its ticket from the end of the TLS handshake on, long before its login is through.
        Nobody can make it wait for more than a handshake may take.
        """
        clock = self._host.clock
        limit = self._host.timeouts.handshake
        deadline = clock.seconds() + limit
        while True:
            now = clock.seconds()
            if self.siblings.has(self._peer, self._username, self._session_id, now, self._since):
                return True
            left = self.siblings.stranger_left(self._peer, self._session_id)
            if left is None:
                return False
            if limit:
                left.addTimeout(max(0.0, deadline - now), clock)
            try:
                await left
            except DeadlinePassed:
                return False

    def secured(self) -> None:
        """The handshake of the control connection is done."""
        self.handshaking = False
        self.control = True
        self.siblings.arrive(self._peer, self._session_id)

    def clear(self) -> None:
        """The control connection leaves TLS; data connections go on to resume its session."""
        self.control = False
        self.cleared = True

    def logged_in(self, username: str) -> None:
        """Who it is."""
        self.logged_out()
        self._username = username
        self._since = self._host.clock.seconds()
        self.siblings.begin(self._peer, username, self._session_id, self._since)

    def logged_out(self) -> None:
        """Nobody any more."""
        if self._username:
            self.siblings.end(self._peer, self._username, self._session_id, self._host.clock.seconds())
            self._username = ""

    def lost(self) -> None:
        """The control connection is gone."""
        self.siblings.leave(self._peer, self._session_id)

    def _report(self, *, refused: bool) -> None:
        if self._host.events.active:
            self._host.events.emit(
                "data.not_resumed",
                session=self._session_id,
                protocol="ftp",
                username=self._username,
                peer=self._peer,
                refused=refused,
            )

    def _never_ends_cleanly(self) -> bool:
        """Whether this client is on the list of those that never send close_notify."""
        patterns = self._options.tls_no_close_notify
        return any(
            fnmatchcase(self._peer, pattern) or fnmatchcase(self.client.lower(), pattern.lower())
            for pattern in patterns
        )


def _too_slow(failure: Failure) -> Failure:
    """A handshake that takes too long is TLS refused."""
    if isinstance(failure.value, TimedOut):
        raise DataTLSRefused(detail="TLS handshake took too long") from failure.value
    return failure
