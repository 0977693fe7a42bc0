"""The avatar: each verb's rights, however the storage answers, and what it offers besides."""

import pytest
from accounts_kit import Bus, Tree, result
from avatar_kit import STYLES, A, B, make
from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted_xfer.errors import PermissionDenied, RightMissing, Unsupported
from twisted_xfer.interfaces import (
    ALL_RIGHTS,
    IAvatar,
    IEnters,
    IHasFileno,
    IHasRoom,
    IReadFile,
    IUpload,
    Right,
    WriteIntent,
)


class Lease:
    released = 0

    def release(self):
        self.released += 1


VERBS = {
    "stat": ({Right.LIST}, lambda avatar: avatar.stat(A), None),
    "list": ({Right.LIST}, lambda avatar: avatar.list(A), None),
    "open_read": ({Right.READ}, lambda avatar: avatar.open_read(A), None),
    "make_directory": ({Right.MKDIR}, lambda avatar: avatar.make_directory(B), "directory.make"),
    "remove": ({Right.DELETE}, lambda avatar: avatar.remove(A), "file.delete"),
    "remove_directory": ({Right.RMDIR}, lambda avatar: avatar.remove_directory(A), "directory.remove"),
    "rename to new": ({Right.RENAME, Right.WRITE}, lambda avatar: avatar.rename(A, B), "file.rename"),
    "rename over": (
        {Right.RENAME, Right.WRITE, Right.OVERWRITE},
        lambda avatar: avatar.rename(B, A),
        "file.rename",
    ),
    "set_times": ({Right.UTIME}, lambda avatar: avatar.set_times(A, 1), "file.times"),
    "set_mode": ({Right.CHMOD}, lambda avatar: avatar.set_mode(A, 0o644), "file.mode"),
    "write new": ({Right.WRITE}, lambda avatar: avatar.open_write(B, WriteIntent()), None),
    "replace": ({Right.WRITE, Right.OVERWRITE}, lambda avatar: avatar.open_write(A, WriteIntent()), None),
    "append": ({Right.APPEND}, lambda avatar: avatar.open_write(A, WriteIntent(append=True)), None),
    "append new": ({Right.WRITE}, lambda avatar: avatar.open_write(B, WriteIntent(append=True)), None),
    "resume at end": ({Right.APPEND}, lambda avatar: avatar.open_write(A, WriteIntent(offset=10)), None),
    "resume within": (
        {Right.APPEND, Right.OVERWRITE},
        lambda avatar: avatar.open_write(A, WriteIntent(offset=9)),
        None,
    ),
    "resume by key": (
        {Right.WRITE, Right.OVERWRITE},
        lambda avatar: avatar.open_write(A, WriteIntent(append=True, key="0123456789abcdef")),
        None,
    ),
    "unique": ({Right.WRITE}, lambda avatar: avatar.open_write(A, WriteIntent(unique=True)), None),
    "refuse": ({Right.WRITE}, lambda avatar: avatar.open_write(A, WriteIntent(if_exists="refuse")), None),
}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("verb", VERBS)
def test_verb_works_with_exactly_its_rights_and_fails_without_each(verb, style):
    """Needed rights are enough, all rights but one of them are not, and the refusal is told."""
    needed, call, event = VERBS[verb]
    avatar, _, bus, _ = make(needed, Tree({A: b"0123456789"}, style))
    result(call, avatar)
    assert bus.ids() == ([event] if event else [])
    for right in needed:
        lacking = ALL_RIGHTS - ({Right.LIST, Right.READ} if verb == "stat" else {right})
        avatar, tree, bus, _ = make(lacking, Tree({A: b"0123456789"}, style))
        with pytest.raises(RightMissing) as caught:
            result(call, avatar)
        assert caught.value.fields["right"] == right.value
        assert bus.ids() == ["right.missing"]
        assert tree.calls == []
        assert tree.opened is None


def test_stat_is_also_for_readers():
    """Who may read knows a file's size."""
    avatar, *_ = make({Right.READ})
    assert avatar.stat(A).size == 10


def test_interfaces():
    """The avatar and its four handles offer what their interfaces say."""
    for plain in (False, True):
        avatar, tree, _, _ = make()
        tree.plain = plain
        verifyObject(IAvatar, avatar)
        reading, writing = avatar.open_read(A), avatar.open_write(B, WriteIntent())
        verifyObject(IReadFile, reading)
        verifyObject(IUpload, writing)
        for handle, number in ((reading, 99), (writing, 98)):
            assert IHasFileno.providedBy(handle) is plain
            assert hasattr(handle, "fileno") is plain
            if plain:
                assert handle.fileno() == number


