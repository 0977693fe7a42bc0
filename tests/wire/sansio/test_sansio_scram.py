"""SCRAM-SHA-256 as RFC 5802 and RFC 7677 have it, SASLprep as RFC 4013, and peers that do otherwise."""

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from twisted_xfer.errors import ChannelBindingFailed, LoginFailed, RemoteProtocolError, Unsupported, XferError
from twisted_xfer.sansio import scram
from twisted_xfer.sansio.saslprep import prepared_password, saslprep
from twisted_xfer.sansio.scram import Client, Server, Verifier, salted_password, stranger

# RFC 7677 section 3.
RFC_FIRST = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
RFC_CHALLENGE = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
RFC_FINAL = (
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)
RFC_PROOF = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
RFC_SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
VERIFIER = Verifier.of("pencil", RFC_SALT, 4096)
CHANNEL = bytes(range(32))
TRANSCRIPT = bytes(range(32, 64))
VECTORS = json.loads((Path(__file__).parents[1] / "xfer/scram.json").read_text("utf-8"))


def test_the_callers_example():
    """RFC 7677 section 3, from the caller's side."""
    client = Client(b"user", b"rOprNGfwEbeRWgbNEkqO")
    assert client.first == RFC_FIRST
    salt, count = client.challenged(RFC_CHALLENGE)
    assert (salt, count) == (RFC_SALT, 4096)
    assert client.proof(salted_password("pencil", salt, count)) == RFC_FINAL
    client.check(RFC_PROOF)


def test_the_listeners_example():
    """RFC 7677 section 3, from the listener's side."""
    server = Server(RFC_FIRST, b"%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", plus=False)
    assert server.username == b"user"
    assert server.challenge(VERIFIER) == RFC_CHALLENGE
    assert server.finish(RFC_FINAL) == RFC_PROOF


@pytest.mark.parametrize("row", VECTORS, ids=lambda row: row["what"])
def test_vectors(row):
    """Those of the protocol document: bound to TLS, and to the HELLOs."""
    channel, transcript = bytes.fromhex(row["channel"]), bytes.fromhex(row["transcript"])
    client = Client(
        row["username"].encode(), row["caller_nonce"].encode(), channel=channel, transcript=transcript,
        could_bind=row["could_bind"],
    )  # fmt: skip
    server = Server(
        client.first,
        row["listener_nonce"].encode(),
        plus=bool(channel),
        channel=channel,
        transcript=transcript,
    )
    challenge = server.challenge(Verifier.parse(row["verifier"]))
    proof = client.proof(salted_password(row["password"], *client.challenged(challenge)))
    last = server.finish(proof)
    client.check(last)
    assert [one.decode() for one in (client.first, challenge, proof, last)] == row["messages"]


def exchange(password="pencil", verifier=VERIFIER, change=lambda step, message: message, **sides):
    """A whole exchange, with ``change`` on the way; the listener's last message."""
    client = Client(b"user", b"caller", **{"transcript": TRANSCRIPT, **sides.get("client", {})})
    first = change("first", client.first)
    server = Server(
        first, b"listener", **{"plus": False, "transcript": TRANSCRIPT, **sides.get("server", {})}
    )
    salt, count = client.challenged(change("challenge", server.challenge(verifier)))
    last = server.finish(change("proof", client.proof(salted_password(password, salt, count))))
    client.check(change("last", last))
    return server


BOUND = {"client": {"channel": CHANNEL}, "server": {"plus": True, "channel": CHANNEL}}


@pytest.mark.parametrize("sides", [{}, BOUND, {"client": {"could_bind": True}}])
def test_good_exchanges(sides):
    """Plain, bound, and with a flag that says no binding was offered, which is true."""
    assert exchange(**sides).username == b"user"


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ({"password": "Pencil"}, LoginFailed),
        ({"verifier": stranger(b"key", b"user", 4096)}, LoginFailed),
        ({"client": {"could_bind": True}, "server": {"channel": CHANNEL}}, ChannelBindingFailed),
        (
            {"client": {"channel": b"x" * 32}, "server": {"plus": True, "channel": CHANNEL}},
            ChannelBindingFailed,
        ),
        ({"client": {"channel": CHANNEL}, "server": {"plus": True}}, ChannelBindingFailed),
        ({"client": {"channel": CHANNEL}, "server": {"channel": CHANNEL}}, RemoteProtocolError),
        ({"server": {"plus": True, "channel": CHANNEL}}, RemoteProtocolError),
        ({"client": {"transcript": bytes(32)}}, ChannelBindingFailed),
        ({"client": {"transcript": b""}}, ChannelBindingFailed),
    ],
)
def test_wrong_exchanges(how, error):
    """Each ends with its own error, and never with a login."""
    with pytest.raises(XferError) as caught:
        exchange(**how)
    assert type(caught.value) is error


def swap(step, old, new):
    """Replace ``old`` by ``new`` in one message on its way."""

    def change(at, message):
        assert at != step or old in message
        return message.replace(old, new, 1) if at == step else message

    return change


