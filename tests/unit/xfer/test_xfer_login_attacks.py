"""Callers that cheat, guess or stand in between: what a listener makes of their logins."""

import pytest
from xfer_logins import CHANNEL, SECRET, TLS, login
from xfer_pipes import End, Line, Recorder

from twisted_xfer.protocols.xfer.mechanisms import SCRAM, SCRAM_PLUS
from twisted_xfer.protocols.xfer.pairing import hello_digest
from twisted_xfer.protocols.xfer.wire import messages as m
from twisted_xfer.protocols.xfer.wire.frames import PREAMBLE, FrameReader
from twisted_xfer.sansio.scram import Client, salted_password


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
