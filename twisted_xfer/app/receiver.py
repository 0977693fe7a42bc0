"""Receive from Python code: a place that listens in this process, and the code that senders need.

receiver = receive(reactor, "inbox")
print(receiver.url, receiver.code)
summary = await receiver.received()
"""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
from collections import deque
from typing import Any, Final

import attrs
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from twisted_xfer.app.build import Daemon, build
from twisted_xfer.app.load import load
from twisted_xfer.app.rules import freeze
from twisted_xfer.app.tls import make_demo_certificate
from twisted_xfer.errors import LoginFailed, ShuttingDown
from twisted_xfer.interfaces import Account, Right
from twisted_xfer.protocols.xfer.caller import Login, Target
from twisted_xfer.protocols.xfer.pairing import make_code
from twisted_xfer.protocols.xfer.report import OnEvent, Summary, TransferEvent, ignore

_ACCOUNT: Final = "xfer"
#: Transfers kept until somebody asks: whoever has the code may come often, and most never ask.
MAX_ENDED: Final = 100
#: Addresses that mean every interface of their kind.
_ANY_IPV4: Final = "0.0.0.0"  # noqa: S104 - what was asked for with an empty host
_ANY_IPV6: Final = "::"


def _takes_both() -> bool:
    """Whether whoever listens at every IPv6 address has the IPv4 ones too, as is usual."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            return not probe.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    except OSError:
        return False


def _from_here(host: str) -> str:
    """How this machine itself gets to who listens at ``host``."""
    if host == _ANY_IPV6 and not _takes_both():
        return "::1"
    return "127.0.0.1" if host in {_ANY_IPV4, _ANY_IPV6} else host


@implementer(ICredentialsChecker)
class _OneAccount:
    """The account behind the code: it stores new files, and replaces others only where that is allowed."""

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, password: str, *, overwrite: bool) -> None:
        rights = {Right.WRITE, Right.APPEND, Right.MKDIR, Right.LIST, Right.CHMOD, Right.UTIME}
        if overwrite:
            rights.add(Right.OVERWRITE)
        self._account = Account(_ACCOUNT, rights=frozenset(rights))
        self._password = password.encode()

    def requestAvatarId(self, credentials: Any) -> Any:
        """The account. Raises UnauthorizedLogin."""
        if credentials.username != _ACCOUNT.encode() or not credentials.checkPassword(self._password):
            raise UnauthorizedLogin
        return self._account


class Receiver:
    """Waits for senders who know the code, until ``stop``; made by ``receive``.

    Attributes:
        host, port: where it listens.
        code: what a sender needs. One wrong guess voids it.
        pin: SHA-256 of the public key, for ``#sha256=``; empty without TLS.
        plain: whether it speaks without TLS.
    """

    _log = Logger(namespace="xfer")

    def __init__(
        self, daemon: Daemon, code: str, pin: str, *, plain: bool, on_event: OnEvent = ignore
    ) -> None:
        place: Any = daemon.places[0]
        address = place.port.getHost()
        self.host: str = address.host
        self.port: int = address.port
        self.code = code
        self.pin = pin
        self.plain = plain
        self._daemon = daemon
        self._on_event = on_event
        self._summary = Summary()
        self._ended: deque[Summary] = deque(maxlen=MAX_ENDED)
        self._waiting: list[Deferred[Summary]] = []
        self._over: Exception | None = None
        place.factory.inner.on_event = self._note
        place.factory.inner.on_received = self._one_received
        place.factory.inner.on_void = self._voided

    @property
    def url(self) -> str:
        """Where to send to, from this machine if it listens everywhere."""
        host = _from_here(self.host)
        shown = f"[{host}]" if ":" in host else host
        return f"xfer://{shown}:{self.port}/{f'#sha256={self.pin}' if self.pin else ''}"

    @property
    def target(self) -> Target:
        """The same for ``send``."""
        return Target(_from_here(self.host), self.port, pin=self.pin)

    @property
    def login(self) -> Login:
        """And how to log in there."""
        return Login(code=self.code, plain=self.plain)

    def received(self) -> Deferred[Summary]:
        """Fires when a sender's whole offer is answered, with what came since the last time.

        Answers at once where one came already. Fails with LoginFailed when a wrong guess has voided
        the code, with ShuttingDown when stopped.
        """
        answer: Deferred[Summary] = Deferred(self._cancelled)
        if self._ended:
            answer.callback(self._ended.popleft())
        elif self._over is not None:
            answer.errback(self._over)
        else:
            self._waiting.append(answer)
        return answer

    def stop(self) -> Deferred[None]:
        """Listen no more and let transfers under way end; fires when nothing of it is left."""
        self._end(ShuttingDown())
        return self._daemon.stopService()

    def hurry(self) -> None:
        """After ``stop``: wait no more for transfers under way. Senders can go on with them later."""
        self._daemon.hurry()

    def _cancelled(self, answer: Deferred[Summary]) -> None:
        self._waiting.remove(answer)

    def _note(self, event: TransferEvent) -> None:
        self._summary.note(event)
        try:
            self._on_event(event)
        except Exception:  # noqa: BLE001 - senders have no part in what is wrong with whoever watches
            self._log.failure("on_event failed")

    def _one_received(self) -> None:
        summary, self._summary = self._summary, Summary()
        if self._waiting:
            self._waiting.pop(0).callback(summary)
        else:
            self._ended.append(summary)

    def _voided(self, peer: str) -> None:
        host = peer.removeprefix("::ffff:") if "." in peer else peer
        self._end(LoginFailed(host, "a wrong code came, so that it is void"))

    def _end(self, error: Exception) -> None:
        self._over = self._over or error
        waiting, self._waiting = self._waiting, []
        for answer in waiting:
            answer.errback(error)


def receive(
    reactor: Any,
    directory: str | os.PathLike[str],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    code: str = "",
    plain: bool = False,
    certificate: str = "",
    overwrite: bool = False,
    links: bool = False,
    on_event: OnEvent = ignore,
) -> Receiver:
    """Listen for senders, whose files go into ``directory``; they may store new files there, nothing else.

    Args:
        reactor: what to listen with; it need not run yet.
        directory: it must be there.
        host: address to listen at; empty for every one.
        port: 0 takes a free one.
        code: a fresh one unless given.
        plain: without TLS.
        certificate: PEM file of a key and its certificate; without one they are made for this time.
        overwrite: let senders replace what is there.
        links: make the symbolic links that are sent, those that lead nowhere out of ``directory``.
        on_event: hears of every step of every sender. What it raises is logged.

    Raises:
        ConfigError: a directory, address or certificate of no use.
    """
    password = secrets.token_urlsafe(24)
    code = code or make_code(secrets.token_bytes)
    host = host or (_ANY_IPV6 if _takes_both() else _ANY_IPV4)
    place = f"xfer={'tcp6' if ':' in host else 'tcp'}:{port}:interface={host.replace(':', chr(92) + ':')}"
    flags: dict[str, object] = {"root": os.path.abspath(directory), "home": "{root}", "listen": [place]}
    options = {
        "plain": "always" if plain else "never",
        "code": code,
        "code_username": _ACCOUNT,
        "code_password": password,
        "links": "inside" if links else "refuse",
    }
    pin = ""
    with tempfile.TemporaryDirectory(prefix="xfer-receive-") as made:
        if not plain:
            key = certificate
            if not certificate:
                certificate, key = make_demo_certificate(made)
            flags["tls-certificate"], flags["tls-key"] = certificate, key
        config = attrs.evolve(load("", flags), protocols=freeze({"xfer": options}))
        daemon = build(config, reactor, checkers=[_OneAccount(password, overwrite=overwrite)], signals=False)
        if not plain:
            pin = _pin_of(certificate)
        # While the files are there, whose absence it would warn of.
        daemon.privilegedStartService()
        receiver = Receiver(daemon, code, pin, plain=plain, on_event=on_event)
        daemon.startService()
    return receiver


def _pin_of(certificate: str) -> str:
    from OpenSSL import crypto

    from twisted_xfer.protocols.xfer.secure import key_digest

    with open(certificate, "rb") as stream:
        return key_digest(crypto.load_certificate(crypto.FILETYPE_PEM, stream.read()))
