"""A chat in memory."""

import json

import pytest

from twisted_xfer.errors import Busy
from twisted_xfer.protocols.jim import JIMOptions, jim
from twisted_xfer.protocols.jim.hub import (
    MAX_CONTACTS,
    MAX_JOINED,
    MAX_LISTS,
    MAX_MEMBERS,
    MAX_ROOMS,
    MAX_SEEN,
    Hub,
)
from twisted_xfer.protocols.jim.server import MAX_BEHIND, MAX_FAILURES, MAX_OFFER
from twisted_xfer.testing.contracts_protocol import ProtocolContract
from twisted_xfer.testing.host import WALL_TIME, MemoryHost
from twisted_xfer.testing.protocols import connect

LOGIN = b'{"action": "authenticate", "time": 1, "user": {"account_name": "alice", "password": "secret"}}'
NOW = int(WALL_TIME)


class TestJIMContract(ProtocolContract):
    plugin = jim


class TestJIMContractInside(ProtocolContract):
    plugin = jim
    options = JIMOptions(guests=True)
    login = b'{"action": "presence", "time": 1, "user": {"account_name": "x"}}'


class Chat:
    """A listener; call it for a connection that is logged in by name."""

    def __init__(self, **options):
        self.host = MemoryHost(dict.fromkeys(("alice", "bob", "carol"), "secret"))
        self.factory = jim.stream_factory(JIMOptions(**options), self.host)

    def __call__(self, name=None):
        member = Member(self.host, connect(self.factory))
        if name is not None:
            assert member.authenticate(name) == 200
        return member


class Member:
    def __init__(self, host, connection):
        self.host = host
        self.connection = connection

    def heard(self):
        decoder = json.JSONDecoder()
        text = self.connection.received().decode()
        values = []
        while text:
            value, end = decoder.raw_decode(text)
            values.append(value)
            text = text[end:]
        return values

    def say(self, action, **fields):
        assert self.connection.send(json.dumps({"action": action, "time": 1, **fields}).encode()) is not None
        self.host.reactor.settle()

    def code(self, action, **fields):
        data = json.dumps({"action": action, "time": 1, **fields}).encode()
        answer = json.loads(self.connection.send(data))
        assert answer["time"] == NOW
        assert ("error" in answer) == (answer["response"] >= 400)
        return answer["response"]

    def authenticate(self, name, password="secret"):
        return self.code("authenticate", user={"account_name": name, "password": password})


def test_authentication():
    """200, 402 for a wrong password and for nobody, 409 for somebody who is there."""
    chat = Chat()
    alice = chat("alice")
    other = chat()
    assert other.authenticate("bob", "wrong") == 402
    assert other.authenticate("nobody") == 402
    assert other.authenticate("alice") == 409
    assert other.authenticate("bob") == 200
    assert other.authenticate("bob") == 409
    alice.connection.hang_up()
    assert chat().authenticate("alice") == 200


def test_guessing_ends():
    """After so many failures."""
    member = Chat()()
    for _ in range(MAX_FAILURES):
        assert member.connection.ended is None
        assert member.authenticate("alice", "x") == 402
    assert member.connection.ended == "closed"


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("msg", {"to": "bob", "message": "x"}),
        ("join", {"room": "#r"}),
        ("leave", {"room": "#r"}),
        ("get_contacts", {}),
        ("add_contact", {"user_id": "bob"}),
        ("presence", {"user": {"account_name": "alice"}}),
    ],
)
def test_what_needs_a_name(action, fields):
    """401 without one."""
    assert Chat()().code(action, **fields) == 401


def test_presence():
    """200 under one's own name, 403 under another's."""
    alice = Chat()("alice")
    assert alice.code("presence", type="status", user={"account_name": "alice", "status": "here"}) == 200
    assert alice.code("presence", user={"account_name": "bob"}) == 403


def test_guests_take_a_name_by_presence():
    """Where the operator wants them, and nobody has it."""
    chat = Chat(guests=True)
    one, two = chat(), chat()
    assert one.code("presence", user={"account_name": "dave"}) == 200
    assert two.code("presence", user={"account_name": "dave"}) == 409
    assert two.authenticate("bob") == 200


def test_a_message_to_one():
    """Who it is from is not what was said; the sender gets a code."""
    chat = Chat()
    alice, bob = chat("alice"), chat("bob")
    assert alice.code("msg", to="bob", **{"from": "carol"}, message="hi") == 200
    assert bob.heard() == [
        {"action": "msg", "time": NOW, "to": "bob", "from": "alice", "encoding": "ascii", "message": "hi"}
    ]
    assert alice.code("msg", to="carol", message="hi") == 404
    bob.connection.hang_up()
    assert alice.code("msg", to="bob", message="hi") == 410


def test_a_room():
    """Made by the first, relayed to all others, ended by the last."""
    chat = Chat()
    alice, bob, carol = chat("alice"), chat("bob"), chat("carol")
    assert alice.code("msg", to="#r", message="x") == 404
    assert alice.code("join", room="#r") == 201
    assert bob.code("join", room="#r") == 200
    assert bob.code("join", room="#r") == 200
    assert carol.code("msg", to="#r", message="x") == 403
    assert alice.code("msg", to="#r", message="hello", encoding="utf-8") == 200
    assert [said["message"] for said in bob.heard()] == ["hello"]
    assert carol.heard() == alice.heard() == []
    assert bob.code("leave", room="#r") == 200
    assert bob.code("leave", room="#r") == 404
    alice.connection.hang_up()
    assert carol.code("join", room="#r") == 201


