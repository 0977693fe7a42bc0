"""The webhook: signed, patient with servers, and silent about secrets."""

import hashlib
import hmac
import json
import re

import pytest
import trustme
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError as Refusal
from twisted.internet.interfaces import IHostnameResolver, IReactorPluggableNameResolver
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted_xfer.errors import ConfigError
from twisted_xfer.events import webhook as module
from twisted_xfer.events.outbox import Refused
from twisted_xfer.events.outbox_store import Parcel
from twisted_xfer.events.webhook import WebhookFailed, WebhookSender, check_url, read_secret, signature
from twisted_xfer.interfaces import Event, IListenerPlugin

SECRET = b"canary-canary-canary"
PARCEL = Parcel(1, "the-key", b'{"id":"file.delete"}\n', 0.0, 0)


class Agent:
    """Keeps requests; a test answers."""

    def __init__(self):
        self.requests = []

    def request(self, method, url, headers=None, body=None):
        answer = Deferred()
        written = []
        body.startProducing(type("Consumer", (), {"write": staticmethod(written.append)}))
        self.requests.append((method, url, dict(headers.getAllRawHeaders()), b"".join(written), answer))
        assert body.length == len(written[0])
        return answer


class Answer:
    def __init__(self, code, body=b""):
        self.code = code
        self.body = body
        self.aborted = False

    def abortConnection(self):
        self.aborted = True

    def deliverBody(self, protocol):
        protocol.makeConnection(self)
        protocol.dataReceived(self.body)
        protocol.connectionLost(Failure(ResponseDone()))


def post(url="https://example.org/x?token=canary"):
    clock, agent, box = Clock(), Agent(), []
    sender = WebhookSender(agent, clock, lambda: 1_800_000_000.9, url, SECRET, 15.0)
    sender(PARCEL).addBoth(box.append)
    return clock, agent.requests[0], box, sender


def test_request():
    """Body, key and a signature that a receiver can check with the secret alone."""
    _, (method, url, headers, body, answer), box, sender = post()
    assert (method, url) == (b"POST", b"https://example.org/x?token=canary")
    assert json.loads(body) == {"id": "file.delete"}
    assert headers[b"X-Xfer-Delivery"] == [b"the-key"]
    assert headers[b"Content-Type"] == [b"application/json"]
    (signed,) = headers[b"X-Xfer-Signature"]
    moment, digest = re.fullmatch(rb"t=(\d+),v1=([0-9a-f]{64})", signed).groups()
    assert moment == b"1800000000"
    assert digest.decode() == hmac.new(SECRET, moment + b"." + body, hashlib.sha256).hexdigest()
    assert not any(SECRET in value for values in headers.values() for value in values)
    assert "canary" not in repr(sender)
    answer.callback(Answer(204))
    assert box == [None]


def test_signature_covers_moment_and_body():
    """Another of either is another signature."""
    one = signature(SECRET, 1, b"a")
    assert (
        len({one, signature(SECRET, 2, b"a"), signature(SECRET, 1, b"b"), signature(SECRET + b"x", 1, b"a")})
        == 4
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *((status, None) for status in (200, 204, 299)),
        *((status, Refused) for status in (400, 401, 404, 410, 499)),
        *((status, WebhookFailed) for status in (301, 302, 408, 425, 429, 500, 503)),
    ],
)
def test_statuses(status, kind):
    """2xx took it; most of 4xx never will; the rest may later. Redirects are not followed."""
    _, request, box, _ = post()
    request[-1].callback(Answer(status))
    assert box[0] is None if kind is None else box[0].check(kind)


def test_answer_at_its_limit_and_one_past(monkeypatch):
    """What a server says is read to a bound, then the connection is dropped; its status holds."""
    monkeypatch.setattr(module, "MAX_ANSWER", 10)
    for size in (10, 11):
        _, request, box, _ = post()
        answer = Answer(200, b"x" * size)
        request[-1].callback(answer)
        assert (box, answer.aborted) == ([None], size > 10)


