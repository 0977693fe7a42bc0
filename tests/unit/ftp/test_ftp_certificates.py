"""USER with a client certificate: 232 or 331, what is forgotten, and whose data connections are."""

import pytest
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import ITLSTransport
from twisted.python.failure import Failure
from zope.interface import alsoProvides

from twisted_xfer.interfaces import Account, CertificateFacts, IClientCertificate
from twisted_xfer.protocols.ftp.options import FTPOptions

ALICE = CertificateFacts("Alice", ("alice@example.com",), "a" * 64)
BOB = CertificateFacts("Bob", (), "b" * 64)


class Checker:
    """Knows Alice's certificate, at once or when the test says so."""

    credentialInterfaces = (IClientCertificate,)

    def __init__(self, answer=b"alice"):
        self.answer = answer
        self.asked = []
        self.waiting = None

    def requestAvatarId(self, credentials):
        self.asked.append(credentials)
        if self.waiting is not None:
            return self.waiting
        if credentials.certificate != ALICE or credentials.username != b"alice":
            raise UnauthorizedLogin
        return self.answer


class Channel:
    """A data connection in TLS."""

    peer, secure, one_ticket = "127.0.0.1", True, True

    def __init__(self, certificate, resumed):
        self.certificate = certificate
        self.resumed = resumed
        self.aborted = False

    def abort(self):
        self.aborted = True

    def close(self):
        pass


class Session:
    """The TLS of a client that has shown ``facts``; the certificate itself is its fingerprint here."""

    version, cipher, why = "TLSv1.3", "TLS_AES_128_GCM_SHA256", ""
    creator = object()

    def start(self, transport):
        """Nothing begins here."""

    def __init__(self, facts):
        self.facts = facts
        self.certificate = facts and facts.fingerprint
        self.next = None

    def refusal(self, reason):
        return self.why

    def secure(self, channel, timeout):
        return succeed(self.next)


class TLS:
    def __init__(self, facts):
        self.session = Session(facts)

    def control_session(self, alpn=b""):
        return self.session


@pytest.fixture
def showing(make_rig):
    """Builds sessions in TLS whose clients have shown a certificate."""

    def make(facts=ALICE, checker=None, **options):
        rig = make_rig(checkers=[checker or Checker()], **options)
        rig.host.tls = TLS(facts)
        rig.transport.startTLS = lambda creator: None
        alsoProvides(rig.transport, ITLSTransport)
        rig.say("AUTH TLS")
        rig.protocol.handshakeCompleted()
        rig.events.seen.clear()
        return rig

    return make


def test_the_certificate_is_enough(showing):
    """232, once; the session is alice's, and the event tells by which certificate."""
    rig = showing()
    assert rig.say("USER alice").startswith(b"232 ")
    assert rig.say("PWD").startswith(b"257 ")
    assert rig.say("PASS x").startswith(b"503 ")
    assert [(kind, fields["certificate"]) for kind, fields in rig.events.seen if kind == "login.ok"] == [
        ("login.ok", ALICE.fingerprint)
    ]


@pytest.mark.parametrize("facts", [BOB, None])
def test_another_certificate_or_none(showing, facts):
    """331 as for anybody, nothing is told of it or counted, and the password decides."""
    rig = showing(facts)
    assert rig.say("USER alice") == rig.say("USER nobody")
    assert rig.events.ids() == []
    assert rig.limits.delay("127.0.0.1", "alice") == 0
    assert rig.say("USER alice", "PASS secret").endswith(b"230 Logged in.\r\n")


def test_the_certificate_of_another_account(showing):
    """It says nothing of whose password comes next."""
    rig = showing()
    assert rig.say("USER bob").startswith(b"331 ")
    assert rig.say("PWD").startswith(b"530 ")


def test_together_with_a_password(showing):
    """An account that wants both: 331, and then the password with the certificate, or nothing."""
    both = Account("alice", require="certificate+password")
    rig = showing(checker=Checker(both), account=both)
    assert rig.say("USER alice").startswith(b"331 ")
    assert rig.say("PASS wrong") == b""
    rig.clock.advance(1)
    assert rig.take().startswith(b"530 ")
    assert rig.say("USER alice", "PASS secret").endswith(b"230 Logged in.\r\n")


def test_only_a_certificate_will_do(showing):
    """A right password is answered as a wrong one, and counts."""
    rig = showing(None, account=Account("", require="certificate"))
    answers = []
    for word in ("secret", "wrong"):
        rig.say("USER alice")
        rig.say(f"PASS {word}")
        rig.clock.advance(1)
        answers.append(rig.take())
    assert answers[0] == answers[1]
    assert answers[0].startswith(b"530 ")
    assert [fields["code"] for _, fields in rig.events.seen] == ["login_failed", "login_failed"]


