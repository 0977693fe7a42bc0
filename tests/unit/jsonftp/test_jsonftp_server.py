"""Sessions of the JSON "FTP" in memory."""

import hashlib
import json

import pytest

from twisted_xfer.interfaces import WriteIntent
from twisted_xfer.paths import VirtualPath
from twisted_xfer.protocols.jsonftp import JSONFTPOptions, jsonftp
from twisted_xfer.protocols.jsonftp.server import MAX_FAILURES, MAX_NAMES
from twisted_xfer.storage.memory import MemoryStorage
from twisted_xfer.streams.drain import PAUSE, WITHIN
from twisted_xfer.testing.contracts_protocol import ProtocolContract
from twisted_xfer.testing.host import MemoryHost
from twisted_xfer.testing.protocols import connect
from twisted_xfer.testing.storage_checks import put_part

LOGIN = b'{"action": "auth", "username": "alice", "password": "secret"}'


class TestJSONFTPContract(ProtocolContract):
    plugin = jsonftp


class TestJSONFTPContractInside(ProtocolContract):
    plugin = jsonftp
    login = LOGIN


class TestJSONFTPContractInAFile(ProtocolContract):
    plugin = jsonftp
    login = LOGIN + b'{"action": "put", "filename": "f"}{"file_size": 100000}'


def make_host(**more):
    host = MemoryHost({"alice": "secret", "bob": "hidden"}, **more)
    home = host.storage.view("/alice", owner="alice", create=True)
    home.make_directory(VirtualPath.parse(b"/sub"))
    upload = home.open_write(VirtualPath.parse(b"/f"), WriteIntent())
    upload.write(b"hello")
    upload.commit()
    return host


class Client:
    def __init__(self, host, login=LOGIN, **options):
        self.host = host
        self.connection = connect(jsonftp.stream_factory(JSONFTPOptions(**options), host))
        if login:
            assert self.code(json.loads(login)) == 254

    def raw(self, data):
        answer = self.connection.send(data)
        self.host.reactor.settle()
        return answer + self.connection.received()

    def say(self, **message):
        answer = self.raw(json.dumps(message).encode())
        return json.loads(answer) if answer else None

    def code(self, message):
        return self.say(**message)["status_code"]


def content(host, path):
    home = host.storage.view("/alice", owner="nobody", create=True)
    return home.open_read(VirtualPath.parse(path)).read(1 << 20)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"username": "alice", "password": "secret"}, 254),
        ({"username": "alice", "password": "wrong"}, 253),
        ({"username": "nobody", "password": "secret"}, 253),
        ({"username": "alice"}, 252),
        ({"username": "", "password": ""}, 252),
        ({"username": 1, "password": 2}, 252),
    ],
)
def test_authentication(message, code):
    """One answer each: a 252 is not followed by a 253."""
    client = Client(make_host(), login=None)
    assert client.code({"action": "auth", **message}) == code


def test_guessing_ends():
    """After so many failures."""
    client = Client(make_host(), login=None)
    for _ in range(MAX_FAILURES):
        assert client.connection.ended is None
        assert client.code({"action": "auth", "username": "alice", "password": "x"}) == 253
    assert client.connection.ended == "closed"


@pytest.mark.parametrize("action", ["get", "put", "ls", "cd", "breakpoint", "pwd"])
def test_nothing_before_authentication(action):
    """Where the script's server raises."""
    client = Client(make_host(), login=None)
    assert client.code({"action": action, "filename": "f"}) == 252


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"action": "_private"}, 251),
        ({"action": "__init__"}, 251),
        ({"action": ["get"]}, 250),
        ({}, 250),
        ({"action": "get"}, 255),
        ({"action": "get", "filename": ""}, 255),
        ({"action": "get", "filename": "none"}, 256),
        ({"action": "get", "filename": "sub"}, 256),
        ({"action": "get", "filename": "../../etc/passwd"}, 256),
        ({"action": "breakpoint", "filename": "f", "breakpoint": 6}, 256),
        ({"action": "breakpoint", "filename": "f", "breakpoint": "3"}, 250),
        ({"action": "cd", "path": "f"}, 256),
        ({"action": "cd", "path": "none"}, 256),
        ({"action": "cd"}, 255),
        ({"action": "ls", "path": "none"}, 256),
    ],
)
def test_answers(message, code):
    """A code for everything that can be wrong."""
    assert Client(make_host()).code(message) == code


def test_garbage_is_answered_and_ends():
    """Where the next object begins nobody knows."""
    client = Client(make_host())
    assert json.loads(client.raw(b"hello"))["status_code"] == 250
    assert client.connection.ended == "closed"


@pytest.mark.parametrize("glued", [False, True])
def test_get(glued):
    """The go-on glued to the command or not; no digest unless asked for."""
    client = Client(make_host())
    command = b'{"action": "get", "filename": "f"}'
    if glued:
        answer = client.raw(command + b"1")
    else:
        answer = client.raw(command)
        answer += client.raw(b"1")
    assert answer.endswith(b'"file_size": 5}hello')
    assert client.say(action="ls") == ["f", "sub"]


@pytest.mark.parametrize("message", [{"action": "get"}, {"action": "breakpoint", "breakpoint": 3}])
def test_half_a_file_is_none(message):
    """What an interrupted upload left is there for going on with it, and not to be taken for the file."""
    host = make_host()
    put_part(host.storage.view("/alice", owner="alice"), b"/half", b"begun")
    assert Client(host).code({**message, "filename": "half"}) == 256


