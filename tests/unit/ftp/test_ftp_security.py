"""AUTH, PBSZ, PROT and CCC, what they forget and what they refuse, on a transport without a network."""

import itertools
import math
from types import SimpleNamespace

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import ITLSTransport
from zope.interface import alsoProvides

from twisted_xfer.interfaces import Account, Timeouts
from twisted_xfer.protocols.ftp.options import FTPOptions
from twisted_xfer.protocols.ftp.plugin import implicit
from twisted_xfer.protocols.ftp.siblings import MAX_EACH, MEMORY, SWEEP_AT, Siblings

#: The transfers of these tests move nothing, so each upload takes a name of its own.
_numbers = itertools.count()


class Secured:
    """A data connection in TLS."""

    def __init__(self, resumed, one_ticket):
        self.peer = "127.0.0.1"
        self.secure = True
        self.resumed = resumed
        self.one_ticket = one_ticket
        self.aborted = False

    def abort(self):
        self.aborted = True

    def close(self):
        pass


class Session:
    """TLS whose data connections the test describes beforehand."""

    version, cipher, certificate, facts = "TLSv1.3", "TLS_AES_128_GCM_SHA256", None, None
    creator = object()
    why = ""

    def start(self, transport):
        transport.startTLS(self.creator)

    def refusal(self, reason):
        return self.why

    def __init__(self):
        self.next = Secured(True, True)
        self.wait = None
        self.timeouts = []

    def secure(self, channel, timeout):
        self.timeouts.append(timeout)
        return self.wait or succeed(self.next)


class TLS:
    """Hands out one Session."""

    def __init__(self):
        self.session = Session()
        self.alpn = None

    def control_session(self, alpn=b""):
        self.alpn = alpn
        return self.session


@pytest.fixture
def secure_rig(make_rig):
    """Builds sessions on a transport that can start TLS."""

    def make(**options):
        rig = make_rig(**options)
        rig.host.tls = TLS()
        rig.started = []
        rig.transport.startTLS = rig.started.append
        rig.transport.abortConnection = lambda: rig.started.append("aborted")
        alsoProvides(rig.transport, ITLSTransport)
        return rig

    return make


def secured(rig):
    """AUTH TLS, its handshake done."""
    assert rig.say("AUTH TLS").startswith(b"234 ")
    rig.protocol.handshakeCompleted()
    return rig


def test_without_a_certificate_there_is_no_auth(rig):
    """502, and FEAT says nothing of TLS."""
    assert rig.say("AUTH TLS").startswith(b"502 ")
    assert b"AUTH" not in rig.say("FEAT")


def test_feat_offers_tls(secure_rig):
    """Where there is a certificate."""
    shown = secure_rig().say("FEAT")
    for line in (b" AUTH TLS\r\n", b" PBSZ\r\n", b" PROT\r\n"):
        assert line in shown


@pytest.mark.parametrize(
    ("mechanism", "private"),
    [("TLS", False), ("tls", False), ("TLS-C", False), ("TLS-P", True), ("SSL", True)],
)
def test_auth_starts_tls(secure_rig, mechanism, private):
    """234 in clear, then TLS; the old names that mean protected data mean it."""
    rig = secure_rig()
    assert rig.say(f"AUTH {mechanism}").startswith(b"234 ")
    assert rig.started == [rig.host.tls.session.creator]
    assert rig.host.tls.alpn == b"ftp"
    assert rig.session.protection.private is private
    assert not rig.session.protection.control
    rig.protocol.handshakeCompleted()
    assert rig.session.protection.control
    assert rig.say("AUTH TLS").startswith(b"503 ")


@pytest.mark.parametrize("mechanism", ["GSSAPI", "X", "TLS "])
def test_other_mechanisms(secure_rig, mechanism):
    """504, but outer spaces are nobody's."""
    answer = secure_rig().say(f"AUTH {mechanism}")
    assert answer[:3] == (b"234" if mechanism == "TLS " else b"504")


def test_a_transport_without_tls(make_rig):
    """431 on one that cannot."""
    rig = make_rig()
    rig.host.tls = TLS()
    assert rig.say("AUTH TLS").startswith(b"431 ")


