"""The avatar: each verb's rights, events and quota, however the storage answers."""

import pytest
from accounts_kit import CONTEXT, Bus, Tree, result
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted_xfer.accounts.avatar import Avatar
from twisted_xfer.accounts.reports import Reporter
from twisted_xfer.accounts.rights import PathRights
from twisted_xfer.errors import (
    Cancelled,
    DigestMismatch,
    PermissionDenied,
    QuotaExceeded,
    RightMissing,
    StorageFailure,
    Truncated,
    Unsupported,
    Vetoed,
)
from twisted_xfer.interfaces import (
    ALL_RIGHTS,
    Account,
    IAvatar,
    IEnters,
    IHasFileno,
    IHasParts,
    IHasRoom,
    IReadFile,
    IReservation,
    IUpload,
    QuotaScope,
    Right,
    WriteIntent,
)
from twisted_xfer.paths import VirtualPath

A = VirtualPath((b"a",))
B = VirtualPath((b"b",))
STYLES = ["value", "deferred", "coroutine"]


class Lease:
    released = 0

    def release(self):
        self.released += 1


def make(rights=ALL_RIGHTS, tree=None, bus=None, rules=(), **more):
    tree = tree if tree is not None else Tree({A: b"0123456789"})
    bus = bus or Bus()
    clock = Clock()
    account = Account("alice", rights=frozenset(rights), **more.pop("account", {}))
    reporter = Reporter(bus, clock, CONTEXT, "alice")
    avatar = Avatar(account, tree, PathRights(account.rights, rules), reporter, **more)
    return avatar, tree, bus, clock


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


@pytest.mark.parametrize("style", STYLES)
def test_download_complete(style):
    """Bytes from the offset on, by read and by the kernel, in the mode that was set."""
    avatar, tree, bus, clock = make(tree=Tree({A: b"0123456789"}, style))
    file = result(avatar.open_read, A, 2)
    assert (file.read(3), file.offset) == (b"234", 5)
    file.advance(5)
    file.mode = "ascii"
    clock.advance(3)
    file.close()
    file.close()
    (told,) = bus.events
    assert told[0] == "download.complete"
    assert told[1] == {
        "session": "s1",
        "protocol": "ftp",
        "username": "alice",
        "peer": "192.0.2.7",
        "transfer": "s1-1",
        "path": b"/a",
        "size": 10,
        "bytes": 8,
        "seconds": 3,
        "mode": "ascii",
    }
    assert tree.opened.closed == [None, None]


@pytest.mark.parametrize(("reason", "code"), [(Cancelled(), "aborted"), (OSError("secret"), "io")])
def test_download_aborted(reason, code):
    """The reason's code, never its text."""
    avatar, _, bus, _ = make()
    file = avatar.open_read(A)
    file.read(1)
    file.close(reason)
    assert bus.events[0][0] == "download.aborted"
    assert bus.events[0][1]["code"] == code
    assert "secret" not in repr(bus.events)


@pytest.mark.parametrize("style", STYLES)
def test_upload_complete(style):
    """Published, told once, and a close path that aborts afterwards says nothing more."""
    avatar, tree, bus, _ = make(tree=Tree({}, style))
    upload = result(avatar.open_write, A, WriteIntent())
    assert upload.reserve(100) == 100
    result(upload.write, b"abc")
    upload.advance(2)
    assert upload.offset == 5
    assert result(upload.commit).size == 5
    result(upload.abort)
    assert bus.ids() == ["upload.complete"]
    assert bus.events[0][1]["bytes"] == bus.events[0][1]["size"] == 5
    assert tree.files[A] == b"abc\0\0"


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    ("error", "event", "code"),
    [
        (Truncated(), "upload.truncated", None),
        (DigestMismatch(), "upload.aborted", "digest_mismatch"),
        (StorageFailure(), "upload.aborted", "io"),
    ],
)
def test_upload_that_cannot_be_published(style, error, event, code):
    """The storage's refusal goes on to the caller and is told once."""
    avatar, tree, bus, _ = make(tree=Tree({}, style))
    upload = result(avatar.open_write, A, WriteIntent())
    tree.opened.fails = error
    with pytest.raises(type(error)):
        result(upload.commit)
    result(upload.suspend, error)
    assert bus.ids() == [event]
    assert bus.events[0][1].get("code") == code


@pytest.mark.parametrize(("end", "reason"), [("suspend", Truncated()), ("abort", Truncated())])
def test_truncated_is_told_as_such(end, reason):
    """However the close path ends it."""
    avatar, _, bus, _ = make()
    result(getattr(avatar.open_write(B, WriteIntent()), end), reason)
    assert bus.ids() == ["upload.truncated"]


def test_abort_without_a_reason():
    """No data connection came: aborted."""
    avatar, tree, bus, _ = make()
    result(avatar.open_write(B, WriteIntent()).abort)
    assert bus.events[0][1]["code"] == "aborted"
    assert tree.opened.calls == ["abort"]


