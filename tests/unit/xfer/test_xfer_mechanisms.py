"""The login of both ends: which mechanism is taken, what it proves, and peers that cheat."""

import io
from types import SimpleNamespace

import attrs
import pytest
from twisted.cred.checkers import ANONYMOUS
from twisted.cred.credentials import IAnonymous
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.task import Clock
from twisted.logger import FileLogObserver, LogLevel, formatEventAsClassicLogText
from twisted.python.failure import Failure
from xfer_pipes import End, Line, Net, Recorder
from zope.interface import alsoProvides

from twisted_xfer.accounts.chain import ChainChecker, SwiftPortal
from twisted_xfer.accounts.login import Login as Entrance
from twisted_xfer.accounts.passwords import hash_password
from twisted_xfer.accounts.realm import Realm
from twisted_xfer.accounts.users_file import UsersFile
from twisted_xfer.accounts.users_secrets import add_token
from twisted_xfer.errors import ChannelBindingFailed, ConnectionLost, LoginFailed, RemoteProtocolError
from twisted_xfer.interfaces import CertificateFacts
from twisted_xfer.protocols.xfer import secure as secure_module
from twisted_xfer.protocols.xfer import server as server_module
from twisted_xfer.protocols.xfer.caller import Caller, Login, LoginImpossible, Target
from twisted_xfer.protocols.xfer.errormap import PeerError
from twisted_xfer.protocols.xfer.mechanisms import BY_PASSWORD, PLAIN, SCRAM, SCRAM_PLUS
from twisted_xfer.protocols.xfer.mechanisms.caller import MAX_SALTED, Exchange, choose
from twisted_xfer.protocols.xfer.options import XferOptions
from twisted_xfer.protocols.xfer.pairing import hello_digest
from twisted_xfer.protocols.xfer.wire import messages as m
from twisted_xfer.protocols.xfer.wire.frames import PREAMBLE, FrameReader
from twisted_xfer.protocols.xfer.wire.link import Link, negotiate
from twisted_xfer.sansio.scram import MOST_ITERATIONS, Client, Server, Verifier, salted_password
from twisted_xfer.testing.host import FixedRandom, MemoryHost

SECRET = "correct horse"
HASH = hash_password(SECRET, salt=bytes(16))
VERIFIER = Verifier.of(SECRET, b"salt of alice...", 4096)
FACTS = CertificateFacts("alice", (), "ab" * 32)
CHANNEL = b"c" * 32


def secured(end, channel=CHANNEL):
    alsoProvides(end, ISSLTransport)
    end.setTcpNoDelay = end.setTcpKeepAlive = lambda _on: None
    end.exporter = channel


class Site:
    """A listener over a users file, and callers of it."""

    def __init__(self, path, text=None, options=None, peer="127.0.0.1"):
        self.file = path / "users.toml"
        lines = (
            f'[users.alice]\npassword = "{HASH}"\nscram = "{VERIFIER.text()}"\ncertificates = ["cn:alice"]\n'
        )
        text, self.token = add_token(
            text or lines, str(self.file), "alice", "t", {"path": "/in"}, FixedRandom(b"token")
        )
        self.file.write_text(text)
        self.file.chmod(0o600)
        self.host = MemoryHost()
        self.checker = UsersFile(str(self.file), seconds=self.host.clock.seconds)
        self.host.login = self.entrance([self.checker])
        self.net = Net(self.host, options, peer)

    def entrance(self, checkers, **more):
        host = self.host
        realm = Realm(
            host.storage, root="/", events=host.events, limits=host.limits, clock=host.clock, log=host.log,
            anonymous="pub",
        )  # fmt: skip
        portal = SwiftPortal(realm, [ChainChecker(checkers, host.log)])
        return Entrance(portal, host.limits, host.events, host.clock, minimum_seconds=0, log=host.log, **more)

    def secure(self, end, channel=CHANNEL):
        """As if there were TLS on this end of a line."""
        secured(end, channel)

    def call(self, login, channels=None, certificate=None, near=True):
        """Log in; what the caller's ``ready`` came to. ``channels``: TLS, with these exporters of the ends."""
        caller = Caller(self.host.clock, Target("memory"), login, "send", FixedRandom(b"caller"))
        ends = End("127.0.0.1" if near else "192.0.2.1"), End(self.net.peer)
        ends[0].protocol, ends[1].protocol = caller, self.net.factory.buildProtocol(None)
        self.net.lines.append(Line(*ends))
        for end, channel in zip(ends, channels or (), strict=False):
            self.secure(end, channel)
        ends[1].protocol.makeConnection(ends[1])
        ends[1].protocol._tls = SimpleNamespace(facts=certificate)
        caller.makeConnection(ends[0])
        got = []
        caller.ready.addBoth(got.append)
        self.net.pump(lambda: bool(got), 30)
        self.net.pump()
        self.mechanism = caller._exchange.auth.mechanism if caller._exchange else None
        return got[0].value if got and isinstance(got[0], Failure) else (got[0] if got else None)

    def clean(self):
        for line in self.net.lines:
            line.cut()
        assert self.host.limits.held == 0