def test_deadline_and_lost_connections():
    """A server that says nothing is given up in time."""
    clock, request, box, _ = post()
    clock.advance(14.9)
    assert box == []
    clock.advance(0.1)
    assert isinstance(box[0], Failure)
    clock, request, box, _ = post()
    request[-1].errback(Refusal())
    assert box[0].check(Refusal)
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://x/",
        "http://",
        "https://u:canary@example.org/",
        "http://x:port/",
        "http://ü/",
        "http://a b/",
        "http://a\n/",
    ],
)
def test_url_that_is_none(url):
    """The error repeats nothing of it."""
    with pytest.raises(ConfigError) as caught:
        check_url(url)
    assert "canary" not in repr(caught.value.args) + str(caught.value)
    check_url("https://example.org:8443/a?b=c")


def test_secret_at_its_limits(tmp_path):
    """16 to 4096 bytes without the line end, for the owner and group only."""
    file = tmp_path / "secret"
    for size, good in ((15, False), (16, True), (4096, True), (4097, False)):
        file.write_bytes(b"x" * size)
        file.chmod(0o640)
        if good:
            assert read_secret(str(file)) == b"x" * size
        else:
            with pytest.raises(ConfigError):
                read_secret(str(file))
    file.write_bytes(SECRET + b"\n")
    assert read_secret(str(file)) == SECRET
    file.chmod(0o644)
    with pytest.raises(ConfigError):
        read_secret(str(file))
    with pytest.raises(ConfigError):
        read_secret(str(tmp_path / "none"))


def test_own_authority(tmp_path):
    """The certificates of a PEM file take the place of the system's, one or several."""
    file = tmp_path / "ca.pem"
    for count in (1, 2):
        file.write_bytes(b"".join(trustme.CA().cert_pem.bytes() for _ in range(count)))
        assert module._policy(str(file)).creatorForNetloc(b"example.org", 443) is not None


@implementer(IHostnameResolver, IReactorPluggableNameResolver)
class Reactor(MemoryReactorClock):
    """Resolves at once; Twisted 24's has no resolver, so a thread would be asked about an address."""

    def __init__(self):
        super().__init__()
        self.nameResolver = self

    def resolveHostName(self, receiver, host, port=0, *_others, **_more):
        receiver.resolutionBegan(None)
        receiver.addressResolved(IPv4Address("TCP", host, port))
        receiver.resolutionComplete()


class Host:
    def __init__(self, clock):
        self.clock = clock

    def wall_time(self):
        return 0.0


def test_plugin(tmp_path):
    """Opens with a URL and a secret; says what is wrong else; logs neither."""
    verifyObject(IListenerPlugin, module.webhook)
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    secret.chmod(0o600)
    options = {"url": "http://192.0.2.1/?canary", "secret_file": str(secret)}
    logged = []
    clock = Reactor()
    globalLogPublisher.addObserver(logged.append)
    try:
        courier = module.webhook.open(module.WebhookOptions(**options), Host(clock))
        courier.start()
        courier.on_event(Event("logout", 0.0))
        clock.advance(0)
        factory = clock.tcpClients[0][2]
        factory.doStart()
        factory.doStop()
        courier.close()
    finally:
        globalLogPublisher.removeObserver(logged.append)
    assert "canary" not in repr(logged) + repr(courier)
    assert [entry for entry in logged if "192.0.2.1" in repr(entry)] == [], "nor where to"
    (tmp_path / "ca").write_text("none")
    for change, clock in (
        ({"url": "x"}, MemoryReactorClock()),
        ({"secret_file": ""}, MemoryReactorClock()),
        ({"ca": str(tmp_path / "ca")}, MemoryReactorClock()),
        ({"ca": str(tmp_path / "missing")}, MemoryReactorClock()),
        ({}, Clock()),
    ):
        with pytest.raises(ConfigError):
            module.webhook.open(module.WebhookOptions(**{**options, **change}), Host(clock))