def test_veto_is_asked_before_publishing():
    """Asked with path and size; a refusal drops the upload and is the caller's error."""
    for veto in (None, Vetoed(listener="scanner")):
        bus = Bus()
        bus.asks = True
        bus.vetoes = veto
        avatar, tree, _, _ = make(tree=Tree({}), bus=bus)
        upload = avatar.open_write(A, WriteIntent())
        result(upload.write, b"abc")
        if veto is None:
            assert result(upload.commit).size == 3
            assert bus.ids() == ["upload.complete"]
        else:
            with pytest.raises(Vetoed):
                result(upload.commit)
            assert tree.opened.calls == ["abort"]
            assert bus.events[0][1]["code"] == "vetoed"
        assert bus.asked[0][0] == "upload.publish"
        assert bus.asked[0][1]["path"] == b"/a"
        assert bus.asked[0][1]["size"] == 3
        assert bus.asked[0][1]["session"] == "s1"


def test_veto_is_asked_even_when_nobody_listens():
    """A scanner alone is reason enough to wrap."""
    bus = Bus(active=False)
    bus.asks = True
    bus.vetoes = Vetoed()
    avatar, *_ = make(tree=Tree({}), bus=bus)
    with pytest.raises(Vetoed):
        result(avatar.open_write(A, WriteIntent()).commit)
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


# --- quota -------------------------------------------------------------------------------


@implementer(IReservation)
class Reservation:
    def __init__(self, ledger):
        self.ledger = ledger
        self.granted = 0

    def extend(self, size):
        got = min(size, self.ledger.free)
        if got <= 0:
            raise QuotaExceeded(left=0, unit="bytes")
        self.ledger.free -= got
        self.granted += got
        return got

    def commit(self, actual, files=1):
        self.ledger.used += actual
        self.ledger.files += files
        self.ledger.free += self.granted - actual
        self.granted = 0

    def release(self):
        self.ledger.free += self.granted
        self.granted = 0


class Ledger:
    """One account; ``free`` is what nobody has set aside."""

    def __init__(self, free, used=0, files=0):
        self.free, self.used, self.files = free, used, files

    def reserve(self, username, size, *, limit_bytes, limit_files, also=(), files=1):
        reservation = Reservation(self)
        if size:
            if size > self.free:
                raise QuotaExceeded(left=self.free, unit="bytes")
            reservation.extend(size)
        return reservation

    def adjust(self, username, size, files):
        self.used += size
        self.files += files
        self.free -= size


def charged(free, files=None, **more):
    ledger = Ledger(free, sum(map(len, (files or {}).values())), len(files or {}))
    made = make(tree=Tree(files or {}), ledger=ledger, account={"quota_bytes": 1000}, **more)
    return (*made, ledger)


def fill(upload, wanted):
    """Write as a pump does, until ``wanted`` bytes or the quota's end."""
    done = 0
    while done < wanted:
        step = upload.reserve(wanted - done)
        result(upload.write, b"x" * step)
        done += step


def test_quota_to_the_last_byte_and_not_one_more():
    """Exactly what is left may be written; the next byte is refused, told, and all is given back."""
    avatar, tree, bus, _, ledger = charged(100)
    upload = result(avatar.open_write, A, WriteIntent())
    with pytest.raises(QuotaExceeded):
        fill(upload, 101)
    assert len(tree.opened.data) == 100
    assert bus.ids() == ["quota.exceeded"]
    result(upload.abort, QuotaExceeded())
    result(upload.abort)
    assert (ledger.free, ledger.used, ledger.files) == (100, 0, 0)
    upload = result(avatar.open_write, A, WriteIntent())
    fill(upload, 100)
    result(upload.commit)
    assert (ledger.free, ledger.used, ledger.files) == (0, 100, 1)


@pytest.mark.parametrize("end", ["suspend", "abort"])
def test_quota_is_given_back(end):
    """Nothing published, nothing charged."""
    avatar, _, _, _, ledger = charged(100)
    upload = result(avatar.open_write, A, WriteIntent(size=60))
    assert ledger.free == 40
    fill(upload, 60)
    result(getattr(upload, end))
    assert (ledger.free, ledger.used) == (100, 0)


def test_quota_of_replacing_and_appending():
    """Only growth is charged, and shrinking gives back."""
    avatar, _, _, _, ledger = charged(10, {A: b"x" * 90})
    upload = result(avatar.open_write, A, WriteIntent())
    fill(upload, 100)
    result(upload.commit)
    assert (ledger.free, ledger.used, ledger.files) == (0, 100, 1)
    upload = result(avatar.open_write, A, WriteIntent())
    fill(upload, 30)
    result(upload.commit)
    assert (ledger.free, ledger.used, ledger.files) == (70, 30, 1)
    upload = result(avatar.open_write, A, WriteIntent(append=True))
    with pytest.raises(QuotaExceeded):
        fill(upload, 71)
    result(upload.commit)
    assert (ledger.free, ledger.used, ledger.files) == (0, 100, 1)


def test_quota_when_what_is_replaced_goes_away_meanwhile():
    """Its room was given to others: the upload is refused rather than overshooting."""
    avatar, tree, _, _, ledger = charged(0, {A: b"x" * 90})
    upload = result(avatar.open_write, A, WriteIntent())
    fill(upload, 90)
    result(avatar.remove, A)
    assert ledger.free == 90
    ledger.free = 0
    with pytest.raises(QuotaExceeded):
        result(upload.commit)
    assert tree.opened.calls == ["abort"]
    assert A not in tree.files