@pytest.fixture
def site(tmp_path, monkeypatch):
    for module, name in (
        (server_module, "channel_of"),
        (server_module, "exporter_of"),
        (secure_module, "exporter_of"),
    ):
        monkeypatch.setattr(module, name, lambda transport: getattr(transport, "exporter", b""))
    made = Site(tmp_path)
    yield made
    made.clean()


def login(**more):
    return Login(plain=True, **{"username": "alice", "password": SECRET, **more})


TLS = (CHANNEL, CHANNEL)


# --- which one -------------------------------------------------------------------------------------


def test_the_best_is_taken(site):
    """Bound to TLS where there is any, else a proof; the password itself only where nothing else does."""
    assert isinstance(site.call(login(), TLS), Caller)
    assert site.mechanism == SCRAM_PLUS
    assert isinstance(site.call(login()), Caller)
    assert site.mechanism == SCRAM
    assert isinstance(site.call(login(mechanisms=(PLAIN,)), TLS), Caller)
    assert site.mechanism == PLAIN
    assert site.host.recorder.ids.count("login.ok") == 3


def test_tls_that_nothing_can_be_bound_to(site):
    """As in TLS 1.2: the proof alone, and the flag says that the caller could have bound it."""
    assert isinstance(site.call(login(), (CHANNEL, b"")), Caller)
    assert site.mechanism == SCRAM


def test_users_without_verifiers(site):
    """One is enough for PLAIN to be all that is offered."""
    site.file.write_text(site.file.read_text() + f'\n[users.bob]\npassword = "{HASH}"\n')
    assert isinstance(site.call(login(username="bob"), TLS), Caller)
    assert site.mechanism == PLAIN


@pytest.mark.parametrize(("scram", "mechanism"), [("always", SCRAM_PLUS), ("never", PLAIN)])
def test_the_option(tmp_path, site, scram, mechanism):
    """It overrules what the users' file says."""
    site.net.factory.options = XferOptions(scram=scram)
    assert isinstance(site.call(login(), TLS), Caller)
    assert site.mechanism == mechanism


def test_a_token(site):
    """In TLS only; it makes the account, confined."""
    assert isinstance(site.call(login(password="", username="", token=site.token), TLS), Caller)
    (ok,) = site.host.recorder.of("login.ok")
    assert ok.username == "alice"
    assert site.net.lines[0].listener.protocol.avatar.account.within == "/in"
    assert isinstance(site.call(login(token=site.token)), LoginImpossible)
    wrong = site.token[:-1] + ("A" if site.token[-1] != "A" else "E")
    assert site.call(login(token=wrong), TLS).name == "login_failed"


