"""What others change while an account with few rights, or with quotas by directory, changes something itself."""

import pytest
from accounts_kit import CONTEXT, Bus, result
from twisted.internet.task import Clock

from twisted_xfer.accounts.avatar import Avatar
from twisted_xfer.accounts.reports import Reporter
from twisted_xfer.accounts.rights import PathRights
from twisted_xfer.errors import (
    AlreadyExists,
    Busy,
    DigestMismatch,
    ForbiddenPath,
    QuotaExceeded,
    RightMissing,
    Truncated,
    Vetoed,
)
from twisted_xfer.interfaces import ALL_RIGHTS, Account, Expected, QuotaScope, Right, WriteIntent
from twisted_xfer.paths import VirtualPath
from twisted_xfer.quota.memory import MemoryLedger
from twisted_xfer.storage.local import LocalStorage

NO_OVERWRITE = ALL_RIGHTS - {Right.OVERWRITE}


def at(text):
    return VirtualPath.parse(text.encode())


@pytest.fixture
def make(tmp_path):
    """Avatars over one tree, with rights, rules and quotas of directories."""
    made = []

    def make(rights=ALL_RIGHTS, rules=(), scopes=(), ledger=None, active=True, bus=None, **storage):
        reporter = Reporter(bus or Bus(active), Clock(), CONTEXT, "alice")
        account = Account("alice", rights=frozenset(rights), quota_scopes=tuple(scopes))
        view = LocalStorage(str(tmp_path), owner="alice", **storage)
        avatar = Avatar(account, view, PathRights(account.rights, rules), reporter, ledger=ledger)
        made.append(avatar)
        return avatar

    yield make
    for avatar in made:
        avatar.logout()


# --- replacing what came later ------------------------------------------------------------------


@pytest.mark.parametrize("active", [True, False])
@pytest.mark.parametrize("intent", [WriteIntent(), WriteIntent(append=True), WriteIntent(size=5)])
def test_who_may_not_replace_does_not_replace_what_comes_while_it_writes(make, tmp_path, intent, active):
    """The name was free when the upload began; whoever is first has it."""
    upload = result(make(NO_OVERWRITE, active=active).open_write, at("/report"), intent)
    upload.write(b"later")
    (tmp_path / "report").write_bytes(b"first")
    with pytest.raises(AlreadyExists):
        result(upload.commit)
    assert (tmp_path / "report").read_bytes() == b"first"
    assert len(list(tmp_path.iterdir())) == 1


def test_who_may_replace_does(make, tmp_path):
    """The last one wins, as ever."""
    upload = result(make().open_write, at("/report"), WriteIntent())
    upload.write(b"later")
    (tmp_path / "report").write_bytes(b"first")
    result(upload.commit)
    assert (tmp_path / "report").read_bytes() == b"later"


@pytest.mark.parametrize("active", [True, False])
@pytest.mark.parametrize("intent", [WriteIntent(append=True), WriteIntent(offset=4)])
def test_who_may_only_append_takes_nothing_away_that_others_appended(make, tmp_path, intent, active):
    """It would publish what stood there when it began, and its own bytes."""
    (tmp_path / "log").write_bytes(b"one\n")
    upload = result(make({Right.APPEND}, active=active).open_write, at("/log"), intent)
    upload.write(b"three\n")
    with (tmp_path / "log").open("ab") as file:
        file.write(b"two\n")
    with pytest.raises(Busy):
        result(upload.commit)
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"
    assert len(list(tmp_path.iterdir())) == 1


def test_who_may_only_append_makes_no_file_anew(make, tmp_path):
    """Taken away meanwhile, it does not come back by appending."""
    (tmp_path / "log").write_bytes(b"one\n")
    upload = result(make({Right.APPEND}).open_write, at("/log"), WriteIntent(append=True))
    upload.write(b"two\n")
    (tmp_path / "log").unlink()
    with pytest.raises(Busy):
        result(upload.commit)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("uploads", ["staged", "in-place"])
def test_who_may_only_append_appends(make, tmp_path, uploads):
    """Nobody else was there."""
    (tmp_path / "log").write_bytes(b"one\n")
    upload = result(make({Right.APPEND}, uploads=uploads).open_write, at("/log"), WriteIntent(append=True))
    upload.write(b"two\n")
    result(upload.commit)
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"


# --- moving what is below -----------------------------------------------------------------------

PRIVATE = [("/users/*/private/**", frozenset())]


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "users" / "bob" / "private").mkdir(parents=True)
    (tmp_path / "users" / "bob" / "private" / "key").write_bytes(b"secret")
    (tmp_path / "users" / "readme").write_bytes(b"text")
    (tmp_path / "in" / "private").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("rules", "source", "target"),
    [
        (PRIVATE, "/users/bob", "/bob"),
        (PRIVATE, "/users", "/elsewhere"),
        (PRIVATE, "/in", "/users/in"),
        ([("/users/**/private/**", frozenset())], "/users/bob", "/bob"),
        ([("/*/*/private/**", frozenset())], "/users/bob", "/bob"),
        ([("**/users/*/private/**", frozenset())], "/users/bob", "/bob"),
    ],
)
def test_a_directory_does_not_move_out_of_reach_of_patterns_with_wildcards(make, tree, rules, source, target):
    """What is guarded below it would be open where it comes to, or the other way round."""
    avatar = make(rules=rules)
    with pytest.raises(RightMissing):
        result(avatar.rename, at(source), at(target))
    assert (tree / "users" / "bob" / "private" / "key").exists()


