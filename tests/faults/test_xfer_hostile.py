"""Peers that break the rules: each gets the right error, and the daemon loses nothing."""

from types import SimpleNamespace

import pytest
from twisted.internet.defer import Deferred
from xfer_pipes import ALICE, Net, local_net
from xfer_raw import Raw

from twisted_xfer.errors import Banned, LimitReached, NotFound, RemoteProtocolError
from twisted_xfer.interfaces import Account, Right
from twisted_xfer.protocols.xfer.connection import DEAD_AFTER
from twisted_xfer.protocols.xfer.content_in import MAX_QUEUED
from twisted_xfer.protocols.xfer.errormap import PeerError
from twisted_xfer.protocols.xfer.options import XferOptions
from twisted_xfer.protocols.xfer.pairing import hello_digest
from twisted_xfer.protocols.xfer.serving import MAX_REQUESTS
from twisted_xfer.protocols.xfer.wire import messages as m
from twisted_xfer.protocols.xfer.wire.frames import (
    HEADER,
    PREAMBLE,
    FrameType,
    data_header,
    encode_frame,
)
from twisted_xfer.testing.host import MemoryHost

DIGEST = bytes(32)


@pytest.fixture
def net(tmp_path):
    made = local_net(tmp_path)
    yield made
    made.close_clean()


HELLO = PREAMBLE + m.Hello(nonce=bytes(16), role="send").encode()


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "protocol"),
        (b"XFER\x02\r\n\x1a", "protocol"),
        (PREAMBLE + HEADER.pack(FrameType.HELLO, 0, 0, 0, 4097), "protocol"),
        (PREAMBLE + HEADER.pack(FrameType.DATA, 0, 0, 1, 1) + b"x", "protocol"),
        (PREAMBLE + m.Hello(nonce=bytes(16), role="serve").encode(), "protocol"),
        (PREAMBLE + m.Hello(nonce=bytes(16), role="send", hashes=("crc32",)).encode(), "unsupported"),
        (PREAMBLE + m.Hello(nonce=bytes(16), role="send", versions=(9,)).encode(), "unsupported"),
        (HELLO + m.Hello(nonce=bytes(16), role="send").encode(), "protocol"),
        (HELLO + m.Entry(stream=1, path=b"a").encode(), "protocol"),
        (HELLO + m.Auth(mechanism="PLAIN", hello_digest=DIGEST).encode(), "protocol"),
        (HELLO + m.Response(data=b"").encode(), "protocol"),
        (HELLO + HEADER.pack(0x7F, 1, 0, 0, 0), "protocol"),
    ],
)
def test_before_the_login(net, raw, error):
    """Whatever comes instead of the handshake ends the connection with its error, and no login."""
    raw_peer = Raw(net).say(raw)
    assert error.encode() in bytes(raw_peer.line.caller.protocol.data)
    assert raw_peer.gone
    assert "login.ok" not in net.host.recorder.ids


def test_a_changed_hello_is_noticed(net):
    """A login over other HELLOs than the listener saw is refused, whatever its password."""
    peer = Raw(net).say(HELLO)
    peer.heard()
    peer.say(m.Auth(mechanism="PLAIN", username="alice", password="secret", hello_digest=DIGEST))
    assert peer.errors() == ["protocol"]
    assert peer.gone


@pytest.mark.parametrize("mechanism", ["ANONYMOUS", "CODE", "EXTERNAL", "plain", "TOKEN"])
def test_mechanisms_that_were_not_offered(net, mechanism):
    """They fail like a wrong password."""
    hello = m.Hello(nonce=bytes(16), role="send")
    peer = Raw(net).say(PREAMBLE, hello)
    listener, _ = peer.heard()
    digest = hello_digest([hello.payload(), listener.payload()])
    peer.say(m.Auth(mechanism=mechanism, hello_digest=digest))
    assert peer.errors() == ["login_failed"]


@pytest.mark.parametrize("password", ["", "Secret", "x" * 1024])
def test_wrong_passwords(net, password):
    """login_failed, counted, and the connection ends."""
    peer = Raw(net).log_in(password=password)
    assert peer.errors() == ["login_failed"]
    assert peer.gone
    assert net.host.limits.failures == [("127.0.0.1", "alice")]


