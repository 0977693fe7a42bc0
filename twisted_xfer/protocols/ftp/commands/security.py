"""TLS: AUTH, PBSZ, PROT, CCC (RFC 2228 section 3, RFC 4217)."""

from __future__ import annotations

from typing import Final

from twisted_xfer.protocols.ftp.session import FTPSession, Handler
from twisted_xfer.protocols.ftp.wire import replies
from twisted_xfer.protocols.ftp.wire.replies import reply

#: Mechanisms to whether they mean PROT P as well, as the drafts before RFC 4217 had it.
MECHANISMS: Final = {b"TLS": False, b"TLS-C": False, b"TLS-P": True, b"SSL": True}

_NEED_AUTH: Final = reply(503, "Send AUTH TLS first.")
_LEVELS: Final = {b"S": reply(536, "Only PROT C and PROT P."), b"E": reply(536, "Only PROT C and PROT P.")}


def authenticate(session: FTPSession, argument: bytes) -> bytes:
    """AUTH: go over to TLS; nothing that came before counts afterwards (CVE-2011-0411)."""
    if session.host.tls is None:
        return replies.NOT_IMPLEMENTED
    if session.protection.control:
        return reply(503, "This connection is in TLS already.")
    if session.protection.cleared:
        return reply(503, "This connection has left TLS.")
    private = MECHANISMS.get(argument.upper())
    if private is None:
        return reply(504, "Only AUTH TLS.")
    if not session.channel.can_start_tls:
        return reply(431, "TLS cannot start on this connection.")
    start_tls(session, reply(234, "Go ahead with TLS."))
    session.protection.private = private
    return b""


def start_tls(session: FTPSession, last: bytes) -> None:
    """Say ``last`` in clear, and go over to TLS as a session that nobody has logged into.

    Bytes behind the command were put there by somebody else, who wants them taken for bytes from
    within TLS: they end the connection.
    """
    if session.wire.clear() or session.waiting:
        session.emit("connection.injected")
        session.waiting.clear()
        session.refuse(b"")
        return
    session.reset()
    session.data.close()
    session.say(last)
    session.flush()
    session.limit(session.host.timeouts.handshake)
    session.channel.start_tls(session.protection.begin())


def start_implicit(session: FTPSession) -> None:
    """TLS from the first byte, for data too: what ``ftps`` means by itself (draft-murray-auth-ftp-ssl)."""
    if not session.channel.can_start_tls:
        session.host.log.error("TLS cannot start on a connection of {protocol}", protocol="ftps")
        session.refuse(b"")
        return
    start_tls(session, b"")
    session.protection.private = True


def secured(session: FTPSession) -> None:
    """The handshake of the control connection is done."""
    protection = session.protection
    protection.secured()
    session.limit(session.host.timeouts.login)
    if protection.silent:
        protection.silent = False
        session.greet()


def not_secured(session: FTPSession, error: BaseException | None) -> None:
    """The control connection ended in its handshake: say why, if it was refused."""
    tls = session.protection.tls
    reason = tls.refusal(error) if tls is not None else ""
    if reason:
        session.host.log.info("TLS of {peer} refused: {reason}", peer=session.peer, reason=reason)
        session.emit("tls.refused", reason=reason)


def buffer_size(session: FTPSession, argument: bytes) -> bytes:
    """PBSZ: 0 is all there is with TLS (RFC 4217 section 9)."""
    if not session.protection.control:
        return _NEED_AUTH
    if not argument.isdigit():
        return reply(501, "PBSZ takes a number.")
    session.protection.sized = True
    return reply(200, "PBSZ=0")


def protection_level(session: FTPSession, argument: bytes) -> bytes:
    """PROT: whether data connections use TLS."""
    protection = session.protection
    if not protection.control:
        return _NEED_AUTH
    if not protection.sized:
        return reply(503, "Send PBSZ 0 first.")
    level = argument.upper()
    if level == b"P":
        return _set_level(session, reply(200, "Data connections use TLS."), private=True)
    if level != b"C":
        return _LEVELS.get(level, reply(504, "Only PROT C and PROT P."))
    if protection.data_required:
        # RFC 4217 section 9.
        return reply(534, "Policy wants protected data connections: PROT P only.")
    return _set_level(session, reply(200, "Data connections are in clear."), private=False)


def _set_level(session: FTPSession, answer: bytes, *, private: bool) -> bytes:
    if session.protection.private != private:
        session.protection.private = private
        session.data.begin_early()
    return answer


def clear_command_channel(session: FTPSession, argument: bytes) -> bytes:
    """CCC: refused unless an option allows it, for whoever is on the network can go on with the session then.

    The login stays, and so does the protection of data connections: nobody can change it any more.
    """
    protection = session.protection
    if not protection.control or protection.tls is None:
        return _NEED_AUTH
    if not session.options.ccc:
        return reply(533, "The control connection stays in TLS.")
    if protection.control_required or session.host.login.requires_tls(session.username):
        return reply(534, "Policy wants a protected control connection.")
    if session.wire.clear() or session.waiting:
        # What was sent behind it might be meant for either side of the border.
        session.waiting.clear()
        session.refuse(b"")
        return b""
    session.say(reply(200, "Send close_notify; then in clear."))
    session.flush()
    protection.clear()
    session.channel.leave_tls(protection.tls, session.host.timeouts.handshake)
    return b""


HANDLERS: Final[dict[bytes, Handler]] = {
    b"AUTH": authenticate,
    b"PBSZ": buffer_size,
    b"PROT": protection_level,
    b"CCC": clear_command_channel,
}
