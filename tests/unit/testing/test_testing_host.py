"""The host in memory: the kit must be right for tests to mean something."""

import socket

import pytest
from twisted.cred.credentials import Anonymous, UsernamePassword
from twisted.internet.defer import maybeDeferred
from twisted.internet.interfaces import IReactorFDSet, IReactorTime
from zope.interface.verify import verifyObject

from twisted_xfer.errors import LimitReached, LoginFailed
from twisted_xfer.interfaces import (
    READ_ONLY,
    Account,
    IAvatar,
    IHost,
    ILimits,
    ILogin,
    LoginContext,
    WriteIntent,
)
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.paths import VirtualPath
from twisted_xfer.testing import memory_reactor
from twisted_xfer.testing.host import WALL_TIME, MemoryHost
from twisted_xfer.testing.memory_reactor import SteppedReactor

CONTEXT = LoginContext("test", "s1", "192.0.2.1")


def now(answer):
    """The value of an answer that has come, or its error."""
    box = []
    maybeDeferred(lambda: answer).addBoth(box.append)
    (value,) = box
    if hasattr(value, "raiseException"):
        value.raiseException()
    return value


def login(host, username=b"alice", password=b"secret"):
    return now(maybeDeferred(host.login.login, UsernamePassword(username, password), CONTEXT))


def test_it_is_a_host():
    """Each part provides its own interface too."""
    host = MemoryHost()
    verifyObject(IHost, host)
    verifyObject(ILimits, host.limits)
    verifyObject(ILogin, host.login)
    verifyObject(IReactorTime, host.clock)
    verifyObject(IReactorFDSet, host.reactor)


def test_users_log_in_to_a_home_in_memory():
    """A file written through the avatar is there for the next session of the same user."""
    host = MemoryHost({"alice": "secret", "bob": "hidden"})
    avatar = login(host)
    verifyObject(IAvatar, avatar)

    async def write():
        upload = await resolve(avatar.open_write(VirtualPath((b"a",)), WriteIntent()))
        await resolve(upload.write(b"hello"))
        await resolve(upload.commit())

    now(write())
    assert now(avatar.stat(VirtualPath((b"a",)))).size == 5
    assert host.limits.sessions == {"alice": 1}
    avatar.logout()
    assert host.limits.held == 0
    assert host.recorder.ids[0] == "login.ok"
    assert "upload.complete" in host.recorder.ids


def test_accounts_give_settings():
    """A user of the test may have any rights."""
    host = MemoryHost({"alice": "secret"}, accounts={"alice": Account("alice", rights=READ_ONLY)})
    assert login(host).account.rights == READ_ONLY


@pytest.mark.parametrize(("username", "password"), [(b"alice", b"wrong"), (b"nobody", b"secret")])
def test_wrong_logins_fail_and_are_counted(username, password):
    """As in the daemon, and at once."""
    host = MemoryHost({"alice": "secret"})
    with pytest.raises(LoginFailed):
        login(host, username, password)
    assert host.limits.failures == [("192.0.2.1", username.decode())]


def test_anonymous_only_when_told_so():
    """Refused by default; with a directory it reads there."""
    assert not MemoryHost().login.anonymous
    host = MemoryHost(anonymous=".")
    assert host.login.anonymous
    assert now(maybeDeferred(host.login.login, Anonymous(), CONTEXT)).username == "anonymous"


def test_limits_refuse_when_told_so():
    """A test sets the error that everybody gets."""
    host = MemoryHost()
    lease = host.limits.admit("192.0.2.1")
    lease.release()
    lease.release()
    assert host.limits.held == 0
    host.limits.refuse = LimitReached(limit="clients")
    with pytest.raises(LimitReached):
        host.limits.admit("192.0.2.1")


def test_time_and_chance_are_the_same_in_each_run():
    """Wall time moves with the clock; ids and random bytes repeat from host to host."""
    one, two = MemoryHost(), MemoryHost()
    assert one.wall_time() == WALL_TIME
    one.clock.advance(1.5)
    assert one.wall_time() == WALL_TIME + 1.5
    assert [one.random(8), one.random(8)] == [two.random(8), two.random(8)]
    assert one.random(8) != one.random(8)
    assert [one.new_session_id(), one.new_session_id()] == ["s1", "s2"]


def test_what_is_still_to_be_called_is_told_by_name():
    """So that a test can say which timer was left."""
    host = MemoryHost()
    host.clock.callLater(1, login, host)
    assert host.later() == ["login"]


def test_who_is_still_in_the_rounds_is_told_too():
    """The timer itself is the host's own, and nobody's fault."""
    host = MemoryHost()
    host.rounds.join(host.clock.advance)
    assert host.later() == ["SteppedReactor.advance"]
    host.rounds.leave(host.clock.advance)
    assert host.later() == []
    assert host.clock.getDelayedCalls()


class End:
    """A descriptor that keeps what it reads."""

    def __init__(self, sock, reactor):
        self.sock, self.reactor, self.read, self.lost = sock, reactor, b"", None

    def fileno(self):
        return self.sock.fileno()

    def doRead(self):
        data = self.sock.recv(10)
        self.read += data
        return None if data else ConnectionError("end")

    def doWrite(self):
        self.sock.send(b"pong")
        self.reactor.removeWriter(self)

    def connectionLost(self, reason):
        self.lost = reason.value

    def logPrefix(self):
        return "end"


@pytest.fixture
def pair():
    ends = socket.socketpair()
    yield ends
    for end in ends:
        end.close()


def test_descriptors_are_served_only_when_turned(pair):
    """Reading, writing and the end of the stream, without a reactor that runs."""
    reactor = SteppedReactor()
    end = End(pair[0], reactor)
    reactor.addReader(end)
    reactor.addWriter(end)
    pair[1].send(b"more than ten bytes")
    assert end.read == b""
    reactor.settle()
    assert end.read == b"more than ten bytes"
    assert pair[1].recv(10) == b"pong"
    assert reactor.getReaders() == [end]
    assert reactor.getWriters() == []
    pair[1].close()
    reactor.settle()
    assert isinstance(end.lost, ConnectionError)
    assert reactor.removeAll() == []


def test_settle_runs_what_is_due_and_not_what_is_later():
    """The clock does not move by itself."""
    reactor, calls = SteppedReactor(), []
    reactor.callLater(0, lambda: reactor.callFromThread(calls.append, "due"))
    reactor.callLater(1, calls.append, "later")
    reactor.settle()
    assert calls == ["due"]


def test_settle_gives_up_on_what_never_ends(monkeypatch):
    """A loop between two parts is an error of the test, not a hang."""
    monkeypatch.setattr(memory_reactor, "MAX_TURNS", 50)
    reactor = SteppedReactor()

    def again():
        reactor.callLater(0, again)

    again()
    with pytest.raises(RuntimeError, match="still busy"):
        reactor.settle()
    with pytest.raises(RuntimeError, match="still busy"):
        reactor.advance(1)


def test_calls_come_in_the_order_of_their_time_and_cancelled_ones_do_not():
    """Also when one due call cancels another."""
    reactor, calls = SteppedReactor(), []
    reactor.callLater(2, calls.append, 2)
    late = reactor.callLater(3, calls.append, 3)
    reactor.callLater(1, lambda: (calls.append(1), late.cancel()))
    reactor.advance(5)
    assert calls == [1, 2]
    assert reactor.getDelayedCalls() == []