def test_a_certificate(site):
    """The one that TLS verified, for its own account, whether named or not."""
    mine = login(username="", password="", certificate="PEM")
    assert isinstance(site.call(mine, TLS, FACTS), Caller)
    assert site.mechanism == "EXTERNAL"
    assert isinstance(site.call(attrs.evolve(mine, username="alice"), TLS, FACTS), Caller)
    assert site.call(attrs.evolve(mine, username="bob"), TLS, FACTS).name == "login_failed"
    other = attrs.evolve(FACTS, common_name="eve")
    assert site.call(mine, TLS, other).name == "login_failed"
    assert isinstance(site.call(mine, TLS), LoginImpossible)
    assert isinstance(site.call(login(certificate="PEM"), TLS, FACTS), Caller)
    assert site.mechanism == SCRAM_PLUS


def test_both_factors(site):
    """Where an account wants both, a proof over a connection with the certificate is both."""
    site.file.write_text(
        site.file.read_text().replace("certificates =", 'require = "certificate+password"\ncertificates =')
    )
    assert isinstance(site.call(login(certificate="PEM"), TLS, FACTS), Caller)
    assert site.call(login(), TLS).name == "login_failed"
    assert site.call(login(username="", password="", certificate="PEM"), TLS, FACTS).name == "login_failed"


def test_nobody(site):
    """The drop box, where it is switched on at both places."""

    class Anybody:
        credentialInterfaces = (IAnonymous,)

        def requestAvatarId(self, _credentials):
            return ANONYMOUS

    nobody = login(username="", password="")
    assert isinstance(site.call(nobody), LoginImpossible)
    site.net.factory.options = XferOptions(anonymous=True)
    assert isinstance(site.call(nobody), LoginImpossible)
    site.host.login = site.entrance([site.checker, Anybody()], anonymous=True)
    # The directory that nobody is shown is not there: a refusal behind a login that was right.
    assert site.call(nobody).name == "login_refused"
    assert site.mechanism == "ANONYMOUS"


@pytest.mark.parametrize("near", [True, False])
def test_secrets_in_the_clear(tmp_path, site, near):
    """Without TLS neither side lets a password go over a network, whatever the other offers."""
    for secure in (True, False):
        got = choose(login(mechanisms=(PLAIN,)), "alice", (PLAIN, SCRAM), secure=secure, near=near)
        assert got == (PLAIN if secure or near else None)
        got = choose(login(token="t"), "alice", ("TOKEN",), secure=secure, near=near)
        assert got == ("TOKEN" if secure else None)
    assert choose(login(), "alice", (SCRAM_PLUS,), secure=False, near=near) is None
    far = Site(tmp_path, f'[users.alice]\npassword = "{HASH}"\n', XferOptions(plain="always"), "192.0.2.9")
    answer = far.call(login(), near=False)
    assert isinstance(answer, LoginImpossible)
    far.clean()


def test_the_log_says_what_is_not_safe(site):
    """Once for a login by SCRAM without TLS."""
    site.call(login())
    lines = [formatEventAsClassicLogText(dict(event, log_time=0.0)) for event in site.host.logged]
    assert sum("is in without TLS" in line for line in lines) == 1
    site.host.logged.clear()
    site.call(login(), TLS)
    assert site.host.logged == []


# --- wrong ones -------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [TLS, None])
@pytest.mark.parametrize("who", [{"password": "wrong"}, {"username": "nobody"}])
def test_wrong_password_and_unknown_user(site, channels, who):
    """One error for both, and one count."""
    answer = site.call(login(**who), channels)
    assert (answer.name, answer.number) == ("login_failed", 200)
    assert len(site.host.limits.failures) == 1
    assert site.host.recorder.ids.count("login.failed") == 1


def test_somebody_in_between(site):
    """Two TLS sessions instead of one: the proof is worth nothing in the other."""
    answer = site.call(login(), (CHANNEL, b"d" * 32))
    assert (answer.name, answer.number) == ("channel_binding", 204)
    assert site.host.limits.failures == [("127.0.0.1", "alice")]


