"""Jim's client in memory: what it sends byte by byte, and servers that misbehave."""

import json

import pytest
from twisted.internet import error
from twisted.internet.defer import fail
from twisted.internet.task import Clock

from twisted_xfer.errors import (
    Busy,
    ConnectionLost,
    LocalProtocolError,
    LoginFailed,
    RemoteProtocolError,
    TimedOut,
)
from twisted_xfer.protocols.jim import Heard, log_in
from twisted_xfer.testing.clients import MemoryEndpoint, Outcome, feed


def begin(password="secret", clock=None):
    endpoint = MemoryEndpoint()
    clock = clock or Clock()
    outcome = Outcome(log_in(endpoint, "alice", password, clock, lambda: 7.5, within=20))
    return outcome, endpoint.server


def code(number):
    return json.dumps({"response": number, "time": 1, "alert": "text"}).encode()


def let_in(cuts=1000):
    clock = Clock()
    outcome, server = begin(clock=clock)
    feed(server, code(100) + code(200), cuts)
    feed(server, code(200), cuts)
    sent = server.received().decode()
    first, end = json.JSONDecoder().raw_decode(sent)
    assert first == {
        "action": "authenticate",
        "time": 7,
        "user": {"account_name": "alice", "password": "secret"},
    }
    assert json.loads(sent[end:])["action"] == "presence"
    assert clock.getDelayedCalls() == []
    return outcome.result, server


@pytest.mark.parametrize(
    ("number", "kind"), [(402, LoginFailed), (401, LoginFailed), (409, Busy), (500, RemoteProtocolError)]
)
def test_who_is_not_let_in(number, kind):
    """By the code; the connection is dropped."""
    outcome, server = begin()
    feed(server, code(number), 2)
    assert outcome.error is kind
    assert server.ended == "aborted"


def test_without_a_password_there_is_only_presence():
    """For guests."""
    outcome, server = begin(None)
    assert json.loads(server.received())["action"] == "presence"
    feed(server, code(202), 1)
    assert outcome.result.username == "alice"


@pytest.mark.parametrize("cuts", [1, 9, 1000])
def test_what_is_heard(cuts):
    """Messages and responses, glued or cut; probes are answered, in either spelling."""
    chat, server = let_in(cuts)
    heard = [Outcome(chat.hear())]
    said = {"action": "msg", "time": 1, "to": "#r", "from": "bob", "message": "hi", "offer": 5}
    probe = json.dumps({"action": "pr\u043ebe", "time": 1}, ensure_ascii=False).encode()
    feed(server, probe + json.dumps(said).encode() + code(404), cuts)
    heard.append(Outcome(chat.hear()))
    assert [one.result for one in heard] == [Heard(0, "hi", "bob", "#r"), Heard(404, "text")]
    assert json.loads(server.received())["action"] == "presence"
    server.hang_up()
    assert Outcome(chat.hear()).result is None


def test_what_is_said():
    """Each action with its fields; a long text in several messages."""
    chat, server = let_in()
    chat.join("#r")
    assert json.loads(server.received()) == {"action": "join", "time": 7, "room": "#r"}
    chat.leave("#r")
    assert json.loads(server.received())["action"] == "leave"
    chat.say("bob", "x" * 501, "a URL")
    sent = server.received().decode()
    first, end = json.JSONDecoder().raw_decode(sent)
    second = json.loads(sent[end:])
    assert (len(first["message"]), len(second["message"])) == (500, 1)
    assert (first["from"], first["to"], first["encoding"]) == ("alice", "bob", "ascii")
    assert ("offer" in first, "offer" in second) == (True, False)
    chat.say("bob", "\u044f")
    assert json.loads(server.received())["encoding"] == "utf-8"
    for action, ask in (
        ("get_contacts", chat.ask_contacts),
        ("add_contact", lambda: chat.add_contact("bob")),
        ("del_contact", lambda: chat.drop_contact("bob")),
    ):
        ask()
        assert json.loads(server.received())["action"] == action
    outcome = Outcome(chat.quit())
    assert server.received() == b'{"action":"quit"}'
    assert (outcome.result, server.ended) == (None, "closed")


@pytest.mark.parametrize("letter", ["x", "\u044f", "\u65e5", "\U0001f600", chr(34)])
def test_a_long_text_goes_in_as_many_objects_as_it_takes(letter):
    """None of them longer than 640 characters, and nothing is lost, whatever the letters cost."""
    chat, server = let_in()
    chat.say("b" * 25, letter * 1501, "u" * 150)
    sent, said, offers = server.received().decode(), "", []
    while sent:
        value, end = json.JSONDecoder().raw_decode(sent)
        assert end <= 640
        said += value["message"]
        offers.append("offer" in value)
        sent = sent[end:]
    assert said == letter * 1501
    assert offers == [True] + [False] * (len(offers) - 1)


def test_an_offer_that_leaves_no_room_is_refused():
    """Instead of trying for ever."""
    chat, server = let_in()
    with pytest.raises(LocalProtocolError):
        chat.say("bob", "x", "u" * 640)
    assert server.received() == b""


def test_the_end_while_entering():
    """Lost, silent, never connected."""
    outcome, server = begin()
    server.hang_up()
    assert outcome.error is ConnectionLost
    clock = Clock()
    outcome, _ = begin(clock=clock)
    clock.advance(20)
    assert outcome.error is TimedOut
    refused = MemoryEndpoint(fail(error.ConnectionRefusedError()))
    outcome = Outcome(log_in(refused, "alice", None, clock, lambda: 0.0))
    assert outcome.error is ConnectionLost
