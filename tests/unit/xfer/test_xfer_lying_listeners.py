"""Listeners that cheat: a caller gives them no proof that is worth anything, and believes none of theirs."""

from types import SimpleNamespace

import pytest
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from xfer_logins import CHANNEL, VERIFIER, login, secured
from xfer_pipes import End, Line

from twisted_xfer.errors import LoginFailed, RemoteProtocolError
from twisted_xfer.protocols.xfer.caller import Caller, LoginImpossible, Target
from twisted_xfer.protocols.xfer.mechanisms import BY_PASSWORD, PLAIN, SCRAM_PLUS
from twisted_xfer.protocols.xfer.pairing import hello_digest
from twisted_xfer.protocols.xfer.wire import messages as m
from twisted_xfer.protocols.xfer.wire.link import Link, negotiate
from twisted_xfer.sansio.scram import MOST_ITERATIONS, Server
from twisted_xfer.testing.host import FixedRandom


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