@pytest.mark.parametrize("behind", ["NOOP", "USER x\r\nPASS y"])
def test_whatever_stands_behind_auth_ends_the_connection(secure_rig, behind):
    """Even half a line, and nothing is answered."""
    rig = secure_rig()
    assert rig.say("AUTH TLS", behind) == b""
    assert rig.transport.disconnecting
    assert rig.started == []
    assert "connection.injected" in rig.events.ids()


def test_half_a_line_behind_auth_ends_it_too(secure_rig):
    """A command need not be whole to be somebody else's."""
    rig = secure_rig()
    assert rig.raw(b"AUTH TLS\r\nN") == b""
    assert rig.transport.disconnecting


def test_auth_forgets(secure_rig):
    """Login, directory, rename and restart of before."""
    rig = secure_rig().login()
    rig.say("MKD d", "CWD d", "TYPE I", "REST 5")
    secured(rig)
    assert rig.session.avatar is None
    assert rig.session.sequence.restart == 0
    assert rig.say("PWD").startswith(b"530 ")
    rig.login()
    assert b'"/"' in rig.say("PWD")


def test_order_of_pbsz_and_prot(secure_rig):
    """Each needs the one before."""
    rig = secure_rig()
    assert rig.say("PBSZ 0").startswith(b"503 ")
    assert rig.say("PROT P").startswith(b"503 ")
    secured(rig)
    assert rig.say("PROT P").startswith(b"503 ")
    assert rig.say("PBSZ x").startswith(b"501 ")
    assert rig.say("PBSZ 4096") == b"200 PBSZ=0\r\n"
    assert rig.say("PROT P").startswith(b"200 ")
    assert rig.session.protection.private
    assert rig.say("PROT C").startswith(b"200 ")
    assert not rig.session.protection.private
    assert [rig.say(f"PROT {level}")[:3] for level in "SEX"] == [b"536", b"536", b"504"]


def test_ccc_is_refused(secure_rig):
    """For policy reasons (RFC 4217 section 12.3)."""
    rig = secured(secure_rig()).login()
    assert rig.say("CCC").startswith(b"533 ")
    assert b"CCC" not in rig.say("FEAT")


def with_ccc(rig, **options):
    """A session that may leave TLS; ``left`` collects when it does."""
    rig.left = []
    rig.host.tls.session.leave = lambda transport, timeout: rig.left.append((transport, timeout))
    rig.session.options = FTPOptions(ccc=True, **options)
    return rig


def test_ccc_leaves_tls_and_keeps_the_login(secure_rig):
    """Where it is allowed; afterwards nobody can change what protects the data, nor go back."""
    rig = with_ccc(secure_rig(timeouts=Timeouts(handshake=7.0)))
    rig.login()
    assert rig.say("CCC").startswith(b"503 ")
    secured(rig).login().say("PBSZ 0", "PROT P")
    assert b" CCC\r\n" in rig.say("FEAT")
    assert rig.say("CCC").startswith(b"200 ")
    assert rig.left == [(rig.transport, 7.0)]
    assert rig.say("PWD").startswith(b"257 ")
    for line in ("AUTH TLS", "PBSZ 0", "PROT C", "CCC"):
        assert rig.say(line).startswith(b"503 ")
    assert rig.session.protection.private
    assert rig.left == [(rig.transport, 7.0)]


@pytest.mark.parametrize(("policy", "code"), [("control", b"534"), ("both", b"534"), ("data", b"200")])
def test_ccc_yields_to_policy(secure_rig, policy, code):
    """Who requires TLS for control connections gets it."""
    rig = with_ccc(secure_rig())
    rig.session.protection._must = policy
    secured(rig).login()
    assert rig.say("CCC")[:3] == code


@pytest.mark.parametrize("behind", [b"NOOP\r\n", b"N"])
def test_whatever_stands_behind_ccc_ends_the_connection(secure_rig, behind):
    """It could be meant for either side."""
    rig = with_ccc(secure_rig())
    secured(rig).login()
    assert rig.raw(b"CCC\r\n" + behind) == b""
    assert rig.transport.disconnecting
    assert rig.left == []


