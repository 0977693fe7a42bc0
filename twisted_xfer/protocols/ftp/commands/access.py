"""Login and logout: USER, PASS, ACCT, REIN, QUIT (RFC 959 section 4.1.1), CLNT."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.cred.credentials import Anonymous, UsernamePassword
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twisted_xfer.errors import ConfigError, LoginRefused, TLSRequired
from twisted_xfer.interfaces import Eventually, IAvatar, LoginContext
from twisted_xfer.protocols.ftp.charset import NameCodec
from twisted_xfer.protocols.ftp.errormap import reply_for
from twisted_xfer.protocols.ftp.protection import MAX_CLIENT
from twisted_xfer.protocols.ftp.session import FTPSession, Handler
from twisted_xfer.protocols.ftp.wire.replies import (
    ACCT_SUPERFLUOUS,
    GOODBYE,
    LOGGED_IN,
    LOGGED_IN_BY_CERTIFICATE,
    NEED_PASSWORD,
    reply,
)
from twisted_xfer.protocols.ftp.wire.states import SessionState

#: The names by which RFC 1635 guests log in.
ANONYMOUS_NAMES: Final = frozenset({"anonymous", "ftp"})


def user(session: FTPSession, argument: bytes) -> Eventually[bytes]:
    """USER: 331, so that nobody learns which names exist; 232 when the client's certificate is enough (RFC 2228)."""
    # Names are looked up as text; bytes that are no UTF-8 survive as surrogates.
    name = session.codec.to_storage(argument.rstrip(b" ")).decode("utf-8", "surrogateescape")
    if not session.protection.control and (
        session.protection.control_required or session.host.login.requires_tls(name)
    ):
        # Before the password is asked for, or it would have crossed the network already.
        return reply_for(TLSRequired())
    # A failure below leaves nobody whose password could be tried.
    session.sequence.state = SessionState.NEW
    session.username = name
    login = session.host.login
    if session.protection.facts is None or (name.lower() in ANONYMOUS_NAMES and login.anonymous):
        return _ask_password(session)
    answer = login.by_certificate(name, _context(session))
    if answer is None:
        return _ask_password(session)
    return _go_on(session, answer, _welcome_or_ask)


def _ask_password(session: FTPSession) -> bytes:
    session.sequence.state = SessionState.NEED_PASSWORD
    if session.username.lower() in ANONYMOUS_NAMES and session.host.login.anonymous:
        return reply(331, "Guest login: send your e-mail address as password.")
    return NEED_PASSWORD


def password(session: FTPSession, argument: bytes) -> Eventually[bytes]:
    """PASS: through the one way in."""
    # Until there is an answer no second PASS may be tried against the same USER.
    session.sequence.state = SessionState.NEW
    login = session.host.login
    credentials: object
    if session.username.lower() in ANONYMOUS_NAMES and login.anonymous:
        credentials = Anonymous()
    else:
        credentials = UsernamePassword(session.username.encode("utf-8", "surrogateescape"), argument)
    return _go_on(session, login.login(credentials, _context(session)), _welcome)


def _context(session: FTPSession) -> LoginContext:
    protection = session.protection
    return LoginContext(
        "ftp",
        session.session_id,
        session.peer,
        session.local,
        protection.control,
        protection.facts,
        data_apart=True,
        login=session.logins + 1,
    )


def _go_on(
    session: FTPSession, answer: Eventually[Any], reply_to: Callable[[FTPSession, Any], bytes]
) -> Eventually[bytes]:
    """The reply to what a login comes to, now or later."""
    if IAvatar.providedBy(answer):
        return reply_to(session, answer)
    pending: Deferred[Any] = answer if isinstance(answer, Deferred) else Deferred.fromCoroutine(answer)
    # Whoever ends the session meanwhile cancels it.
    session.login = pending
    return pending.addBoth(_answered, session).addCallback(lambda avatar: reply_to(session, avatar))


def _answered(result: IAvatar | Failure | None, session: FTPSession) -> IAvatar | Failure | None:
    session.login = None
    return result


def _welcome_or_ask(session: FTPSession, avatar: IAvatar | None) -> bytes:
    if avatar is None:
        return _ask_password(session)
    return _welcome(session, avatar) and LOGGED_IN_BY_CERTIFICATE


def _welcome(session: FTPSession, avatar: IAvatar) -> bytes:
    if session.closed or session.quitting:
        # The client left while its password was being checked.
        avatar.logout()
        return b""
    charset = avatar.account.charset
    if charset and not session.codec_chosen and charset != session.codec.charset:
        try:
            session.codec = NameCodec(charset)
        except ConfigError:
            avatar.logout()
            session.host.log.error("{user}: no charset {charset}", user=avatar.username, charset=charset)
            raise LoginRefused(avatar.username, "unknown charset") from None
    session.avatar = avatar
    session.logins += 1
    session.protection.data_by_account = avatar.account.tls_data
    if session.protection.control:
        session.protection.logged_in(avatar.username)
    session.username = avatar.username
    session.sequence.state = SessionState.LOGGED_IN
    session.idle = session.host.timeouts.idle
    session.touch()
    return LOGGED_IN


def account(session: FTPSession, argument: bytes) -> bytes:
    """ACCT: nobody here needs one."""
    return ACCT_SUPERFLUOUS


def reinitialize(session: FTPSession, argument: bytes) -> bytes:
    """REIN: as if just connected, on the same connection."""
    session.reset()
    session.data.close()
    session.limit(session.host.timeouts.login)
    return reply(220, session.options.banner)


def leave(session: FTPSession, argument: bytes) -> bytes:
    """QUIT."""
    session.quitting = True
    session.close(GOODBYE)
    return b""


def client_name(session: FTPSession, argument: bytes) -> bytes:
    """CLNT: the client says what it is, which only the list of clients without close_notify asks for."""
    session.protection.client = argument[:MAX_CLIENT].decode("utf-8", "replace")
    return reply(200, "Noted.")


HANDLERS: Final[dict[bytes, Handler]] = {
    b"USER": user,
    b"PASS": password,
    b"ACCT": account,
    b"REIN": reinitialize,
    b"QUIT": leave,
    b"CLNT": client_name,
}