@pytest.mark.parametrize(
    ("step", "old", "new", "error"),
    [
        # A downgrade: the flag is in the proof, so that it cannot be cleared on the way.
        ("first", b"n,,", b"y,,", ChannelBindingFailed),
        ("first", b"n=user", b"n=other", LoginFailed),
        ("first", b"r=caller", b"r=called", RemoteProtocolError),
        ("first", b",h=", b",x=1,h=", LoginFailed),
        ("first", b"n,,", b"n,a=root,", Unsupported),
        ("first", b"n,,", b"p=tls-unique,,", Unsupported),
        ("first", b"n,,", b"m=1,n,,", Unsupported),
        ("challenge", b"r=caller", b"r=callex", RemoteProtocolError),
        ("challenge", b"r=callerlistener", b"r=caller", RemoteProtocolError),
        ("challenge", b"listener", b"listenex", LoginFailed),
        ("challenge", b"i=4096", b"i=4095", RemoteProtocolError),
        ("challenge", b"i=4096", b"i=2147483648", RemoteProtocolError),
        ("challenge", b"i=4096", b"i=4000001", RemoteProtocolError),
        ("challenge", b"i=4096", b"i=04096", RemoteProtocolError),
        ("challenge", b"i=4096", b"i=4097", LoginFailed),
        ("challenge", b"r=", b"m=1,r=", RemoteProtocolError),
        ("challenge", b"s=W22ZaJ0SNY7soEsUEjb6gQ==", b"s=", RemoteProtocolError),
        ("challenge", b"s=", b"s=" + b"AAAA" * 22, RemoteProtocolError),
        ("proof", b"r=callerlistener", b"r=callerlistenes", LoginFailed),
        ("proof", b"c=biws", b"c=eSws", ChannelBindingFailed),
        ("proof", b"c=biws", b"c=biwt", ChannelBindingFailed),
        ("proof", b"c=biws", b"c=biwsAA==", ChannelBindingFailed),
        ("proof", b"c=biws", b"c=biw", RemoteProtocolError),
        ("proof", b",p=", b",x=1,p=", LoginFailed),
        ("proof", b",p=", b",q=", RemoteProtocolError),
        ("proof", b",p=", b",p=AAAA", RemoteProtocolError),
        ("proof", b",p=", b",p=AA==,p=", LoginFailed),
        ("last", b"v=", b"v=AAAA", LoginFailed),
        ("last", b"v=", b"e=", RemoteProtocolError),
    ],
)
def test_changes_on_the_way(step, old, new, error):
    """Nothing can be changed in any message without its being noticed."""
    with pytest.raises(XferError) as caught:
        exchange(change=swap(step, old, new))
    assert type(caught.value) is error


def test_the_most_rounds():
    """At the limit they are worked off, one past it they are not."""
    challenge = b"r=callerx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=%d"
    assert Client(b"u", b"caller").challenged(challenge % scram.MOST_ITERATIONS)[1] == scram.MOST_ITERATIONS
    with pytest.raises(RemoteProtocolError):
        Client(b"u", b"caller").challenged(challenge % (scram.MOST_ITERATIONS + 1))


def test_a_listener_that_does_not_know_the_password():
    """Its proof is wrong, and the caller says so; so it does before there was a challenge."""
    client = Client(b"user", b"rOprNGfwEbeRWgbNEkqO")
    with pytest.raises(LoginFailed):
        client.check(RFC_PROOF)
    client.proof(salted_password("other", *client.challenged(RFC_CHALLENGE)))
    with pytest.raises(LoginFailed):
        client.check(RFC_PROOF)


def test_a_replay():
    """A proof is good for one nonce, and an exchange for one proof."""
    server = Server(RFC_FIRST, b"another", plus=False)
    server.challenge(VERIFIER)
    with pytest.raises(LoginFailed):
        server.finish(RFC_FINAL)
    server = Server(RFC_FIRST, b"%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", plus=False)
    with pytest.raises(RemoteProtocolError):
        server.finish(RFC_FINAL)
    server.challenge(VERIFIER)
    server.finish(RFC_FINAL)
    with pytest.raises(RemoteProtocolError):
        server.finish(RFC_FINAL)


def test_names_with_commas():
    """Commas and equals signs are escaped; other escapes are errors."""
    server = Server(Client("a,b=é".encode(), b"n").first, b"s", plus=False)
    assert server.username == "a,b=é".encode()
    for name in (b"", b"a=2c", b"a=", b"=41", b"\xff"):
        with pytest.raises(RemoteProtocolError):
            scram.unescaped(name)


@pytest.mark.parametrize(
    "text",
    [
        "SCRAM-SHA-256$4095:W22ZaJ0SNY7soEsUEjb6gQ==$%s:%s",
        "SCRAM-SHA-256$4000001:W22ZaJ0SNY7soEsUEjb6gQ==$%s:%s",
        "SCRAM-SHA-256$4096:$%s:%s",
        "SCRAM-SHA-256$4096:W22$%s:%s",
        "SCRAM-SHA-1$4096:W22ZaJ0SNY7soEsUEjb6gQ==$%s:%s",
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$%s",
        "SCRAM-SHA-256$4096:" + base64.b64encode(bytes(65)).decode() + "$%s:%s",
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$" + base64.b64encode(bytes(31)).decode() + ":%s",
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$%s:" + base64.b64encode(bytes(33)).decode(),
    ],
)
def test_texts_that_are_no_verifiers(text):
    """Each is refused, and the error repeats nothing of it."""
    key = base64.b64encode(bytes(32)).decode()
    with pytest.raises(ValueError, match=r"\A[^$]+\Z"):
        Verifier.parse(text % ((key,) * text.count("%s")))