def test_slow_bytes_before_the_login(net):
    """Ten seconds in all, however often a byte comes."""
    peer = Raw(net)
    for byte in HELLO[:9]:
        peer.say(bytes([byte]))
        net.host.clock.advance(1)
    assert not peer.gone
    net.host.clock.advance(1)
    net.pump()
    assert peer.gone


def test_a_silent_peer_after_the_login(net):
    """It is asked, and dropped after a minute."""
    peer = Raw(net).log_in()
    peer.heard()
    for _ in range(int(DEAD_AFTER) - 1):
        net.host.clock.advance(1)
    net.pump()
    assert any(isinstance(one, m.Ping) for one in peer.heard())
    assert not peer.gone
    net.host.clock.advance(16)
    net.pump()
    assert peer.gone


@pytest.mark.parametrize(
    "path",
    [
        b'"../x"', b'"/etc/passwd"', b'"a/../../x"', b'"."', b'""', b'"a\\u0000b"', b'"a\\nb"',
        b'"' + b"a" * 256 + b'"', b'"' + b"/".join([b"a"] * 65) + b'"', b"null", b"7", b'["a"]',
    ],
)  # fmt: skip
def test_path_tricks(net, tmp_path, path):
    """No such name reaches the storage; the connection ends."""
    peer = Raw(net).log_in()
    peer.heard()
    peer.say(encode_frame(FrameType.ENTRY, 1, b'{"path":' + path + b"}"))
    assert peer.errors() == ["protocol"]
    assert peer.gone
    assert not list((tmp_path / "alice").iterdir())


def test_part_names_and_links_are_refused(net, tmp_path):
    """Names of parts do not exist for peers, links are not taken, links out of the root not followed."""
    (tmp_path / "alice/out").symlink_to("/etc")
    peer = Raw(net).log_in()
    peer.heard()
    peer.say(m.Entry(stream=1, path=b"." + b"f." + b"0" * 16 + b".xpart", size=1))
    peer.say(m.Entry(stream=2, path=b"link", type="symlink", target=b"/etc/passwd"))
    peer.say(m.Entry(stream=3, path=b"out/passwd", size=1))
    assert len(peer.errors()) == 3
    assert not peer.gone


@pytest.mark.parametrize(
    "events",
    [
        [m.Segment(stream=9, offset=1, digest=DIGEST)],
        [m.Entry(stream=1, path=b"a", size=1), m.Entry(stream=1, path=b"b", size=1)],
        [m.Entry(stream=1, path=b"a", size=1), data_header(1, 2) + b"xx"],
        [m.Entry(stream=1, path=b"a", size=5), data_header(2, 1) + b"x"],
        [m.Entry(stream=1, path=b"a", size=5), m.Segment(stream=1, offset=4, digest=DIGEST)],
        [m.Entry(stream=1, path=b"a", size=5), m.End(stream=1, size=5, digest=DIGEST)],
        [m.Entry(stream=1, path=b"a", size=5), m.Take(stream=1)],
        [m.Entry(stream=1, path=b"a", size=5, inline=True, digest=DIGEST), encode_frame(FrameType.INLINE, 1, b"x")],
        [m.EndOfOffer(), m.EndOfOffer()],
        [m.EndOfOffer(), m.Entry(stream=1, path=b"a", size=5)],
        [m.Get(stream=1, path=b"a")],
        [HEADER.pack(FrameType.DATA, 0, 0, 1, 2**32 - 1)],
        [HEADER.pack(FrameType.ENTRY, 0, 0, 1, 65537)],
        [HEADER.pack(FrameType.PING, 0, 1, 0, 0)],
        [m.Hello(nonce=bytes(16))],
    ],
)  # fmt: skip
def test_wrong_order_and_huge_lengths(net, tmp_path, events):
    """The connection ends with a protocol error, and nothing is published."""
    peer = Raw(net).log_in()
    peer.heard()
    peer.say(*events)
    assert peer.errors() == ["protocol"]
    assert peer.gone
    assert not [path for path in (tmp_path / "alice").iterdir() if not path.name.endswith(".xpart")]