@pytest.mark.parametrize(("size", "there"), [(MAX_OFFER, True), (MAX_OFFER + 1, False)])
def test_an_offer_of_a_file_goes_with_a_message(size, there):
    """A URL up to its limit; a longer one is left out."""
    chat = Chat()
    alice, bob = chat("alice"), chat("bob")
    assert alice.code("msg", to="bob", message="file", offer="x" * size) == 200
    assert ("offer" in bob.heard()[0]) is there


def test_what_would_be_too_long_is_not_passed_on():
    """The name is added here: the limit is that of the whole object."""
    chat = Chat()
    alice, bob = chat("alice"), chat("bob")
    data = b'{"action":"msg","time":1,"to":"bob","message":"%b","offer":"%b"}' % (b"x" * 500, b"u" * 70)
    assert json.loads(alice.connection.send(data))["response"] == 400
    assert bob.heard() == []


def test_contacts():
    """202, and a list that fits into one object however long it is."""
    chat = Chat()
    alice = chat("alice")
    assert alice.code("add_contact", user_id="bob") == 202
    assert alice.code("add_contact", user_id="bob") == 202
    alice.say("get_contacts")
    answer = json.loads(alice.connection.send(b'{"action": "get_contacts", "time": 1}'))
    assert (answer["response"], answer["alert"]) == (202, ["bob"])
    assert alice.code("del_contact", user_id="bob") == 202
    assert alice.code("del_contact", user_id="bob") == 404
    for number in range(MAX_CONTACTS):
        assert alice.code("add_contact", user_id=f"a-rather-long-name-{number:03}") == 202
    assert alice.code("add_contact", user_id="one-more") == 403
    raw = alice.connection.send(b'{"action": "get_contacts", "time": 1}')
    assert len(raw) <= 640
    assert 10 < len(json.loads(raw)["alert"]) < MAX_CONTACTS


def test_bad_objects_and_garbage():
    """400 and on; 400 and the end."""
    alice = Chat()("alice")
    assert alice.code("probe") == 400
    assert alice.code("shout") == 400
    assert json.loads(alice.connection.send(b"hello"))["response"] == 400
    assert alice.connection.ended == "closed"


def test_quit_closes():
    """Without a word."""
    alice = Chat()("alice")
    assert alice.connection.send(b'{"action": "quit"}') == b""
    assert alice.connection.ended == "closed"
    assert alice.host.limits.held == 0


def test_however_it_is_cut():
    """Glued and byte by byte give the same answers."""
    data = LOGIN + b'{"action":"join","time":1,"room":"#r"}' * 2
    for pieces in ([data], [data[at : at + 1] for at in range(len(data))]):
        member = Chat()()
        codes = []
        for piece in pieces:
            member.connection.protocol.dataReceived(piece)
            codes += [value["response"] for value in member.heard()]
        assert codes == [200, 201, 200]


def test_members_are_probed():
    """Who answers stays; who does not is idle in the end."""
    chat = Chat(probe=100.0, idle=250.0)
    alice, bob = chat("alice"), chat("bob")
    for _ in range(3):
        chat.host.clock.advance(100)
        if bob.connection.ended is None:
            assert "probe" in [value.get("action") for value in bob.heard()]
            bob.say("presence", user={"account_name": "bob"})
    assert alice.connection.ended == "aborted"
    assert bob.connection.ended is None


@pytest.mark.parametrize(("more", "ended"), [(0, None), (1, "aborted")])
def test_who_does_not_read_is_cut_off(more, ended):
    """What others say does not pile up; at the limit, and one beyond."""
    chat = Chat()
    alice, bob = chat("alice"), chat("bob")
    bob.connection.protocol._outlet.pauseProducing()
    for _ in range(MAX_BEHIND + more):
        assert alice.code("msg", to="bob", message="x") == 200
    assert bob.connection.ended == ended
    if ended:
        assert alice.code("msg", to="bob", message="x") == 410


class Named:
    def __init__(self, username):
        self.username = username

    def deliver(self, data):
        raise AssertionError


def full(action, limit):
    """``limit`` calls are fine, one more is not."""
    for number in range(limit):
        action(number)
    with pytest.raises(Busy):
        action(limit)


def test_the_hub_is_bounded():
    """Rooms, members, rooms of one, lists of contacts, remembered names."""
    hub = Hub()
    full(lambda number: hub.join(Named(f"u{number}"), f"#r{number}"), MAX_ROOMS)
    hub = Hub()
    full(lambda number: hub.join(Named(f"u{number}"), "#r"), MAX_MEMBERS)
    hub = Hub()
    full(lambda number: hub.join(Named("u"), f"#r{number}"), MAX_JOINED)
    full(lambda number: hub.add_contact(f"u{number}", "x"), MAX_LISTS)
    for number in range(MAX_SEEN + 1):
        member = Named(f"u{number}")
        hub.enter(member)
        hub.go(member)
    assert not hub.knows("u0")
    assert hub.knows("u1")


@pytest.mark.parametrize(
    ("prefix", "answer"),
    [
        (b"", "more"),
        (b'{"action": "pres', "more"),
        (b'{"action": "presence"', "yes"),
        (b'{"action":"authenticate"', "yes"),
        (b'{"action": "auth"', "no"),
        (b"x", "no"),
    ],
)
def test_sniffing(prefix, answer):
    """The first action tells."""
    assert jim.sniff(prefix) == answer