def test_the_derived_password_is_kept(site):
    """For reconnections, of one Login, and only so many."""
    mine = login()
    site.call(mine, TLS)
    assert list(mine.salted) == [(SECRET, VERIFIER.salt, 4096)]
    mine.salted.clear()
    mine.salted.update({(SECRET, b"%d" % n, 4096): b"" for n in range(MAX_SALTED)})
    for _ in range(3):
        assert isinstance(site.call(mine, TLS), Caller)
    assert [key[1] for key in mine.salted] == [b"1", b"2", b"3", VERIFIER.salt]
    assert mine == login()


class Hand:
    """A caller by hand, in TLS, up to its AUTH."""

    def __init__(self, site, channels=True):
        self.site = site
        recorder, listener = Recorder(), site.net.factory.buildProtocol(None)
        ends = End("127.0.0.1"), End("127.0.0.1")
        ends[0].protocol, ends[1].protocol = recorder, listener
        if channels:
            site.secure(ends[1])
        self.line = Line(*ends)
        site.net.lines.append(self.line)
        listener.makeConnection(ends[1])
        self.reader = FrameReader(65536)
        hello = m.Hello(nonce=bytes(16), role="send")
        self.say(PREAMBLE, hello)
        answer = self.heard(PREAMBLE)
        self.offered = answer[0].mechanisms
        self.digest = hello_digest([hello.payload(), answer[0].payload()])

    def say(self, *pieces):
        for piece in pieces:
            self.line.caller.write(piece.encode() if isinstance(piece, m.Message) else piece)
            self.site.net.pump()

    def heard(self, preamble=b""):
        data = bytes(self.line.caller.protocol.data).removeprefix(preamble)
        self.line.caller.protocol.data.clear()
        self.reader.receive_data(data)
        found = []
        while (frame := self.reader.next_frame()) is not None:
            found.append(m.read_message(frame))
        return found

    def begin(self, mechanism, data):
        self.say(m.Auth(mechanism=mechanism, data=data, hello_digest=self.digest))
        return self.heard()

    def error(self):
        (error,) = [one for one in self.heard() if isinstance(one, m.Error)]
        return error.name


@pytest.mark.parametrize(
    ("mechanism", "client", "error"),
    [
        # The flag y: somebody took -PLUS out of what was offered.
        (SCRAM, {"could_bind": True}, "channel_binding"),
        # Other HELLOs than ours, with a digest in AUTH that was made to fit.
        (SCRAM, {"transcript": bytes(32)}, "channel_binding"),
        (SCRAM, {"transcript": b""}, "channel_binding"),
        (SCRAM, {"channel": CHANNEL}, "protocol"),
        (SCRAM_PLUS, {}, "protocol"),
    ],
)
def test_downgrades(site, mechanism, client, error):
    """Each is noticed before any challenge."""
    hand = Hand(site)
    assert hand.offered[:2] == (SCRAM_PLUS, SCRAM)
    made = Client(b"alice", b"nonce", **{"transcript": hand.digest, **client})
    (answer,) = hand.begin(mechanism, made.first)
    assert answer.name == error
    assert hand.line.caller.protocol.lost
    if error == "channel_binding":
        assert [event.fields["code"] for event in site.host.recorder.of("login.failed")] == [error]


@pytest.mark.parametrize(
    "data", [b"", b"n,,", b"n,,n=,r=x", b"n,,n=a,r=", b"\xff" * 1024, b"p=tls-unique,,n=a,r=b"]
)
def test_first_messages_that_are_none(site, data):
    """A protocol error, or one of what is not supported."""
    (answer,) = Hand(site).begin(SCRAM, data)
    assert answer.name in {"protocol", "unsupported"}