def test_more_entries_than_the_window(net):
    """The window is the listener's word."""
    peer = Raw(net).log_in(window=2)
    peer.heard()
    peer.say(m.Entry(stream=1, path=b"a", size=9), m.Entry(stream=2, path=b"b", size=9))
    assert peer.errors() == []
    peer.say(m.Entry(stream=3, path=b"c", size=9))
    assert peer.errors() == ["protocol"]


def test_an_end_with_another_digest(net, tmp_path):
    """Content that is not what END says is refused; the connection lives."""
    peer = Raw(net).log_in()
    peer.heard()
    peer.say(m.Entry(stream=1, path=b"a", size=1), data_header(1, 1) + b"x")
    peer.say(m.End(stream=1, size=1, digest=DIGEST))
    assert peer.errors() == ["digest_mismatch"]
    assert not peer.gone
    assert not list((tmp_path / "alice").iterdir())


def test_end_of_stream_is_never_success(net, tmp_path):
    """All bytes but no END: kept as a part, not published."""
    peer = Raw(net).log_in()
    peer.say(m.Entry(stream=1, path=b"a", size=1, mtime_ns=5), data_header(1, 1) + b"x")
    peer.line.cut()
    assert [path.name[-6:] for path in (tmp_path / "alice").iterdir()] == [".xpart"]


def test_plain_is_refused_where_tls_is_wanted(tmp_path):
    """From far away nobody gets as far as a login in the clear, by default."""
    net = local_net(tmp_path)
    net.peer = "192.0.2.7"
    error = net.send([tmp_path])
    assert (error.name, error.number) == ("tls_required", 202)
    assert "login.ok" not in net.host.recorder.ids
    net.close_clean()


@pytest.mark.parametrize(("plain", "good"), [("never", False), ("loopback", True), ("always", True)])
def test_who_may_speak_plain(tmp_path, plain, good):
    """The option decides, for loopback too."""
    (tmp_path / "f").write_bytes(b"f")
    net = local_net(tmp_path / "root", XferOptions(plain=plain))
    assert isinstance(net.send([tmp_path / "f"]), Exception) is not good
    net.close_clean()


@pytest.mark.parametrize(
    ("rights", "error"),
    [
        (frozenset({Right.WRITE, Right.APPEND, Right.LIST}), "right_missing"),
        (frozenset({Right.LIST, Right.READ}), "right_missing"),
    ],
)
def test_rights_hold(tmp_path, rights, error):
    """Nobody replaces a file without the right to, whatever policy is asked for."""
    account = Account("alice", rights=rights)
    (tmp_path / "f").write_bytes(b"new!")
    net = local_net(tmp_path / "root", accounts={"alice": account})
    (tmp_path / "root/alice/f").write_bytes(b"old")
    summary = net.send([tmp_path / "f"], if_exists="overwrite")
    assert [one.name for _, one in summary.failures] == [error]
    assert (tmp_path / "root/alice/f").read_bytes() == b"old"
    net.close_clean()