@pytest.mark.parametrize(
    ("policy", "user", "prot_c", "transfer"),
    [
        ("none", b"331", b"200", b"150"),
        ("control", b"530", b"200", b"150"),
        ("data", b"331", b"534", b"521"),
        ("both", b"530", b"534", b"521"),
        (True, b"530", b"534", b"521"),
        (False, b"331", b"200", b"150"),
    ],
)
def test_policies(secure_rig, policy, user, prot_c, transfer):
    """USER before TLS; PROT C and a transfer in clear with it."""
    rig = secure_rig()
    rig.factory.options = FTPOptions(require_tls=policy)
    rig.session.options = rig.factory.options
    rig.session.protection._must = policy
    assert rig.say("USER alice")[:3] == user
    secured(rig).login()
    rig.say("PBSZ 0")
    assert rig.say("PROT C")[:3] == prot_c
    rig.say("EPSV")
    assert rig.say("LIST")[:3] == transfer


@pytest.mark.parametrize(
    ("need", "prot_c", "transfer"),
    [("none", b"200", b"150"), ("control", b"200", b"150"), ("data", b"534", b"521"), (True, b"534", b"521")],
)
def test_policies_of_an_account(secure_rig, need, prot_c, transfer):
    """What an account may not have in clear holds where the listener allows everything."""
    rig = secure_rig(account=Account("", require_tls=need))
    secured(rig).login()
    rig.say("PBSZ 0")
    assert rig.say("PROT C")[:3] == prot_c
    rig.say("EPSV")
    assert rig.say("LIST")[:3] == transfer
    rig.say("PROT P")
    assert rig.session.protection.refused is None


def private(rig, mode):
    """A session with PROT P."""
    rig.session.protection._options = FTPOptions(tls_resumption=mode)
    secured(rig).login().say("PBSZ 0", "PROT P", "TYPE I")
    return rig


def begin_transfer(rig, verb, *, resumed, one_ticket=True):
    """One transfer over a data connection of that kind: the connection, and what was said so far."""
    rig.transfers.instant = True
    rig.host.tls.session.next = channel = Secured(resumed, one_ticket)
    channel.accept_end = lambda *_: None
    rig.say("EPSV")
    rig.data_ports.ports[-1].arrive(SimpleNamespace(peer="127.0.0.1", secure=False, abort=lambda: None))
    return channel, rig.say(f"{verb} f{next(_numbers)}" if verb != "LIST" else verb)


def transfer(rig, verb, *, resumed, one_ticket=True):
    """One transfer over a data connection of that kind: the code of its end."""
    channel, answer = begin_transfer(rig, verb, resumed=resumed, one_ticket=one_ticket)
    last = answer.split(b"\r\n")[-2][:3]
    assert channel.aborted is (last == b"522")
    return last


@pytest.mark.parametrize(
    ("mode", "first", "again"),
    [
        ("off", b"226", b"226"),
        ("prefer", b"226", b"226"),
        ("auto", b"226", b"522"),
        ("require", b"522", b"522"),
    ],
)
def test_modes_of_resumption(secure_rig, mode, first, again):
    """Before a client has resumed for the first time, and afterwards."""
    rig = private(secure_rig(), mode)
    assert transfer(rig, "LIST", resumed=False) == first
    assert transfer(rig, "LIST", resumed=True) == b"226"
    assert transfer(rig, "LIST", resumed=False) == again
    assert transfer(rig, "LIST", resumed=True) == b"226"


def test_refusals_are_told(secure_rig):
    """As an event, and in words that say what to change."""
    rig = private(secure_rig(), "require")
    transfer(rig, "LIST", resumed=False)
    (told,) = [fields for name, fields in rig.events.seen if name == "data.not_resumed"]
    assert (told["refused"], told["username"], told["session"]) == (True, "alice", rig.session.session_id)


