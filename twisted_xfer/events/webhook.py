"""Events by HTTP: POST requests with a signature, at least once."""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import attrs
from attrs.validators import ge, gt, le
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTCP
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.python.failure import Failure
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer
from zope.interface import implementer

from twisted_xfer.errors import ConfigError, XferError
from twisted_xfer.events.exec_plugin import known
from twisted_xfer.events.outbox import Courier, Refused, check_outbox
from twisted_xfer.events.outbox_store import DEFAULT_MOST, Parcel
from twisted_xfer.interfaces import API_VERSION, IHost, IListenerPlugin

#: Bytes of an answer's body that are read; the status says all.
MAX_ANSWER: Final = 65_536
#: Bytes of a secret: 128 bits at least, and no file by mistake.
MIN_SECRET: Final = 16
MAX_SECRET: Final = 4096
#: Requests at once.
MAX_AT_ONCE: Final = 16
#: Statuses of the 4xx that may be others the next time: timeout, too early, too many.
_PASSING: Final = frozenset({408, 425, 429})
SIGNATURE: Final = b"X-Xfer-Signature"
DELIVERY: Final = b"X-Xfer-Delivery"
_USER_AGENT: Final = b"twisted-xfer"


@attrs.frozen
class WebhookOptions:
    """See docs/operate/events."""

    url: str = ""
    secret_file: str = ""
    ca: str = ""
    only: tuple[str, ...] = attrs.field(default=(), validator=known)
    timeout: float = attrs.field(default=15.0, validator=[gt(0), le(600.0)])
    at_once: int = attrs.field(default=1, validator=[ge(1), le(MAX_AT_ONCE)])
    outbox: str = ""
    most: int = attrs.field(default=DEFAULT_MOST, validator=[ge(1), le(10_000_000)])


class WebhookFailed(XferError):
    """The receiver did not take an event; field ``status``."""

    code = "webhook_failed"


def signature(secret: bytes, moment: int, body: bytes) -> bytes:
    """``t=MOMENT,v1=HEX``: HMAC-SHA256 over the moment in Unix seconds, a dot and the body.

    The moment is signed too, so that a receiver can refuse what is replayed later.
    """
    digest = hmac.new(secret, b"%d." % moment + body, hashlib.sha256).hexdigest()
    return b"t=%d,v1=%s" % (moment, digest.encode())


@implementer(IBodyProducer)
class _Body:
    """A body that is there already."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.length = len(data)

    def startProducing(self, consumer: Any) -> Deferred[None]:
        """Write it."""
        consumer.write(self._data)
        return succeed(None)

    def pauseProducing(self) -> None:
        """Done already."""

    def resumeProducing(self) -> None:
        """Done already."""

    def stopProducing(self) -> None:
        """Done already."""


class _Discard(Protocol):
    """Reads the answer's body to its end, or to MAX_ANSWER, and keeps nothing."""

    def __init__(self) -> None:
        self.done: Deferred[None] = Deferred(lambda _done: self._abort())
        self._read = 0

    def dataReceived(self, data: bytes) -> None:
        """Count it."""
        self._read += len(data)
        if self._read > MAX_ANSWER:
            self._abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The end."""
        if not self.done.called:
            self.done.callback(None)

    def _abort(self) -> None:
        abort = getattr(self.transport, "abortConnection", None)
        if abort is not None:
            abort()


class WebhookSender:
    """Delivers parcels to a URL.

    Args:
        agent: makes the requests.
        clock, wall_time: for the deadline, and for the signature.
        url, secret: where to, and what to sign with; neither is in any log.
        timeout: seconds for a request with its answer.
    """

    def __init__(
        self,
        agent: IAgent,
        clock: Any,
        wall_time: Callable[[], float],
        url: str,
        secret: bytes,
        timeout: float,
    ) -> None:
        self._agent = agent
        self._clock = clock
        self._wall_time = wall_time
        self._url = url.encode("ascii")
        self._secret = secret
        self._timeout = timeout

    def __repr__(self) -> str:
        return "<WebhookSender>"

    def __call__(self, parcel: Parcel) -> Deferred[None]:
        """Post it.

        Fails with Refused for a 4xx that will stay one, else with WebhookFailed or what the connection
        failed with.
        """
        body = parcel.body.rstrip(b"\n")
        headers = Headers(
            {
                b"Content-Type": [b"application/json"],
                b"User-Agent": [_USER_AGENT],
                DELIVERY: [parcel.key.encode()],
                SIGNATURE: [signature(self._secret, int(self._wall_time()), body)],
            }
        )
        asked: Deferred[Any] = self._agent.request(b"POST", self._url, headers, _Body(body))
        asked.addCallback(self._answered)
        asked.addTimeout(self._timeout, self._clock)
        return asked

    def _answered(self, response: Any) -> Deferred[None]:
        body = _Discard()
        response.deliverBody(body)
        return body.done.addCallback(lambda _none: _judge(response.code))


def _judge(status: int) -> None:
    if 200 <= status < 300:
        return
    if 400 <= status < 500 and status not in _PASSING:
        raise Refused(f"the receiver answers {status}")
    raise WebhookFailed(detail=f"the receiver answers {status}", status=status)


def read_secret(path: str) -> bytes:
    """The secret in the file at ``path``, without white space around it.

    Raises:
        ConfigError: it cannot be read, others may read it, or its size is wrong.
    """
    key = "secret_file"
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            secret = file.read(MAX_SECRET + 1).strip()
    except OSError as error:
        raise ConfigError(key, value=path, remedy=f"name a readable file ({error.strerror})") from None
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise ConfigError(key, value=path, remedy="chmod o-rwx,g-w: whoever reads it can sign")
    if not MIN_SECRET <= len(secret) <= MAX_SECRET:
        raise ConfigError(key, value=path, remedy=f"put {MIN_SECRET} to {MAX_SECRET} bytes into it")
    return secret


def check_url(url: str) -> None:
    """Refuse what is no place to post to.

    Raises:
        ConfigError: another scheme than http and https, no host, or a password in it.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and url.isascii()
        _ = parts.port
    except ValueError:
        good = False
    if not good or not url.isprintable() or " " in url:
        raise ConfigError("url", remedy="write http://HOST/... or https://HOST/...")
    if "@" in parts.netloc:
        raise ConfigError("url", remedy="leave the password out: requests are signed with secret_file")