def challenged(site, name=b"alice"):
    hand = Hand(site)
    client = Client(name, b"nonce", channel=CHANNEL, transcript=hand.digest)
    (challenge,) = hand.begin(SCRAM_PLUS, client.first)
    return hand, client, challenge.data


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda raw: raw, None),
        (lambda raw: raw.replace(b"r=nonce", b"r=other"), "login_failed"),
        (lambda raw: raw[:-4] + b"AAA=", "login_failed"),
        (lambda raw: raw.replace(b"c=", b"c=AAAA"), "channel_binding"),
        (lambda raw: raw.rpartition(b",p=")[0], "protocol"),
        (lambda raw: b"", "protocol"),
        (lambda raw: b"\0" * 1024, "protocol"),
    ],
)
def test_last_messages(site, change, error):
    """A good one, and each wrong one with its error."""
    hand, client, challenge = challenged(site)
    hand.say(m.Response(data=change(client.proof(salted_password(SECRET, *client.challenged(challenge))))))
    (answer,) = hand.heard()
    if error is None:
        client.check(answer.data)
    else:
        assert answer.name == error
        assert "login.ok" not in site.host.recorder.ids


def test_a_replay(site):
    """What was heard of one login opens no other."""
    hand, client, challenge = challenged(site)
    proof = m.Response(data=client.proof(salted_password(SECRET, *client.challenged(challenge))))
    hand.say(proof)
    assert isinstance(hand.heard()[0], m.Authenticated)
    other, _, again = challenged(site)
    assert again != challenge
    other.say(proof)
    assert other.error() == "login_failed"


def test_two_answers(site):
    """The second one finds no challenge."""
    hand, client, challenge = challenged(site)
    wrong = m.Response(data=client.proof(bytes(32)))
    client.challenged(challenge)
    hand.say(m.Response(data=client.proof(bytes(32))).encode() + wrong.encode())
    assert hand.error() == "login_failed"
    assert len(site.host.limits.failures) == 1


@pytest.mark.parametrize(
    "message",
    [m.Entry(stream=1, path=b"a"), m.Auth(mechanism=SCRAM, hello_digest=bytes(32)), m.Select(
        version=1, hash="blake3", compression="none", max_data=4096, window=1)],
)  # fmt: skip
def test_the_wrong_order(site, message):
    """Anything but a RESPONSE behind a challenge is an error of the protocol."""
    hand, _, _ = challenged(site)
    hand.say(message)
    assert hand.error() == "protocol"


def test_no_answer(site):
    """Ten seconds in all; who says nothing more has guessed nothing."""
    hand, _, _ = challenged(site)
    site.host.clock.advance(10)
    site.net.pump()
    assert hand.line.caller.protocol.lost
    assert site.host.limits.failures == []
    assert [event.fields["code"] for event in site.host.recorder.of("login.failed")] == ["connection_lost"]


def test_the_same_challenge_for_strangers(site):
    """Nothing but the salt tells them apart, and that stays."""
    first, second = challenged(site, b"nobody")[2], challenged(site, b"nobody")[2]
    real = challenged(site)[2]
    shape = [(part[:2], len(part)) for part in real.split(b",")]
    assert [(part[:2], len(part)) for part in first.split(b",")] == shape
    assert first.split(b",")[1:] == second.split(b",")[1:]


# --- listeners that cheat ---------------------------------------------------------------------------


class Liar:
    """A listener by hand: offers what it likes, answers AUTH and RESPONSE with what ``answers`` make."""

    def __init__(self, offered, *answers):
        self.link = Link("listener")
        self.offered = offered
        self.answers = list(answers)
        self.heard = []

    def makeConnection(self, transport):
        self.transport = transport

    def dataReceived(self, data):
        self.link.receive_data(data)
        while (event := self.link.next_event()) is not None:
            self.heard.append(event)
            if isinstance(event, m.Hello):
                hello = m.Hello(nonce=bytes(16), hashes=("blake3",), mechanisms=self.offered)
                self.say(hello, negotiate(event, hello))
            elif self.answers and isinstance(event, m.Auth | m.Response):
                self.say(self.answers.pop(0)(self, event))

    def say(self, *messages):
        for message in messages:
            self.transport.write(self.link.encode(message))

    def connectionLost(self, _reason):
        pass

    def let_in(self, data=b""):
        return m.Authenticated(hello_digest=hello_digest(self.link.hellos), data=data)