def test_memory_is_bounded_while_the_disk_is_slow(tmp_path, monkeypatch):
    """A sender that pours is not read any more once MAX_QUEUED waits for the disk."""
    net = local_net(tmp_path)
    waiting = []

    def slow(function, *args, pool="disk"):
        waiting.append((Deferred(), function, args))
        return waiting[-1][0]

    monkeypatch.setattr(net.host.blocking, "run", slow, raising=False)
    peer = Raw(net).log_in()
    size = 8 * MAX_QUEUED
    peer.say(m.Entry(stream=1, path=b"a", size=size))
    for _ in range(size // 2**20):
        peer.say(data_header(1, 2**20) + bytes(2**20))
    (session,) = net.factory.sessions
    assert session.role._content._queued <= MAX_QUEUED + 2 * 65536
    assert peer.line.listener.paused
    assert len(peer.line.caller.out) > 4 * MAX_QUEUED
    while waiting:
        answer, function, args = waiting.pop(0)
        answer.callback(function(*args))
        net.pump()
    assert session.role._content._queued == 0
    assert not peer.line.caller.out
    net.close_clean()


@pytest.mark.parametrize("error", [LimitReached("127.0.0.1"), Banned("127.0.0.1", retry_after=60.0)])
def test_a_connection_that_is_not_admitted(net, tmp_path, error):
    """Limits come first: no byte is read, and the caller is told which."""
    net.host.limits.refuse = error
    told = net.send([tmp_path], retries=0)
    assert (type(told), told.name) == (PeerError, error.code)
    assert net.host.recorder.ids == ["connection.refused"]
    assert not net.factory.sessions


@pytest.mark.parametrize("data", [b"", b"\x16\x03\x01", HELLO])
def test_nobody_is_admitted_where_there_is_tls(net, tmp_path, data):
    """One alert instead of a handshake: fatal, access_denied. What was said meanwhile begins nothing."""
    net.host.limits.refuse = Banned("127.0.0.1")
    net.host.tls = object()
    peer = Raw(net)
    peer.line.listener.protocol.dataReceived(data)
    net.pump()
    assert bytes(peer.line.caller.protocol.data) == bytes.fromhex("15030300020231")
    assert peer.gone
    assert not net.factory.sessions
    told = net.send([tmp_path], retries=0)
    assert (type(told), told.detail) == (
        RemoteProtocolError,
        "it speaks TLS, or takes no connection from here for now",
    )


def test_a_lying_listener_is_refused_by_the_caller(tmp_path):
    """SELECT of what was not offered, and another HELLO than ours, end the call."""
    from twisted_xfer.protocols.xfer import server

    net = local_net(tmp_path)
    real = server.negotiate

    def wrong(caller, listener):
        import attrs

        return attrs.evolve(real(caller, listener), hash="crc32")

    server.negotiate = wrong
    try:
        error = net.send([tmp_path])
    finally:
        server.negotiate = real
    assert isinstance(error, RemoteProtocolError)
    net.close_clean()


def test_no_password_in_what_is_logged(tmp_path):
    """The canary of a wrong and a right password is in no event, log line or repr."""
    net = Net(MemoryHost({"alice": "secret"}))
    Raw(net).log_in(password="canary-7f3a")
    Raw(net).log_in()
    text = repr(
        [
            net.host.recorder.events,
            net.host.logged,
            m.Auth(mechanism="PLAIN", hello_digest=DIGEST, username="a", password="canary-7f3a"),
            ALICE,
        ]
    )
    assert "canary" not in text
    assert "secret" not in text
    net.close_clean()


@pytest.mark.parametrize(("offer", "deadline"), [(True, 120), (False, 300)], ids=["stalled", "idle"])
def test_answering_pings_is_not_enough(net, offer, deadline):
    """Who holds an entry open without content, or asks for nothing at all, is sent away in time."""
    peer = Raw(net).log_in()
    if offer:
        peer.say(m.Entry(stream=1, path=b"a", size=5, mtime_ns=1))
    peer.heard()
    for _ in range(deadline // 10 - 1):
        net.host.clock.advance(10)
        peer.say(m.Pong())
    assert not peer.gone
    for _ in range(3):
        net.host.clock.advance(10)
        peer.say(m.Pong())
    assert peer.gone
    assert "timeout" in peer.errors()


def test_a_peer_hears_us_while_we_do_not_listen(net):
    """A disk or a limit that keeps us from reading for minutes must not look like death."""
    peer = Raw(net).log_in()
    peer.heard()
    (session,) = net.factory.sessions
    session.pause()
    for _ in range(20):
        net.host.clock.advance(15)
    net.pump()
    assert sum(isinstance(one, m.Ping) for one in peer.heard()) == 20
    assert not peer.gone
    session.resume()


@pytest.mark.parametrize(("extra", "good"), [(0, True), (1, False)])
def test_requests_at_once_are_bounded(net, extra, good):
    """So many may wait for a slow storage; one more ends the connection, and none of them is asked for."""
    peer = Raw(net).log_in(role="receive")
    (session,) = net.factory.sessions
    asked = []

    def stat(path):
        asked.append(Deferred())
        return asked[-1]

    session.role.avatar = SimpleNamespace(stat=stat)
    peer.say(*(m.List(stream=number, path=b"") for number in range(1, MAX_REQUESTS + extra + 1)))
    assert (peer.errors(), peer.gone) == (([], False) if good else (["busy"], True))
    assert len(asked) == MAX_REQUESTS
    for answer in asked:
        answer.errback(NotFound(b"/"))
    net.pump()
    assert peer.errors() == (["not_found"] * MAX_REQUESTS if good else [])
