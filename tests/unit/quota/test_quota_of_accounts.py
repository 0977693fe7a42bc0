"""An account with quota, over real storages and ledgers: whatever it does, the sums are those of a count."""

from __future__ import annotations

import random

import pytest
from twisted.internet.task import Clock
from zope.interface import implementer

from twisted_xfer.accounts.avatar import Avatar
from twisted_xfer.accounts.reports import Reporter
from twisted_xfer.accounts.rights import PathRights
from twisted_xfer.errors import QuotaExceeded, XferError
from twisted_xfer.interfaces import ALL_RIGHTS, Account, IEvents, LoginContext, QuotaScope, WriteIntent
from twisted_xfer.quota.memory import MemoryLedger
from twisted_xfer.quota.sqlite import SqliteLedger
from twisted_xfer.runtime.blocking import InlineBlocking
from twisted_xfer.storage.local import LocalStorage
from twisted_xfer.storage.memory import MemoryStorage
from twisted_xfer.storage.threaded import ThreadedStorage
from twisted_xfer.testing.storage_checks import fails_with, path_of, put, value_of

GROUP = QuotaScope("/group/staff", limit_bytes=5000)
INBOX = QuotaScope("/dir/alice/in", limit_bytes=600, limit_files=6, below="/in")
DEEP = QuotaScope("/dir/alice/in/deep", limit_bytes=300, below="/in/deep")


@implementer(IEvents)
class Silence:
    """Nobody listens."""

    active = asks = False

    def emit(self, event_id, **fields):
        raise AssertionError(event_id)


class House:
    """A storage, a ledger, and avatars of one account."""

    def __init__(self, kind, tmp_path):
        self.kind = kind
        if kind == "memory":
            self.storage, self.ledger = MemoryStorage(lambda: 0.0), MemoryLedger()
        else:
            root = tmp_path / "root"
            root.mkdir()
            self.storage = LocalStorage(root, uploads="in-place" if kind == "in-place" else "staged")
            if kind == "threaded":
                self.storage = ThreadedStorage(self.storage, InlineBlocking())
            self.ledger = SqliteLedger(str(tmp_path / "quota.sqlite"))
        self.home = "/alice" if kind == "memory" else str(tmp_path / "root" / "alice")
        value_of(self.storage.view(self.home, owner="alice", create=True))

    def view(self, owner="alice"):
        return value_of(self.storage.view(self.home, owner=owner))

    def login(self, *scopes, size=2000, files=20, settle=True):
        account = Account("alice", quota_bytes=size, quota_files=files, quota_scopes=scopes)
        context = LoginContext("ftp", "s1", "192.0.2.7")
        reporter = Reporter(Silence(), Clock(), context, "alice")
        avatar = Avatar(account, self.view(), PathRights(ALL_RIGHTS, ()), reporter, ledger=self.ledger)
        if settle:
            value_of(avatar.settle())
        return avatar

    def sums(self, *scopes):
        """What the ledger says beside what there is, for the account and each directory."""
        told = [self.ledger.usage(name) for name in ("alice", *(scope.name for scope in scopes))]
        view = self.view("/counter")
        there = [
            value_of(view.count(path_of(place))) for place in (b"/", *(one.below.encode() for one in scopes))
        ]
        return [(one.bytes, one.files) for one in told], there, sum(one.reserved for one in told)

    def close(self):
        self.ledger.close()
        self.storage.close()


@pytest.fixture(params=["memory", "staged", "in-place", "threaded"])
def house(request, tmp_path):
    made = House(request.param, tmp_path)
    yield made
    made.close()


def write(avatar, name, size, end, intent):
    """As a pump does, in steps of what is allowed."""
    upload = value_of(avatar.open_write(path_of(name), intent))
    try:
        left = size
        while left > 0:
            step = upload.reserve(left)
            value_of(upload.write(b"x" * step))
            left -= step
        value_of(getattr(upload, end)())
    except XferError as error:
        value_of(upload.abort(error))
        raise