def meet(liar, mine):
    """A caller in TLS meets it: what its login came to."""
    net = SimpleNamespace(clock=Clock())
    caller = Caller(net.clock, Target("memory"), mine, "send", FixedRandom(b"caller"))
    ends = End("127.0.0.1"), End("127.0.0.1")
    ends[0].protocol, ends[1].protocol = caller, liar
    secured(ends[0])
    line = Line(*ends)
    liar.makeConnection(ends[1])
    caller.makeConnection(ends[0])
    got = []
    caller.ready.addBoth(got.append)
    for _ in range(100):
        if not line.turn():
            break
    line.cut()
    return got[0].value if isinstance(got[0], Failure) else got[0]


def challenge_of(text):
    def answer(liar, auth):
        liar.server = Server(
            auth.data,
            b"server",
            plus=auth.mechanism == SCRAM_PLUS,
            channel=CHANNEL,
            transcript=auth.hello_digest,
        )
        return m.Challenge(data=text(liar.server.challenge(VERIFIER)))

    return answer


@pytest.mark.parametrize(
    "text",
    [
        lambda raw: raw.replace(b"i=4096", b"i=2147483648"),
        lambda raw: raw.replace(b"i=4096", b"i=%d" % (MOST_ITERATIONS + 1)),
        lambda raw: raw.replace(b"i=4096", b"i=1"),
        lambda raw: raw.replace(b"server", b""),
        lambda raw: b"r=mine" + raw[raw.index(b",") :],
        lambda raw: b"",
        lambda raw: raw + b",m=1",
    ],
)
def test_challenges_that_are_none(site, text):
    """A caller works for none of them, and gives no proof."""
    liar = Liar((SCRAM_PLUS,), challenge_of(text))
    assert isinstance(meet(liar, login()), RemoteProtocolError)
    assert not [one for one in liar.heard if isinstance(one, m.Response)]


@pytest.mark.parametrize("data", [b"", b"v=", b"v=" + b"A" * 43 + b"=", b"e=other-error", b"x" * 1024])
def test_listeners_without_the_password(site, data):
    """Whoever lets us in without its own proof does not know the password."""
    good = challenge_of(lambda raw: raw)
    assert isinstance(
        meet(Liar((SCRAM_PLUS,), good, lambda liar, _: liar.let_in(data)), login()),
        LoginFailed | RemoteProtocolError,
    )
    assert isinstance(
        meet(Liar((SCRAM_PLUS,), lambda liar, _: liar.let_in(data)), login()),
        LoginFailed | RemoteProtocolError,
    )


def test_a_listener_that_asks_twice(site):
    """One proof is all that it gets."""
    good = challenge_of(lambda raw: raw)
    liar = Liar((SCRAM_PLUS,), good, lambda liar, _: m.Challenge(data=b"r=callerserver,s=AAAA,i=4096"))
    assert isinstance(meet(liar, login()), RemoteProtocolError)
    assert len([one for one in liar.heard if isinstance(one, m.Response)]) == 1


def test_a_challenge_where_there_is_none(site):
    """PLAIN, a token and a certificate have no second step."""
    for mine in (login(mechanisms=(PLAIN,)), login(token="t"), login(password="", certificate="PEM")):
        liar = Liar((PLAIN, "TOKEN", "EXTERNAL"), lambda *_: m.Challenge(data=b"x"))
        assert isinstance(meet(liar, mine), RemoteProtocolError)