def test_auto_bears_with_a_spent_ticket(secure_rig):
    """After an upload in TLS 1.3, once; a client that resumes all the same is held to it."""
    rig = private(secure_rig(), "auto")
    assert transfer(rig, "STOR", resumed=True) == b"226"
    assert transfer(rig, "LIST", resumed=False) == b"226"
    assert transfer(rig, "LIST", resumed=False) == b"522"
    assert transfer(rig, "STOR", resumed=True) == b"226"
    assert transfer(rig, "STOR", resumed=True) == b"226"
    assert transfer(rig, "STOR", resumed=False) == b"522"


def test_auto_in_tls_12(secure_rig):
    """There sessions are not used up, and an upload is no excuse."""
    rig = private(secure_rig(), "auto")
    assert transfer(rig, "STOR", resumed=True, one_ticket=False) == b"226"
    assert transfer(rig, "STOR", resumed=False, one_ticket=False) == b"522"


def test_auto_bears_with_siblings(secure_rig):
    """Another session of the same user from the same address may have given the ticket; a stranger's not."""
    rig = private(secure_rig(), "auto")
    now = rig.clock.seconds()
    assert transfer(rig, "LIST", resumed=True) == b"226"
    rig.factory.siblings.begin("192.0.2.1", "alice", "other", now)
    rig.factory.siblings.begin("127.0.0.1", "bob", "other", now)
    assert transfer(rig, "LIST", resumed=False) == b"522"
    rig.factory.siblings.begin("127.0.0.1", "alice", "other", now)
    assert transfer(rig, "LIST", resumed=False) == b"226"


def with_stranger(secure_rig, handshake=7.0):
    """A client that has resumed, a stranger at its address, and a data connection that did not resume."""
    rig = private(secure_rig(timeouts=Timeouts(handshake=handshake)), "auto")
    assert transfer(rig, "LIST", resumed=True, one_ticket=False) == b"226"
    rig.factory.siblings.arrive("127.0.0.1", "other")
    channel, answer = begin_transfer(rig, "LIST", resumed=False, one_ticket=False)
    assert answer.startswith(b"150 ")
    assert answer.count(b"\r\n") == 1
    rig.transport.clear()
    return rig, channel


def test_auto_waits_for_the_login_of_a_sibling(secure_rig):
    """Its ticket is the client's from the TLS handshake on, before anybody knows whose session it is."""
    rig, channel = with_stranger(secure_rig)
    rig.clock.advance(6.9)
    assert rig.transport.value() == b""
    rig.factory.siblings.begin("127.0.0.1", "alice", "other", rig.clock.seconds())
    assert rig.transport.value().startswith(b"226 ")
    assert not channel.aborted


@pytest.mark.parametrize("fate", ["leaves", "is somebody else", "is elsewhere", "stays"])
def test_auto_refuses_what_no_sibling_explains(secure_rig, fate):
    """A stranger that does not log in as the same user, from the same address and in time, changes nothing."""
    rig, channel = with_stranger(secure_rig)
    siblings = rig.factory.siblings
    if fate == "leaves":
        siblings.leave("127.0.0.1", "other")
    elif fate == "is somebody else":
        siblings.begin("127.0.0.1", "bob", "other", rig.clock.seconds())
    elif fate == "is elsewhere":
        siblings.begin("192.0.2.1", "alice", "third", rig.clock.seconds())
        assert rig.transport.value() == b""
        rig.clock.advance(7.0)
    else:
        rig.clock.advance(7.0)
    assert rig.transport.value().startswith(b"522 ")
    assert channel.aborted
    assert not siblings._waiting.get("127.0.0.1")


def test_the_wait_for_a_sibling_can_be_aborted(secure_rig):
    """ABOR ends it, and so does the end of the session."""
    rig, channel = with_stranger(secure_rig)
    assert b"226 " in rig.say("ABOR")
    assert channel.aborted
    assert not rig.factory.siblings._waiting["127.0.0.1"]


def test_sessions_in_tls_are_strangers_until_they_log_in(secure_rig):
    """And no longer when they are gone."""
    rig = secured(secure_rig())
    assert rig.factory.siblings.stranger_left("127.0.0.1", "other") is not None
    assert rig.factory.siblings.stranger_left("127.0.0.1", rig.session.session_id) is None
    rig.login()
    assert rig.factory.siblings.stranger_left("127.0.0.1", "other") is None
    rig = secured(secure_rig())
    rig.session.lost()
    assert rig.factory.siblings.stranger_left("127.0.0.1", "other") is None