@pytest.mark.parametrize("seed", range(6))
def test_no_drift_whatever_an_account_does(house, seed):
    """Uploads that end in all ways, APPE, resumed ones, deletions and renames, also of whole directories."""
    rng = random.Random(seed)
    avatar = house.login(GROUP, INBOX, DEEP)
    names = [b"/a", b"/b", b"/in/a", b"/in/b", b"/in/deep/a", b"/out/a", b"/out/b"]
    for path in (b"/in", b"/in/deep", b"/out"):
        value_of(avatar.make_directory(path_of(path)))
    done = 0
    for _ in range(150):
        name, other = rng.choice(names), rng.choice(names)
        verb = rng.choice(
            ["write", "write", "write", "append", "resume", "remove", "rename", "rename", "move"]
        )
        try:
            if verb in {"write", "append", "resume"}:
                intent = WriteIntent(append=verb != "write")
                if verb == "write":
                    intent = WriteIntent(
                        size=rng.choice([None, 50]), if_exists=rng.choice(["overwrite", "rename", "refuse"])
                    )
                end = rng.choice(["commit", "commit", "suspend", "abort"])
                write(avatar, name, rng.choice([0, 1, 50, 50, 300]), end, intent)
            elif verb == "remove":
                value_of(avatar.remove(path_of(name)))
            elif verb == "rename":
                value_of(avatar.rename(path_of(name), path_of(other)))
            else:
                # The directory goes out of the quota's sight and comes back.
                value_of(avatar.rename(path_of(b"/out"), path_of(b"/in/out")))
                value_of(avatar.rename(path_of(b"/in/out"), path_of(b"/out")))
            done += 1
        except QuotaExceeded:
            assert value_of(avatar.stat(path_of(b"/out"))).kind == "dir"
        except XferError:
            pass
        told, there, reserved = house.sums(INBOX, DEEP)
        assert (told, reserved) == (there, 0), verb
        assert told[0][0] <= 2000
        assert told[1][0] <= 600
        assert told[2][0] <= 300
        assert house.ledger.usage(GROUP.name)[:2] == told[0]
    with pytest.raises(QuotaExceeded):
        write(avatar, b"/in/deep/big", 301, "commit", WriteIntent())
    assert house.sums(INBOX, DEEP) == (told, there, 0) or house.kind == "in-place"
    assert done > 40


def test_a_first_login_counts_what_is_there(house):
    """Files from before the quota count; so does what happened behind the ledger's back, once in doubt."""
    put(house.view(), b"/old", b"x" * 100)
    put(house.view(), b"/.hidden", b"x" * 10)
    house.login(GROUP)
    assert house.sums()[:2] == ([(110, 2)], [(110, 2)])
    assert house.ledger.usage(GROUP.name)[:2] == (110, 2)
    put(house.view(), b"/behind", b"x")
    house.login(GROUP)
    assert house.sums()[0] == [(110, 2)], "exact as far as anybody knows"
    house.ledger.doubt("alice")
    house.login(GROUP)
    assert house.sums()[0] == [(111, 3)]
    assert house.ledger.usage(GROUP.name)[:2] == (111, 3)


def test_a_login_beside_an_upload_leaves_the_count_for_later(house):
    """The count could hold the upload or not: the sums stay as they are."""
    avatar = house.login()
    upload = value_of(avatar.open_write(path_of(b"/a"), WriteIntent(size=10)))
    house.ledger.doubt("alice")
    house.login()
    assert not house.ledger.exact("alice")
    value_of(upload.write(b"x" * 10))
    value_of(upload.commit())
    house.login()
    assert house.ledger.exact("alice")
    assert house.sums()[:2] == ([(10, 1)], [(10, 1)])


def test_fifty_uploads_side_by_side(house):
    """They fill the quota to the last byte and not one over it."""
    avatar = house.login(size=1000, files=60)
    uploads = [value_of(avatar.open_write(path_of(b"/%d" % number), WriteIntent())) for number in range(50)]
    for _round in range(4):
        for upload in list(uploads):
            try:
                step = upload.reserve(7)
                value_of(upload.write(b"x" * step))
            except QuotaExceeded as error:
                uploads.remove(upload)
                value_of(upload.abort(error))
    for upload in uploads:
        value_of(upload.commit())
    told, there, reserved = house.sums()
    assert (told, reserved) == (there, 0)
    assert 0 < told[0][0] <= 1000


def test_what_is_left_is_told(house):
    """Of each limit at a path, the account's first; an account without limits has nothing to tell."""
    avatar = house.login(GROUP, INBOX)
    put(avatar, b"/a", b"x" * 100)
    at = {path: value_of(avatar.quota(path_of(path))) for path in (b"/", b"/in/x")}
    assert [(one.scope.name, one.usage.bytes) for one in at[b"/"]] == [("alice", 100), (GROUP.name, 100)]
    assert [one.scope.name for one in at[b"/in/x"]] == ["alice", GROUP.name, INBOX.name]
    free = house.login(size=None, files=None)
    assert value_of(free.quota(path_of(b"/"))) == ()


def test_the_number_of_files_at_its_limit(house):
    """One file may be replaced where no further one may be made."""
    avatar = house.login(files=1)
    put(avatar, b"/a", b"x")
    put(avatar, b"/a", b"yy")
    assert (
        fails_with(QuotaExceeded, lambda: avatar.open_write(path_of(b"/b"), WriteIntent())).fields["unit"]
        == "files"
    )
    assert house.sums()[0] == [(2, 1)]