def test_silence_wraps_nothing():
    """When nobody listens the storage's own objects are handed out and no event is made."""
    avatar, tree, bus, _ = make(bus=Bus(active=False))
    assert avatar.open_read(A) is tree.opened
    assert avatar.open_write(B, WriteIntent()) is tree.opened
    avatar.remove(A)
    avatar.logout()
    assert bus.events == []


def test_rights_by_path():
    """The rule at the path decides, and may() says the same."""
    avatar, *_ = make({Right.LIST}, rules=[("/a", frozenset({Right.READ}))])
    assert avatar.may(Right.READ, A)
    assert not avatar.may(Right.READ, B)
    assert not avatar.may(Right.READ)
    avatar.open_read(A).close()
    with pytest.raises(RightMissing):
        avatar.open_read(B)


@pytest.mark.parametrize(
    ("own", "asked", "wanted"),
    [
        ("", {}, "overwrite"),
        ("overwrite", {"if_exists": "refuse"}, "refuse"),
        ("refuse", {}, "refuse"),
        ("rename", {}, "rename"),
        ("rename", {"if_exists": "refuse"}, "refuse"),
        ("refuse", {"append": True, "key": "0123456789abcdef"}, "refuse"),
        ("refuse", {"append": True}, "overwrite"),
        ("refuse", {"offset": 3}, "overwrite"),
        ("refuse", {"unique": True}, "overwrite"),
    ],
)
def test_the_accounts_policy_for_taken_names_holds_for_every_protocol(monkeypatch, own, asked, wanted):
    """A protocol that would replace a file cannot; going on with one is APPE's and REST's business."""
    avatar, tree, _, _ = make(account={"if_exists": own})
    seen = []
    open_write = tree.open_write
    monkeypatch.setattr(
        tree, "open_write", lambda path, intent: seen.append(intent) or open_write(path, intent)
    )
    avatar.open_write(A, WriteIntent(**asked))
    assert [intent.if_exists for intent in seen] == [wanted]


def test_moving_a_directory_does_not_move_it_out_of_its_rules():
    """What lies below in a guarded place guards what is above it against a rename."""
    secret = [("/a/secret/**", frozenset({Right.LIST}))]
    avatar, tree, _, _ = make(rules=secret)
    with pytest.raises(RightMissing):
        result(avatar.rename, A, B)
    with pytest.raises(RightMissing):
        result(avatar.rename, B, A)
    assert tree.calls == []


def test_logout_once():
    """The lease, the view and the event, each once."""
    lease = Lease()
    avatar, tree, bus, clock = make(lease=lease)
    clock.advance(9)
    avatar.logout()
    avatar.close()
    assert (lease.released, tree.closed) == (1, 1)
    assert bus.ids() == ["logout"]
    assert bus.events[0][1]["seconds"] == 9


def test_an_avatar_is_not_viewed_again():
    """Its root is its own."""
    avatar, *_ = make()
    with pytest.raises(Unsupported):
        avatar.view("/", owner="bob")


def test_a_closed_directory_is_not_entered():
    """Where the storage can tell; where not, a look at it must do."""

    @implementer(IEnters)
    class Closed(Tree):
        def enter(self, path):
            raise PermissionDenied(bytes(path))

    for right in (Right.LIST, Right.READ):
        avatar, *_ = make({right}, Closed({A: b""}))
        with pytest.raises(PermissionDenied):
            result(avatar.enter, A)
        assert result(avatar.stat, A).kind == "file"
        avatar, *_ = make({right}, Tree({A: b""}))
        assert result(avatar.enter, A) == result(avatar.stat, A)
    avatar, *_ = make(ALL_RIGHTS - {Right.LIST, Right.READ}, Closed({A: b""}))
    with pytest.raises(RightMissing):
        result(avatar.enter, A)


def test_room_is_the_storages_for_those_who_list_or_write():
    """A storage that knows no room leaves it open."""

    @implementer(IHasRoom)
    class Disk(Tree):
        def room(self, path):
            return 7

    for right in (Right.LIST, Right.WRITE):
        avatar, *_ = make({right}, Disk({}))
        assert result(avatar.room, A) == 7
    avatar, *_ = make({Right.LIST}, Tree({}))
    assert result(avatar.room, A) is None
    avatar, *_ = make(ALL_RIGHTS - {Right.LIST, Right.WRITE}, Disk({}))
    with pytest.raises(RightMissing):
        result(avatar.room, A)
