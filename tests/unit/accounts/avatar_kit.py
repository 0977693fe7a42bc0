"""What the tests of the avatar share: one over a small storage, and paths in it."""

from accounts_kit import CONTEXT, Bus, Tree
from twisted.internet.task import Clock

from twisted_xfer.accounts.avatar import Avatar
from twisted_xfer.accounts.reports import Reporter
from twisted_xfer.accounts.rights import PathRights
from twisted_xfer.interfaces import ALL_RIGHTS, Account
from twisted_xfer.paths import VirtualPath

A = VirtualPath((b"a",))
B = VirtualPath((b"b",))
STYLES = ["value", "deferred", "coroutine"]


def make(rights=ALL_RIGHTS, tree=None, bus=None, rules=(), **more):
    tree = tree if tree is not None else Tree({A: b"0123456789"})
    bus = bus or Bus()
    clock = Clock()
    account = Account("alice", rights=frozenset(rights), **more.pop("account", {}))
    reporter = Reporter(bus, clock, CONTEXT, "alice")
    avatar = Avatar(account, tree, PathRights(account.rights, rules), reporter, **more)
    return avatar, tree, bus, clock