def test_only_a_password_will_do(showing):
    """Whose certificate is known is asked all the same."""
    rig = showing(checker=Checker(Account("alice", require="password")))
    assert rig.say("USER alice").startswith(b"331 ")


def test_an_account_that_may_not_log_in(showing):
    """Refused at USER, told as an event, and no password is tried behind it."""
    rig = showing(checker=Checker(Account("alice", enabled=False)))
    rig.say("USER alice")
    rig.clock.advance(1)
    assert rig.take().startswith(b"530 ")
    assert rig.events.ids() == ["login.failed"]
    assert rig.say("PASS secret").startswith(b"503 ")


def test_a_slow_checker(showing):
    """What comes meanwhile waits; the answer may be either."""
    checker = Checker()
    rig = showing(checker=checker)
    checker.waiting = Deferred()
    assert rig.say("USER alice", "PWD") == b""
    checker.waiting.callback(b"alice")
    assert [line[:3] for line in rig.take().splitlines()] == [b"232", b"257"]
    rig.say("REIN")
    checker.waiting = Deferred()
    assert rig.say("USER alice") == b""
    checker.waiting.errback(UnauthorizedLogin())
    assert rig.take().startswith(b"331 ")


def test_a_client_that_leaves_meanwhile(showing):
    """An avatar that comes late is logged out: no place is held."""
    checker = Checker()
    rig = showing(checker=checker)
    checker.waiting = Deferred()
    rig.say("USER alice")
    rig.lose()
    checker.waiting.callback(b"alice")
    assert rig.events.ids()[-1] == "logout"
    assert "login.ok" not in rig.events.ids()
    assert checker.asked[0].certificate == ALICE


def test_a_broken_checker(showing, capsys):
    """It lets nobody in, and the password decides."""
    checker = Checker()
    rig = showing(checker=checker)
    checker.waiting = Deferred()
    rig.say("USER alice")
    checker.waiting.errback(Failure(ValueError("broken")))
    assert rig.take().startswith(b"331 ")


def test_a_checker_that_answers_with_somebody_else(showing):
    """Whoever asked for alice does not become root."""
    rig = showing(checker=Checker(b"root"))
    assert rig.say("USER alice").startswith(b"331 ")


def test_rein_forgets_the_login_and_not_the_certificate(showing):
    """As just connected: the next USER begins anew."""
    rig = showing()
    rig.say("USER alice")
    assert rig.say("REIN").startswith(b"220 ")
    assert rig.say("PWD").startswith(b"530 ")
    assert rig.say("USER alice").startswith(b"232 ")


def test_guests_need_no_certificate(showing):
    """Anonymous is nobody, whatever is shown."""
    checker = Checker()
    assert b"e-mail" in showing(checker=checker).say("USER anonymous")
    assert checker.asked == []


def test_no_certificate_counts_in_clear(showing):
    """After CCC it is not known any more who speaks."""
    rig = showing()
    rig.session.protection.control = False
    assert rig.session.protection.facts is None
    assert rig.say("USER alice").startswith(b"331 ")


@pytest.mark.parametrize("mode", ["off", "prefer", "auto", "require"])
@pytest.mark.parametrize(
    ("shown", "resumed", "good"),
    [
        (ALICE.fingerprint, False, True),
        (None, True, True),
        (BOB.fingerprint, False, False),
        (None, False, False),
    ],
)
def test_whose_data_connection_it_is(showing, mode, shown, resumed, good):
    """The same certificate or the same session, in every mode."""
    rig = showing(options=FTPOptions(tls_resumption=mode))
    rig.say("USER alice", "PBSZ 0", "PROT P", "MKD d")
    rig.events.seen.clear()
    channel = rig.host.tls.session.next = Channel(shown, resumed)
    rig.say("EPSV")
    rig.data_ports.ports[-1].arrive(channel)
    answer = rig.say("STOR f")
    assert channel.aborted is not good
    if good:
        assert answer.startswith(b"150 ")
    else:
        assert b"522 Client certificate" in answer
        assert ("data.not_resumed", True) in [
            (kind, fields.get("refused")) for kind, fields in rig.events.seen
        ]


def test_a_refused_handshake_is_told(make_rig):
    """With its reason, as an event; a connection that only ends in it is not."""
    rig = make_rig()
    rig.host.tls = TLS(None)
    rig.transport.startTLS = lambda creator: None
    alsoProvides(rig.transport, ITLSTransport)
    rig.say("AUTH TLS")
    rig.host.tls.session.why = "certificate 'bob' refused: it was revoked"
    rig.lose()
    assert [fields["reason"] for kind, fields in rig.events.seen if kind == "tls.refused"] == [
        "certificate 'bob' refused: it was revoked"
    ]