def test_get_with_a_digest():
    """258 in an object of its own, a moment after the file."""
    host = make_host()
    client = Client(host)
    assert client.say(action="get", filename="f", md5=True)["file_size"] == 5
    assert client.raw(b"1") == b"hello"
    host.clock.advance(WITHIN + PAUSE)
    said = json.loads(client.connection.received())
    assert (said["status_code"], said["md5"]) == (258, hashlib.md5(b"hello").hexdigest())


def test_breakpoint():
    """The whole size, the rest of the bytes, the digest of the rest."""
    host = make_host()
    client = Client(host)
    said = client.say(action="breakpoint", filename="f", breakpoint=3, md5=True)
    assert (said["status_code"], said["file_size"]) == (257, 5)
    assert client.raw(b"1") == b"lo"
    host.clock.advance(WITHIN + PAUSE)
    assert json.loads(client.connection.received())["md5"] == hashlib.md5(b"lo").hexdigest()


PUT = b'{"action": "put", "filename": "new", "md5": true}'
READY = b'{"status_code": 257, "status_msg": "Ready to send file", "file_size": 4}'


def ways(data):
    return [[data], [data[at : at + 1] for at in range(len(data))], [data[: len(PUT)], data[len(PUT) :]]]


@pytest.mark.parametrize(("digest", "word"), [(b"data", b"done"), (b"else", b"md5 false")])
def test_put(digest, word):
    """Both objects and the file glued or cut anywhere; a wrong digest publishes nothing."""
    said = json.dumps({"status_code": 258, "md5": hashlib.md5(digest).hexdigest()}).encode()
    for pieces in ways(PUT + READY + b"data" + said):
        host = make_host()
        client = Client(host)
        assert b"".join(client.raw(piece) for piece in pieces) == b"1" + word
        if word == b"done":
            assert content(host, b"/new") == b"data"
        assert ("new" in client.say(action="ls")) is True  # its owner sees the kept part
        assert len(host.recorder.of("upload.complete")) == (word == b"done")


def test_put_without_a_digest():
    """Nothing is said after it, as in the article."""
    host = make_host()
    client = Client(host)
    assert client.raw(PUT.replace(b', "md5": true', b"") + READY + b"data") == b"1"
    assert content(host, b"/new") == b"data"


@pytest.mark.parametrize("size", ['"4"', "-1", "null", "1e3"])
def test_put_needs_a_size(size):
    """250 in place of the go-on."""
    client = Client(make_host())
    assert json.loads(client.raw(PUT + b'{"file_size": %b}' % size.encode()))["status_code"] == 250


@pytest.mark.parametrize(("dialect", "code"), [("article", 251), ("wide", 260)])
def test_a_put_that_may_not_be_is_refused(dialect, code):
    """A directory has the name; the code is the dialect's."""
    client = Client(make_host(), dialect=dialect)
    answer = client.raw(PUT.replace(b"new", b"sub") + READY)
    assert json.loads(answer)["status_code"] == code


def test_a_full_storage_is_told_and_ends():
    """In the middle of the file; nothing is published."""
    storage = MemoryStorage(lambda: 0.0, capacity=8)
    client = Client(make_host(storage=storage))
    answer = client.raw(PUT + READY + b"data")
    assert answer.startswith(b"1{")
    assert client.connection.ended == "closed"


def test_each_session_has_a_directory_of_its_own():
    """The script's server moves everybody."""
    host = make_host()
    one, two = Client(host), Client(host)
    assert one.say(action="cd", path="sub")["path"] == "/sub"
    assert one.say(action="ls") == []
    assert two.say(action="listdir") == ["f", "sub"]
    assert one.say(action="pwd")["path"] == "/sub"
    assert one.say(action="change_dir", path="../..")["path"] == "/"


def test_a_list_is_bounded():
    """At the limit, and one beyond."""
    host = make_host()
    home = host.storage.view("/alice", owner="alice", create=True)
    for number in range(MAX_NAMES + 1):
        home.make_directory(VirtualPath.parse(b"/sub/%d" % number))
    assert len(Client(host).say(action="ls", path="sub")) == MAX_NAMES


def test_hanging_up_in_a_file_keeps_the_part():
    """Nothing is published, and nothing leaks."""
    host = make_host()
    client = Client(host)
    client.raw(PUT + READY + b"da")
    client.connection.hang_up()
    assert host.recorder.of("upload.aborted")
    assert host.limits.held == 0


@pytest.mark.parametrize(
    ("prefix", "answer"),
    [
        (b"", "more"),
        (b'{"action"', "more"),
        (b'{"action": "auth"', "yes"),
        (b'{"action":"presence"', "no"),
        (b"x", "no"),
    ],
)
def test_sniffing(prefix, answer):
    """The first action tells."""
    assert jsonftp.sniff(prefix) == answer


def test_answers_that_nobody_reads_do_not_pile_up():
    """While the transport is full no command is looked at, and after that the session goes on."""
    client = Client(make_host())
    protocol = client.connection.protocol
    protocol._guard.pauseProducing()
    assert client.say(action="pwd")["status_code"] == 259
    assert client.raw(b'{"action": "pwd"}' * 3) == b""
    assert client.connection.transport.producerState == "paused"
    protocol._guard.resumeProducing()
    assert client.connection.received().count(b"259") == 3
    assert client.say(action="ls") == ["f", "sub"]