@pytest.mark.parametrize("count", [scram.LEAST_ITERATIONS, scram.MOST_ITERATIONS])
@pytest.mark.parametrize("size", [1, scram.MAX_SALT])
def test_verifiers_at_their_limits(count, size):
    """The least and the most rounds, the shortest and the longest salt: stored, and taken from a challenge."""
    verifier = VERIFIER._replace(iterations=count, salt=b"s" * size)
    assert Verifier.parse(verifier.text()) == verifier
    client = Client(b"user", b"caller")
    challenge = Server(client.first, b"listener", plus=False).challenge(verifier)
    assert client.challenged(challenge) == (verifier.salt, count)


@pytest.mark.parametrize(("extra", "good"), [(0, True), (1, False)])
def test_the_longest_message(extra, good):
    """Is taken; one byte more is not."""
    first = b"n,,n=user,r=" + b"c" * 20 + b",x="
    first += b"y" * (scram.MAX_MESSAGE - len(first) + extra)
    if good:
        assert Server(first, b"s", plus=False).username == b"user"
    else:
        with pytest.raises(RemoteProtocolError):
            Server(first, b"s", plus=False)


def test_a_verifier_as_text():
    """It comes back as it was, has the form of RFC 5803, and its repr shows no key."""
    text = VERIFIER.text()
    assert re.match(r"SCRAM-SHA-256\$4096:W22ZaJ0SNY7soEsUEjb6gQ==\$\S{44}:\S{44}\Z", text)
    assert Verifier.parse(text) == VERIFIER
    assert VERIFIER.stored_key not in repr(VERIFIER).encode()
    assert repr(VERIFIER) == "<Verifier of 4096 iterations>"


def test_strangers():
    """The same salt each time, another for another name or key, and as long as a real one."""
    one = stranger(b"key", b"bob")
    assert one == stranger(b"key", b"bob")
    assert one.salt != stranger(b"key", b"eve").salt
    assert one.salt != stranger(b"kez", b"bob").salt
    assert len(one.salt) == scram.SALT_BYTES


@pytest.mark.parametrize(
    ("text", "prepared"),
    [
        # RFC 4013 section 3.
        ("I\u00adX", "IX"), ("user", "user"), ("USER", "USER"), ("\u00aa", "a"), ("\u2168", "IX"),
        ("a\u00a0b", "a b"), ("", ""), ("\u0627\u0628", "\u0627\u0628"),
    ],
)  # fmt: skip
def test_saslprep(text, prepared):
    """The examples of the RFC."""
    assert saslprep(text) == prepared
    assert prepared_password(text) == prepared.encode()


@pytest.mark.parametrize("text", ["\u0007", "\u06271", "a\u0627", "\U0001f600", "\ufffd"])
def test_what_saslprep_prohibits(text):
    """An error; as a password it counts as it is."""
    with pytest.raises(ValueError, match="prohibits"):
        saslprep(text)
    assert prepared_password(text) == text.encode()


@settings(derandomize=True, deadline=None)
@given(st.binary(max_size=200) | st.text("nyrsicpvhm=,1A/+ ", max_size=60).map(str.encode))
@example(b"n,,")
@example(b"n,,n=,r=")
@example(b"p=tls-exporter,,n=a,r=b")
def test_any_bytes(raw):
    """Each parser takes them or refuses them with an error of the family; nothing else comes out."""
    for parse in (
        lambda: Server(raw, b"s", plus=False),
        lambda: Server(raw, b"s", plus=True, channel=CHANNEL),
        lambda: started().finish(raw),
        lambda: Client(b"u", b"c").challenged(raw),
        lambda: Client(b"u", b"c").check(raw),
    ):
        try:
            parse()
        except XferError:
            continue


def started():
    server = Server(RFC_FIRST, b"x", plus=False)
    server.challenge(VERIFIER)
    return server


@settings(derandomize=True, deadline=None)
@given(st.sampled_from(["first", "challenge", "proof", "last"]), st.integers(0, 10_000), st.integers(1, 255))
def test_any_flipped_byte(step, at, mask):
    """One changed byte in any message never ends in a login at both ends."""

    def flip(now, message):
        if now != step:
            return message
        where = at % len(message)
        return message[:where] + bytes([message[where] ^ mask]) + message[where + 1 :]

    with pytest.raises(XferError):
        exchange(change=flip, **BOUND)


def test_the_digest_in_the_vectors_is_no_accident():
    """The document's channel and transcript are what they say they are."""
    for row in VECTORS:
        assert row["transcript"] == hashlib.sha256(b"hello").hexdigest()