def test_two_uploads_never_overshoot():
    """Side by side they share what is left."""
    avatar, _, _, _, ledger = charged(100)
    one, two = (result(avatar.open_write, path, WriteIntent()) for path in (A, B))
    fill(one, 60)
    with pytest.raises(QuotaExceeded):
        fill(two, 60)
    result(one.commit)
    result(two.abort)
    assert (ledger.free, ledger.used, ledger.files) == (40, 60, 1)


def test_a_failed_open_gives_back_what_was_reserved():
    """The storage refused: nothing stays set aside."""
    avatar, tree, _, _, ledger = charged(100)
    tree.open_write = lambda path, intent: tree.answer_error(StorageFailure())
    with pytest.raises(StorageFailure):
        result(avatar.open_write, A, WriteIntent(size=50))
    assert ledger.free == 100


@pytest.mark.parametrize("end", ["commit", "abort", "suspend"])
def test_a_ledger_that_fails_at_the_end_changes_nothing_about_it(end):
    """The file is published, or not, and the client is told so; the log has the rest."""
    avatar, tree, _, _, _ = charged(100)
    upload = result(avatar.open_write, A, WriteIntent(size=3))
    fill(upload, 3)

    def broken(*args):
        raise StorageFailure("ledger", "disk full")

    upload._charge._reservation.commit = upload._charge._reservation.release = broken
    told = []
    globalLogPublisher.addObserver(told.append)
    try:
        result(getattr(upload, end))
    finally:
        globalLogPublisher.removeObserver(told.append)
    assert (A in tree.files) == (end == "commit")
    assert any("quota ledger" in event["log_format"] for event in told)


def test_announced_size_over_quota_is_refused_at_once():
    """Before anything is written."""
    avatar, tree, bus, _, ledger = charged(100)
    result(result(avatar.open_write, A, WriteIntent(size=100)).abort)
    with pytest.raises(QuotaExceeded):
        result(avatar.open_write, A, WriteIntent(size=101))
    assert bus.ids()[-1] == "quota.exceeded"
    assert ledger.free == 100
    assert A not in tree.files


def test_delete_and_rename_over_give_back():
    """What is gone is not charged."""
    avatar, _, _, _, ledger = charged(0, {A: b"x" * 10, B: b"y" * 20})
    result(avatar.rename, A, B)
    assert (ledger.used, ledger.files) == (10, 1)
    result(avatar.remove, A)
    assert (ledger.used, ledger.files) == (0, 0)


def test_what_another_process_put_there_at_the_last_moment_is_what_a_rename_takes_off():
    """While room is made for it in a directory with a quota, the name may get another file."""
    there = VirtualPath.parse(b"/in/b")
    place = QuotaScope("/user/alice/in", 500, None, "/in")
    tree, ledger, changes = Tree({A: b"x" * 10, there: b"y" * 20}), Ledger(1000), []
    avatar, *_ = make(tree=tree, ledger=ledger, account={"quota_bytes": 1000, "quota_scopes": (place,)})
    reserve = ledger.reserve

    def meanwhile(*args, **more):
        tree.files[there] = b"z" * 5
        return reserve(*args, **more)

    ledger.reserve = meanwhile
    ledger.adjust = lambda *change: changes.append(change)
    result(avatar.rename, A, there)
    assert changes == [("alice", -5, -1), ("/user/alice/in", -5, -1)]


@pytest.mark.parametrize("places", [0, 1])
def test_a_file_that_was_to_be_replaced_and_is_gone_needs_a_place_of_its_own(places):
    """Else a limit of files could be passed by deleting what uploads under way were to replace."""
    avatar, tree, _, _, ledger = charged(100, {A: b"x" * 10})
    upload = result(avatar.open_write, A, WriteIntent())
    fill(upload, 5)
    del tree.files[A]
    reserve, asked = ledger.reserve, []

    def full(*args, files=1, **more):
        asked.append(files)
        if not places:
            raise QuotaExceeded(left=0, unit="files")
        return reserve(*args, files=files, **more)

    ledger.reserve = full
    if places:
        result(upload.commit)
    else:
        with pytest.raises(QuotaExceeded):
            result(upload.commit)
        assert A not in tree.files
    assert asked == [1]


def test_own_part_is_not_something_published():
    """Going on with an unpublished part needs no right to append, and the whole of it is charged."""

    @implementer(IHasParts)
    class Parts(Tree):
        def published(self, path):
            return None

    tree = Parts({A: b"x" * 40})
    ledger = Ledger(100)
    avatar, *_ = make({Right.WRITE}, tree, ledger=ledger, account={"quota_bytes": 100})
    upload = result(avatar.open_write, A, WriteIntent(offset=40))
    with pytest.raises(QuotaExceeded):
        fill(upload, 61)
    result(upload.commit)
    assert (ledger.free, ledger.used, ledger.files) == (0, 100, 1)


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
