"""Small files that an avatar stores at once: rights, quota, vetoes, and what is told."""

import pytest
from accounts_kit import CONTEXT, Bus
from twisted.internet.task import Clock
from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted_xfer.accounts.avatar import Avatar
from twisted_xfer.accounts.reports import Reporter
from twisted_xfer.accounts.rights import PathRights
from twisted_xfer.interfaces import (
    ALL_RIGHTS,
    Account,
    Expected,
    IStorage,
    IStoresNew,
    NewFile,
    Right,
    WriteIntent,
)
from twisted_xfer.paths import VirtualPath
from twisted_xfer.quota.memory import MemoryLedger
from twisted_xfer.storage.local import LocalStorage


def new(name, data=b"content"):
    return NewFile(VirtualPath.parse(name), data, 0o644, 10**18)


@implementer(IStorage, IStoresNew)
class Shelf:
    """Takes up to ``room`` files, each of which takes a second."""

    capabilities = frozenset()

    def __init__(self, clock, room=99):
        self.clock, self.room, self.asked = clock, room, []

    def store_new(self, files):
        self.asked.append([bytes(one.path) for one in files])
        count = min(self.room, len(files))
        self.clock.advance(count)
        return count


def make(view=None, rights=ALL_RIGHTS, rules=(), bus=None, room=99, **more):
    clock = Clock()
    bus = bus or Bus()
    account = Account("alice", rights=frozenset(rights), **more.pop("account", {}))
    view = view if view is not None else Shelf(clock, room)
    reporter = Reporter(bus, clock, CONTEXT, "alice")
    return Avatar(account, view, PathRights(account.rights, rules), reporter, **more), view, bus


def test_all_of_them_are_told_of():
    """An event for each that was stored, and no other; the time is shared."""
    avatar, view, bus = make(room=2)
    verifyObject(IStoresNew, avatar)
    assert avatar.store_new([new(b"a"), new(b"b", b""), new(b"c")]) == 2
    assert view.asked == [[b"/a", b"/b", b"/c"]]
    assert bus.ids() == ["upload.complete"] * 2
    told = [
        {name: fields[name] for name in ("path", "size", "bytes", "seconds", "transfer")}
        for _, fields in bus.events
    ]
    assert told == [
        {"path": b"/a", "size": 7, "bytes": 7, "seconds": 1.0, "transfer": "s1-1"},
        {"path": b"/b", "size": 0, "bytes": 0, "seconds": 1.0, "transfer": "s1-2"},
    ]


def test_the_same_is_told_of_an_upload(tmp_path):
    """Whichever way a file came, its event is the same but for its number."""
    avatar, _, bus = make(LocalStorage(tmp_path))
    assert avatar.store_new([new(b"a")]) == 1
    upload = avatar.open_write(VirtualPath((b"b",)), WriteIntent(size=7))
    upload.write(b"content")
    upload.commit(Expected(size=7))
    (_, quick), (_, slow) = bus.events
    assert {**quick, "path": b"/b", "transfer": "s1-2"} == slow


def test_nobody_listens():
    """Then nothing is made."""
    avatar, _, bus = make(bus=Bus(active=False))
    assert avatar.store_new([new(b"a")]) == 1
    assert bus.events == []


def test_none_stored_is_told_of_by_nobody():
    """Not even that a right is missing: whoever goes the long way hears that."""
    avatar, view, bus = make(room=0)
    assert avatar.store_new([new(b"a")]) == 0
    avatar, view, bus = make(rights=ALL_RIGHTS - {Right.WRITE})
    assert avatar.store_new([new(b"a")]) == 0
    assert view.asked in ([], [[]])
    assert bus.events == []


@pytest.mark.parametrize("rights", [{Right.WRITE}, ALL_RIGHTS])
def test_a_new_name_needs_the_right_to_write_only(rights):
    """As for an upload under a new name."""
    avatar, _, _ = make(rights=rights)
    assert avatar.store_new([new(b"a")]) == 1


def test_rights_that_differ_by_place():
    """It ends where the right does."""
    avatar, view, _ = make(rules=[("/closed/**", ALL_RIGHTS - {Right.WRITE})])
    assert avatar.store_new([new(b"a"), new(b"closed/b"), new(b"c")]) == 1
    assert view.asked == [[b"/a"]]


def test_what_is_charged_for():
    """With a quota each file is set aside and entered by itself: none is stored at once."""
    avatar, view, _ = make(account={"quota_bytes": 1000}, ledger=MemoryLedger())
    assert avatar.store_new([new(b"a")]) == 0
    assert view.asked == []


def test_somebody_may_refuse():
    """Each has to be asked about."""
    bus = Bus()
    bus.asks = True
    avatar, view, _ = make(bus=bus)
    assert avatar.store_new([new(b"a")]) == 0
    assert (view.asked, bus.asked) == ([], [])


def test_a_storage_that_cannot():
    """None, and no error."""

    @implementer(IStorage)
    class Plain:
        capabilities = frozenset()

    avatar, _, _ = make(Plain())
    assert avatar.store_new([new(b"a")]) == 0