@pytest.mark.parametrize(
    ("rules", "source", "target"),
    [
        (PRIVATE, "/users/bob", "/users/robert"),
        (PRIVATE, "/users/readme", "/readme"),
        ([("**/private/**", frozenset())], "/users/bob", "/bob"),
        ([("/users/*/private/**", frozenset()), ("/**", ALL_RIGHTS)], "/users/bob", "/bob"),
        ([("/users/*/private/**", ALL_RIGHTS - {Right.CHMOD})], "/users/bob", "/bob"),
    ],
)
def test_what_keeps_its_rules_or_has_nothing_below_moves(make, tree, rules, source, target):
    """The same patterns fit the same things afterwards; a file has nothing below it."""
    result(make(rules=rules).rename, at(source), at(target))
    assert (tree / target[1:]).exists()
    assert not (tree / source[1:]).exists()


# --- quotas of directories ----------------------------------------------------------------------

BOX = QuotaScope("/dir/alice/box", limit_bytes=10, below="/in/box")


@pytest.fixture
def boxed(make, tmp_path):
    ledger = MemoryLedger()
    avatar = make(scopes=[BOX], ledger=ledger)
    result(avatar.settle)
    return avatar, ledger


def put(avatar, path, size):
    upload = result(avatar.open_write, at(path), WriteIntent())
    upload.reserve(size)
    upload.write(b"x" * size)
    result(upload.commit)


def test_no_link_leads_around_the_quota_of_a_directory(boxed):
    """A file counts where its name says, so there is one name for each."""
    avatar, _ = boxed
    result(avatar.make_directory, at("/in"))
    result(avatar.make_directory, at("/in/box"))
    with pytest.raises(ForbiddenPath):
        result(avatar.make_link, at("/way"), b"in/box")


def test_no_directory_above_brings_in_what_a_quota_has_no_room_for(boxed, tmp_path):
    """A tree that is made elsewhere, and moved there, counts as what is stored there."""
    avatar, ledger = boxed
    for path in ("/big", "/big/box"):
        result(avatar.make_directory, at(path))
    put(avatar, "/big/box/file", 11)
    with pytest.raises(QuotaExceeded):
        result(avatar.rename, at("/big"), at("/in"))
    assert (tmp_path / "big" / "box" / "file").exists()
    assert ledger.usage(BOX.name) == (0, 0, 0)


def test_what_a_directory_above_brings_in_and_takes_away_is_counted(boxed):
    """There and back again, as often as one likes."""
    avatar, ledger = boxed
    for path in ("/big", "/big/box"):
        result(avatar.make_directory, at(path))
    put(avatar, "/big/box/file", 10)
    for _ in range(2):
        result(avatar.rename, at("/big"), at("/in"))
        assert ledger.usage(BOX.name)[:2] == (10, 1)
        with pytest.raises(QuotaExceeded):
            put(avatar, "/in/box/more", 1)
        result(avatar.rename, at("/in"), at("/big"))
        assert ledger.usage(BOX.name)[:2] == (0, 0)
    assert ledger.usage("alice")[:2] == (10, 1)


@pytest.mark.parametrize("uploads", ["staged", "in-place"])
def test_no_upload_under_way_moves_with_its_directory_into_a_quota(make, tmp_path, uploads):
    """It was charged for where it began, and would end in another place."""
    ledger = MemoryLedger()
    avatar = make(scopes=[BOX], ledger=ledger, uploads=uploads)
    result(avatar.settle)
    for path in ("/big", "/big/box"):
        result(avatar.make_directory, at(path))
    upload = result(avatar.open_write, at("/big/box/file"), WriteIntent())
    upload.reserve(11)
    upload.write(b"x" * 11)
    if uploads == "staged":
        result(avatar.rename, at("/big"), at("/in"))
        with pytest.raises(Busy):
            result(upload.commit)
        assert list((tmp_path / "in" / "box").iterdir()) == []
    else:
        # There it is seen before it ends.
        with pytest.raises(QuotaExceeded):
            result(avatar.rename, at("/big"), at("/in"))
        result(upload.commit)


# --- what stays under its name although it was refused -------------------------------------------


@pytest.mark.parametrize("there", [None, 3])
@pytest.mark.parametrize(
    "expected", [Expected(digest=("md5", bytes(16))), Expected(size=99)], ids=["digest", "size"]
)
def test_what_was_written_in_place_counts_although_it_is_not_what_was_expected(
    make, tmp_path, there, expected
):
    """It has its name already, and keeps it: whoever says a wrong digest stores nothing for nothing."""
    ledger = MemoryLedger()
    avatar = make(scopes=[QuotaScope("/group/all", limit_bytes=100)], ledger=ledger, uploads="in-place")
    result(avatar.settle)
    if there is not None:
        put(avatar, "/file", there)
    upload = result(avatar.open_write, at("/file"), WriteIntent())
    upload.reserve(10)
    upload.write(b"x" * 10)
    with pytest.raises((DigestMismatch, Truncated)):
        result(upload.commit, expected)
    assert (tmp_path / "file").stat().st_size == 10
    assert ledger.usage("alice") == (10, 1, 0)


@pytest.mark.parametrize(("there", "usage"), [(None, (0, 0, 0)), (3, (10, 1, 0))])
def test_what_was_written_in_place_counts_although_a_rule_refuses_it(make, tmp_path, there, usage):
    """A new file goes; of one that was overwritten there is no old copy, so that the new one stays."""
    ledger = MemoryLedger()
    bus = Bus()
    avatar = make(
        scopes=[QuotaScope("/group/all", limit_bytes=100)], ledger=ledger, bus=bus, uploads="in-place"
    )
    result(avatar.settle)
    if there is not None:
        put(avatar, "/file", there)
    upload = result(avatar.open_write, at("/file"), WriteIntent())
    upload.reserve(10)
    upload.write(b"x" * 10)
    bus.asks, bus.vetoes = True, Vetoed()
    with pytest.raises(Vetoed):
        result(upload.commit)
    assert ledger.usage("alice") == usage