def test_passwords_go_to_nobody_who_must_not_have_them(site):
    """A Login that allows proofs only gives a listener nothing else, whatever it offers."""
    strict = login(mechanisms=tuple(name for name in BY_PASSWORD if name != PLAIN))
    liar = Liar((PLAIN,))
    assert isinstance(meet(liar, strict), LoginImpossible)
    assert not [one for one in liar.heard if isinstance(one, m.Auth)]


def test_a_thread_derives(site, monkeypatch):
    """Where the reactor has threads, it does not wait for the derivation, and its failure ends the login."""
    made = []

    def defer(_reactor, _pool, function, *args):
        made.append((function, args))
        return Deferred()

    from twisted.internet.interfaces import IReactorThreads

    from twisted_xfer.protocols.xfer.mechanisms import caller

    monkeypatch.setattr(caller, "deferToThreadPool", defer)
    reactor = Clock()
    reactor.getThreadPool = lambda: None
    alsoProvides(reactor, IReactorThreads)
    exchange = Exchange(
        SCRAM, login(), "alice", hellos=[], digest=bytes(32), channel=b"", offered=(SCRAM,),
        random=FixedRandom(),
    )  # fmt: skip
    server = Server(exchange.auth.data, b"s", plus=False, transcript=bytes(32))
    assert not exchange.challenged(server.challenge(VERIFIER), reactor).called
    assert made == [(salted_password, (SECRET, VERIFIER.salt, 4096))]


# --- secrets ----------------------------------------------------------------------------------------


def test_secrets_are_nowhere(site):
    """Not in logs, events, representations and tracebacks of good logins, wrong ones and broken checkers."""

    class Broken:
        credentialInterfaces = (*UsersFile.credentialInterfaces,)

        def requestAvatarId(self, credentials):
            raise ValueError(credentials)

    seen = io.StringIO()
    observe = FileLogObserver(seen, lambda event: formatEventAsClassicLogText(event) or "")
    logins = [login(), login(mechanisms=(PLAIN,)), login(token=site.token), login(password="wr0ng")]
    for entrance in (site.host.login, site.entrance([Broken()])):
        site.host.login = entrance
        site.net.factory.options = XferOptions(scram="always")
        for mine in logins:
            seen.write(repr(mine))
            answer = site.call(mine, TLS)
            seen.write(f"{answer!r} {answer}")
            if isinstance(answer, Exception):
                Failure(answer).printDetailedTraceback(seen)
            for line in site.net.lines:
                seen.write(repr([line.listener.protocol._proof, line.caller.protocol._exchange]))
                if line.caller.protocol._exchange is not None:
                    seen.write(repr(line.caller.protocol._exchange.auth))
    for event in site.host.logged:
        observe({"log_level": LogLevel.info, **event})
    seen.write(repr(site.host.recorder.events))
    text = seen.getvalue()
    assert "checker" in text
    for secret in (SECRET, "wr0ng", site.token, HASH):
        assert secret not in text
        assert secret.encode().hex() not in text


def test_messages_show_no_secret():
    """Not what begins a login and not what answers."""
    auth = m.Auth(mechanism="TOKEN", hello_digest=bytes(32), password=SECRET, data=b"tok", username="alice")
    assert SECRET not in repr(auth)
    assert "tok" not in repr(auth)
    assert "proof" not in repr(m.Response(data=b"proof"))


def test_errors_of_the_binding_have_a_number():
    """204, and a peer's is told from a wrong password."""
    assert PeerError(204, "channel_binding").number == 204
    assert issubclass(ChannelBindingFailed, LoginFailed)
    assert not issubclass(ConnectionLost, LoginFailed)


def test_addresses():
    """What is near: loopback of both families, and nothing that only looks like it."""
    from twisted_xfer.protocols.xfer.mechanisms import is_near

    assert all(map(is_near, ("127.0.0.1", "::1", "::ffff:127.0.0.1")))
    assert not any(
        map(is_near, ("", "::12", "::1:1", "10.127.0.1", str(IPv4Address("TCP", "192.0.2.1", 1).host)))
    )
