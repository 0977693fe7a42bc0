"""The JSON "FTP" with the length of each object before it: our server, our client, byte by byte."""

import hashlib
import io
import json
import struct

import pytest
from twisted.internet.task import Clock

from twisted_xfer.errors import DigestMismatch, QuotaExceeded, RightMissing
from twisted_xfer.interfaces import WriteIntent
from twisted_xfer.paths import VirtualPath
from twisted_xfer.protocols.jsonftp import JSONFTPOptions, jsonftp, log_in
from twisted_xfer.protocols.jsonftp.client import LAST_WORD
from twisted_xfer.protocols.jsonftp.wire import frame
from twisted_xfer.testing.clients import MemoryEndpoint, Outcome, feed
from twisted_xfer.testing.contracts_protocol import ProtocolContract
from twisted_xfer.testing.host import MemoryHost
from twisted_xfer.testing.protocols import connect

DATA = b"\x05\0\0\0data"
MD5 = hashlib.md5(DATA).hexdigest()


def framed(**value):
    return frame(json.dumps(value).encode())


def objects(data):
    """All of them, and what is behind the last one."""
    found = []
    while len(data) > 4 and len(data) >= 4 + (size := struct.unpack("<i", data[:4])[0]):
        found.append(json.loads(data[4 : 4 + size]))
        data = data[4 + size :]
    return found, data


LOGIN = framed(action="auth", username="alice", password="secret")


class TestJSONFTPContractFramed(ProtocolContract):
    plugin = jsonftp
    login = LOGIN


# --- our server --------------------------------------------------------------------------------


@pytest.fixture
def host():
    host = MemoryHost({"alice": "secret"})
    upload = host.storage.view("/alice", owner="alice", create=True).open_write(
        VirtualPath.parse(b"/f"), WriteIntent()
    )
    upload.write(DATA)
    upload.commit()
    return host


def converse(host, data, cuts=1_000_000):
    connection = connect(jsonftp.stream_factory(JSONFTPOptions(), host))
    answer = b""
    for at in range(0, len(data), cuts):
        answer += connection.send(data[at : at + cuts])
        host.reactor.settle()
    host.clock.advance(10)
    return objects(answer + connection.received())


@pytest.mark.parametrize("cuts", [1, 7, 1_000_000])
def test_what_comes_framed_is_answered_framed(host, cuts):
    """A login, a list, a wrong name, a wrong command: an object with its length for each."""
    asked = LOGIN + framed(action="ls") + framed(cmd="get", file_name="none") + framed(action="sing")
    (passed, names, missing, unknown), rest = converse(host, asked, cuts)
    assert [passed["status_code"], missing["status_code"], unknown["status_code"]] == [254, 256, 251]
    assert (names, rest) == (["f"], b"")


@pytest.mark.parametrize("go_on", [b"", b"1"])
def test_get_waits_for_nobody(host, go_on):
    """The file is right behind its size; a client that says 1 all the same does no harm."""
    connection = connect(jsonftp.stream_factory(JSONFTPOptions(), host))
    connection.send(LOGIN)
    answer = connection.send(framed(action="get", filename="f") + go_on)
    host.reactor.settle()
    (ready,), body = objects(answer + connection.received())
    assert (ready["status_code"], ready["file_size"], body) == (257, len(DATA), DATA)
    (names,), _ = objects(connection.send(framed(action="ls")))
    assert names == ["f"]


@pytest.mark.parametrize("cuts", [1, 1_000_000])
@pytest.mark.parametrize(
    ("message", "behind", "word"),
    [
        ({"file_size": len(DATA)}, b"", "done"),
        ({"filesize": len(DATA), "md5": MD5}, b"", "done"),
        ({"size": len(DATA), "md5": MD5[::-1]}, b"", "md5 false"),
        ({"file_size": len(DATA), "md5": True}, framed(status_code=258, md5=MD5), "done"),
    ],
)
def test_put(host, cuts, message, behind, word):
    """Size and digest in the first object, as those courses have it, or behind as the article has it."""
    asked = LOGIN + framed(action="put", filename="new", **message) + DATA + behind
    (_, ready, last), rest = converse(host, asked, cuts)
    assert (ready["status_code"], last["status_code"], last["status_msg"], rest) == (257, 258, word, b"")
    assert len(host.recorder.of("upload.complete")) == (word == "done")


# --- our client --------------------------------------------------------------------------------


@pytest.fixture(params=[1, 1000])
def begun(request):
    """A session, the server's hands and the clock."""
    endpoint, clock = MemoryEndpoint(), Clock()
    outcome = Outcome(log_in(endpoint, "alice", "secret", clock, framed=True))

    def deliver(data):
        feed(endpoint.server, data, request.param)

    assert endpoint.server.received() == LOGIN
    deliver(framed(status_code=254))
    return outcome.result, endpoint.server, deliver, clock


def test_our_get(begun):
    """No go-on is sent."""
    session, server, deliver, _ = begun
    got = []
    outcome = Outcome(session.get("f", got.append))
    assert server.received() == framed(action="get", filename="f", md5=True)
    deliver(framed(status_code=257, file_size=len(DATA)) + DATA + framed(status_code=258, md5=MD5))
    assert (outcome.result, b"".join(got), server.received()) == (len(DATA), DATA, b"")


@pytest.mark.parametrize(("word", "good"), [("done", True), ("md5 false", False), (None, None)])
def test_our_put(begun, word, good):
    """One object, the file, its digest; the answer is an object, or never comes."""
    session, server, deliver, clock = begun
    outcome = Outcome(session.put("f", len(DATA), io.BytesIO(DATA).read))
    assert server.received() == framed(action="put", filename="f", md5=True, file_size=len(DATA))
    deliver(framed(status_code=257))
    said, rest = server.received(), None
    assert said.startswith(DATA)
    (digest,), rest = objects(said[len(DATA) :])
    assert (digest["md5"], rest) == (MD5, b"")
    if word is None:
        clock.advance(LAST_WORD)
        assert outcome.result is False
        return
    deliver(framed(status_code=258, status_msg=word))
    if good:
        assert outcome.result is True
    else:
        assert isinstance(outcome.result.value, DigestMismatch)


@pytest.mark.parametrize(
    ("text", "kind"),
    [("Refused: quota", QuotaExceeded), ("Refused: right_missing", RightMissing), ("no", QuotaExceeded)],
)
def test_our_put_refused(begun, text, kind):
    """The reason is in the text, where our own server says it."""
    session, _, deliver, _ = begun
    outcome = Outcome(session.put("f", len(DATA), io.BytesIO(DATA).read))
    deliver(framed(status_code=251, status_msg=text))
    assert type(outcome.result.value) is kind


def test_our_ls(begun):
    """A list in a frame."""
    session, _, deliver, _ = begun
    outcome = Outcome(session.ls())
    deliver(frame(b'["a", "b"]'))
    assert outcome.result == ["a", "b"]