def test_handshake_deadlines(secure_rig):
    """A control connection that never shakes hands is cut off; a data connection gets its own deadline."""
    rig = secure_rig(timeouts=Timeouts(handshake=7.0))
    rig.say("AUTH TLS")
    rig.clock.advance(6.0)
    assert "aborted" not in rig.started
    rig.clock.pump([1.0, 1.0])
    assert rig.started[-1] == "aborted"


def test_data_handshake_deadline(secure_rig):
    """It is that of the host."""
    rig = private(secure_rig(timeouts=Timeouts(handshake=7.0)), "auto")
    transfer(rig, "LIST", resumed=True)
    assert rig.host.tls.session.timeouts == [7.0]


def test_early_connection_is_let_go(secure_rig):
    """A second PASV, or the end, closes what the first one accepted."""
    rig = private(secure_rig(), "auto")
    cancelled = []
    rig.host.tls.session.wait = Deferred(cancelled.append)
    rig.say("EPSV")
    rig.data_ports.ports[-1].arrive(SimpleNamespace(peer="x", secure=False, abort=lambda: None))
    rig.say("EPSV")
    assert len(cancelled) == 1


def test_clear_from_between_the_port_and_its_command(secure_rig):
    """PROT C after EPSV: the connection is taken without TLS, by the command."""
    rig = private(secure_rig(), "auto")
    rig.say("EPSV")
    port = rig.data_ports.ports[-1]
    assert port.call is not None
    assert rig.say("PROT C").startswith(b"200 ")
    assert port.call is None
    rig.say("LIST")
    port.arrive(SimpleNamespace(peer="x", secure=False, abort=lambda: None))
    assert len(rig.host.transfers.made) == 1
    assert rig.host.tls.session.timeouts == []


def test_private_from_between_the_port_and_its_command(secure_rig):
    """PROT P after EPSV: TLS begins before the command, as for EPSV after PROT P, and once."""
    rig = private(secure_rig(), "auto")
    rig.say("PROT C", "EPSV")
    port = rig.data_ports.ports[-1]
    assert port.call is None
    rig.say("PROT P")
    assert port.call is not None
    rig.say("PROT P")
    port.arrive(SimpleNamespace(peer="x", secure=False, abort=lambda: None))
    assert len(rig.host.tls.session.timeouts) == 1
    rig.say("LIST")
    assert len(rig.host.transfers.made) == len(rig.host.tls.session.timeouts) == 1


def test_implicit_needs_a_certificate(rig):
    """Without one the start fails, and says what to give."""
    from twisted_xfer.errors import ConfigError

    with pytest.raises(ConfigError) as caught:
        implicit.stream_factory(FTPOptions(), rig.host)
    assert "--tls-certificate" in caught.value.remedy


def test_siblings_are_bounded():
    """In number for one user, in users once their sessions are long over, and in time."""
    siblings = Siblings()
    for number in range(MAX_EACH + 1):
        siblings.begin("p", "u", str(number), 0.0)
    assert len(siblings._ends["p", "u"]) == MAX_EACH
    siblings = Siblings()
    siblings.begin("p", "u", "a", 0.0)
    assert not siblings.has("p", "u", "a", 0.0)
    assert siblings.has("p", "u", "b", math.nextafter(math.inf, 0))
    siblings.end("p", "u", "a", 10.0)
    assert siblings.has("p", "u", "b", 10.0 + MEMORY - 0.1)
    assert not siblings.has("p", "u", "b", 10.0 + MEMORY)
    # A session keeps in mind every one that it met.
    assert siblings.has("p", "u", "b", 10.0 + MEMORY, 10.0)
    assert not siblings.has("p", "u", "b", 10.0 + MEMORY, 10.1)
    for number in range(SWEEP_AT):
        siblings.begin("p", f"u{number}", "s", 0.0)
        siblings.end("p", f"u{number}", "s", 0.0)
    siblings.begin("p", "last", "s", MEMORY + 11.0)
    assert set(siblings._ends) == {("p", "last")}
