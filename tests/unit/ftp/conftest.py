"""A whole FTP session on a StringTransport, its data side in the test's hands."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
from ftp_secured import TLS
from twisted.cred.checkers import AllowAnonymousAccess, InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import Portal
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import ITLSTransport
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import Logger
from zope.interface import alsoProvides, implementer

from twisted_xfer.accounts.chain import ChainChecker
from twisted_xfer.accounts.login import Login
from twisted_xfer.accounts.realm import Realm
from twisted_xfer.errors import Cancelled
from twisted_xfer.interfaces import Account, IDataPorts, IPassivePort, ITransfer, ITransfers, Timeouts
from twisted_xfer.protocols.ftp.options import FTPOptions
from twisted_xfer.protocols.ftp.plugin import plugin
from twisted_xfer.runtime.blocking import InlineBlocking
from twisted_xfer.runtime.limits import Limits
from twisted_xfer.runtime.rounds import Rounds
from twisted_xfer.storage.memory import MemoryStorage


class Events:
    """Collects what is emitted."""

    def __init__(self):
        self.active = True
        self.asks = False
        self.seen = []

    def emit(self, event_id, **fields):
        self.seen.append((event_id, fields))

    def ask(self, event_id, **fields):
        return None

    def ids(self):
        return [event_id for event_id, _ in self.seen]


@implementer(IPassivePort)
class Port:
    """A passive port whose connections the test makes."""

    def __init__(self, port):
        self.port = port
        self.channel = None
        self.waiting = None
        self.call = None
        self.closed = False
        self.cleared = 0

    def accept(self, timeout):
        if self.channel is not None:
            channel, self.channel = self.channel, None
            return succeed(channel)
        self.call = None
        self.waiting = Deferred(lambda _: None)
        return self.waiting

    def on_next(self, call):
        self.call = call

    def arrive(self, channel):
        """A connection comes: whoever waits for it gets it."""
        call, self.call = self.call, None
        waiting, self.waiting = self.waiting, None
        if call is not None:
            call(channel)
        elif waiting is not None:
            waiting.callback(channel)

    def clear(self):
        self.cleared += 1
        self.channel = self.call = None

    def close(self):
        self.closed = True


@implementer(IDataPorts)
class Ports:
    """Hands out Port objects and remembers who was dialled."""

    def __init__(self):
        self.ports = []
        self.dialled = []
        self.error = None

    def listen(self, local, peer):
        if self.error is not None:
            raise self.error
        self.ports.append(Port(50000 + len(self.ports)))
        return self.ports[-1]

    def connect(self, host, port, local, timeout):
        self.dialled.append((host, port))
        return succeed(SimpleNamespace(peer=host, secure=False, abort=lambda: None, close=lambda: None))

    def advertised(self, local, peer):
        return local


@implementer(ITransfer)
class Transfer:
    """A transfer that ends when the test says so."""

    def __init__(self, file, mode):
        self.file = file
        self.mode = mode
        self.transferred = 0
        self.result = Deferred()
        self.cancelled = None

    def cancel(self, reason=None):
        self.cancelled = reason
        self.result.errback(reason or Cancelled())


@implementer(ITransfers)
class Transfers:
    """Remembers transfers; ends them at once when ``instant`` is set."""

    def __init__(self):
        self.made = []
        self.instant = False

    def download(self, file, channel, mode, limiter=None, stall=0):
        return self._make(file, mode)

    def upload(self, upload, channel, mode, limiter=None, stall=0, expected=None, confirm=None):
        transfer = self._make(upload, mode)
        transfer.confirm = confirm
        return transfer

    def _make(self, file, mode):
        transfer = Transfer(file, mode)
        self.made.append(transfer)
        if self.instant:
            transfer.result.callback(0)
        return transfer


class Rig:
    """One server session; ``say`` sends lines and returns the new replies."""

    def __init__(
        self,
        *,
        options=None,
        timeouts=None,
        limits=None,
        account=None,
        local="127.0.0.1",
        peer="127.0.0.1",
        checkers=(),
    ):
        self.clock = Clock()
        self.events = Events()
        self.limits = limits or Limits(self.clock)
        self.storage = MemoryStorage(wall_time=lambda: 1_700_000_000.0)
        database = InMemoryUsernamePasswordDatabaseDontUse()
        database.addUser(b"alice", b"secret")
        realm = Realm(
            self.storage, root="/", events=self.events, limits=self.limits, clock=self.clock,
            defaults=account or Account(""), anonymous="/pub",
        )  # fmt: skip
        portal = Portal(realm, [ChainChecker([database, AllowAnonymousAccess(), *checkers])])
        ids = itertools.count(1)
        self.data_ports = Ports()
        self.transfers = Transfers()
        self.host = SimpleNamespace(
            login=Login(portal, self.limits, self.events, self.clock, anonymous=True),
            transfers=self.transfers,
            data_ports=self.data_ports,
            limits=self.limits,
            events=self.events,
            blocking=InlineBlocking(),
            tls=None,
            clock=self.clock,
            random=lambda size: b"r" * size,
            log=Logger(),
            timeouts=timeouts or Timeouts(),
            server_name="test",
            wall_time=lambda: 1_700_000_000.0,
            new_session_id=lambda: f"s{next(ids)}",
            rounds=Rounds(self.clock, Logger()),
        )
        self.factory = plugin.stream_factory(options or FTPOptions(), self.host)
        kind = IPv6Address if ":" in local else IPv4Address
        self.transport = StringTransport(
            hostAddress=kind("TCP", local, 21), peerAddress=kind("TCP", peer, 5000)
        )
        self.protocol = self.factory.buildProtocol(None)
        self.protocol.makeConnection(self.transport)
        self.greeting = self.take()

    @property
    def session(self):
        return self.protocol.session

    def take(self):
        value = self.transport.value()
        self.transport.clear()
        return value

    def raw(self, data):
        self.protocol.dataReceived(data)
        return self.take()

    def say(self, *lines):
        return self.raw(b"".join(line.encode() + b"\r\n" for line in lines))

    def login(self):
        reply = self.say("USER alice", "PASS secret")
        assert b"230 " in reply, reply
        self.events.seen.clear()
        return self

    def start_download(self, instant=False):
        """A RETR under way, its data connection made."""
        self.storage_file("f", b"data")
        self.say("EPSV")
        self.data_ports.ports[-1].channel = channel()
        return self.say("RETR f")

    def storage_file(self, name, data):
        from twisted_xfer.interfaces import WriteIntent
        from twisted_xfer.paths import VirtualPath

        upload = self.session.avatar.open_write(VirtualPath.parse(name.encode()), WriteIntent())
        upload.write(data)
        upload.commit()
        self.events.seen.clear()

    def lose(self):
        from twisted.internet.error import ConnectionDone
        from twisted.python.failure import Failure

        self.protocol.connectionLost(Failure(ConnectionDone()))


def channel():
    """A data connection that no byte goes through."""
    return SimpleNamespace(peer="127.0.0.1", secure=False, abort=lambda: None, close=lambda: None)


@pytest.fixture
def make_rig():
    """Builds sessions; at the end, no timer of any may be left, nor may its factory be in the rounds."""
    rigs = []

    def make(**options):
        rigs.append(Rig(**options))
        return rigs[-1]

    yield make
    for rig in rigs:
        if rig.session is not None:
            rig.lose()
        assert not rig.host.rounds.joined
        rig.host.rounds.stop()
        assert [call for call in rig.clock.getDelayedCalls() if "Limits" not in repr(call)] == []


@pytest.fixture
def rig(make_rig):
    """A session that nobody has logged into."""
    return make_rig()


@pytest.fixture
def user(make_rig):
    """A session of alice."""
    return make_rig().login()


@pytest.fixture
def secure_rig(make_rig):
    """Builds sessions on a transport that can start TLS."""

    def make(**options):
        rig = make_rig(**options)
        rig.host.tls = TLS()
        rig.started = []
        rig.transport.startTLS = rig.started.append
        rig.transport.abortConnection = lambda: rig.started.append("aborted")
        alsoProvides(rig.transport, ITLSTransport)
        return rig

    return make