@implementer(IListenerPlugin)
class WebhookPlugin:
    """Events by HTTP."""

    name = "webhook"
    api_version = API_VERSION
    options: type[attrs.AttrsInstance] = WebhookOptions

    def describe(self) -> str:
        """See IXferPlugin."""
        return "A URL that gets events as signed POST requests, at least once."

    def open(self, options: Any, host: IHost) -> Courier:
        """See IListenerPlugin. Raises ConfigError for a URL, secret, outbox or CA that cannot be used."""
        check_url(options.url)
        secret = read_secret(options.secret_file)
        check_outbox(options.outbox)
        if not IReactorTCP.providedBy(host.clock):
            raise ConfigError("webhook", remedy="run it in a daemon whose reactor can connect")
        agent = Agent(  # type: ignore[no-untyped-call]
            host.clock, _policy(options.ca), connectTimeout=options.timeout, pool=_quiet_pool(host.clock)
        )
        sender = WebhookSender(agent, host.clock, host.wall_time, options.url, secret, options.timeout)
        courier = Courier(
            "webhook",
            host.clock,
            host.wall_time,
            sender,
            seconds=options.timeout,
            path=options.outbox,
            only=frozenset(options.only),
            at_once=options.at_once,
            most=options.most,
        )
        courier.start()
        return courier


def _quiet_pool(reactor: Any) -> HTTPConnectionPool:
    """Connections of one request each, of whose beginning and end nothing is logged: it would name the host."""
    pool = HTTPConnectionPool(reactor, persistent=False)  # type: ignore[no-untyped-call]
    quiet: Any = type("QuietFactory", (pool._factory,), {"noisy": False})  # noqa: SLF001 - no public way
    pool._factory = quiet  # noqa: SLF001 - the same
    return pool


def _policy(ca: str) -> BrowserLikePolicyForHTTPS:
    """Which servers to trust: the system's authorities, or those in the PEM file ``ca``."""
    if not ca:
        return BrowserLikePolicyForHTTPS()  # type: ignore[no-untyped-call]
    try:
        with open(ca, "rb") as file:
            pem = file.read()
        end = b"-----END CERTIFICATE-----"
        found = [Certificate.loadPEM(part + end) for part in pem.split(end)[:-1]]
        if not found:
            raise ValueError
    except Exception:  # noqa: BLE001 - pyOpenSSL's own kinds of error too
        raise ConfigError("ca", value=ca, remedy="name a PEM file of certificates") from None
    return BrowserLikePolicyForHTTPS(trustRootFromCertificates(found))  # type: ignore[no-untyped-call]


webhook: Final = WebhookPlugin()
