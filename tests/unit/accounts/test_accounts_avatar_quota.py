"""Quota of an avatar's uploads: to the last byte, given back, and never overshot."""

import pytest
from accounts_kit import Tree, result
from avatar_kit import A, B, make
from twisted.logger import globalLogPublisher
from zope.interface import implementer

from twisted_xfer.errors import QuotaExceeded, StorageFailure
from twisted_xfer.interfaces import IHasParts, IReservation, QuotaScope, Right, WriteIntent
from twisted_xfer.paths import VirtualPath


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
