"""What the tests of proofs and tokens share: a users file with both, and ways to ask for a login."""

from accounts_kit import CONTEXT, Bus, Tree
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_xfer.accounts.chain import ChainChecker, SwiftPortal
from twisted_xfer.accounts.login import Login
from twisted_xfer.accounts.passwords import hash_password
from twisted_xfer.accounts.realm import Realm
from twisted_xfer.accounts.users_file import UsersFile
from twisted_xfer.accounts.users_secrets import add_token, with_key
from twisted_xfer.interfaces import IToken
from twisted_xfer.sansio.scram import Verifier
from twisted_xfer.testing.host import CountingLimits, FixedRandom

HASH = hash_password("secret", salt=bytes(16))
ALICE = Verifier.of("secret", b"salt of alice...", 4096)
NOW = 1_000_000_000.0


@implementer(IToken)
class Bearer:
    def __init__(self, token, account=""):
        self.token, self.account = token.encode(), account.encode()
        self.username = self.account or b"(token)"

    def __repr__(self):
        return "<Bearer>"


class Site:
    """A users file that tests write."""

    def __init__(self, path, name="users.toml"):
        self.path = path / name
        self.write(alice=f'password = "{HASH}"\nscram = "{ALICE.text()}"')

    def write(self, extra="", **users):
        text = "".join(f"[users.{name}]\n{lines}\n" for name, lines in users.items())
        self.path.write_text(with_key(text + extra, str(self.path), FixedRandom(b"key")))
        self.path.chmod(0o600)
        return self

    def checker(self, now=lambda: NOW, **more):
        return UsersFile(str(self.path), seconds=Clock().seconds, wall_time=now, **more)

    def token(self, user="alice", name="t", **values):
        text, token = add_token(
            self.path.read_text(), str(self.path), user, name, values, FixedRandom(name.encode())
        )
        self.path.write_text(text)
        return token


def outcome(answer):
    """The value, or what it failed with."""
    if not isinstance(answer, Deferred):
        return answer
    got = []
    answer.addBoth(got.append)
    return (got[0].value if isinstance(got[0], Failure) else got[0]) if got else None


def ask(checker, credentials):
    try:
        return outcome(checker.requestAvatarId(credentials))
    except Exception as error:
        return error


class House:
    """A login over a users file, with its clock."""

    def __init__(self, site, minimum=0.4):
        self.clock, self.bus, self.limits = Clock(), Bus(), CountingLimits()
        realm = Realm(Tree(), root="/", events=self.bus, limits=self.limits, clock=self.clock)
        self.login = Login(
            SwiftPortal(realm, [ChainChecker([site.checker()])]),
            self.limits,
            self.bus,
            self.clock,
            minimum_seconds=minimum,
        )

    def enter(self, credentials):
        return outcome(self.login.login(credentials, CONTEXT))
