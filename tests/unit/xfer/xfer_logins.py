"""What the tests of xfer's logins share: a listener over a users file, and callers of it."""

from types import SimpleNamespace

from twisted.internet.interfaces import ISSLTransport
from twisted.python.failure import Failure
from xfer_pipes import End, Line, Net
from zope.interface import alsoProvides

from twisted_xfer.accounts.chain import ChainChecker, SwiftPortal
from twisted_xfer.accounts.login import Login as Entrance
from twisted_xfer.accounts.passwords import hash_password
from twisted_xfer.accounts.realm import Realm
from twisted_xfer.accounts.users_file import UsersFile
from twisted_xfer.accounts.users_secrets import add_token
from twisted_xfer.interfaces import CertificateFacts
from twisted_xfer.protocols.xfer.caller import Caller, Login, Target
from twisted_xfer.sansio.scram import Verifier
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


def login(**more):
    return Login(plain=True, **{"username": "alice", "password": SECRET, **more})


TLS = (CHANNEL, CHANNEL)
