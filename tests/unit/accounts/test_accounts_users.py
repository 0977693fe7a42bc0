"""The users file, its passwords, and its place in strcred."""

import io
import os
import subprocess
import sys

import argon2
import pytest
from accounts_kit import CONTEXT, result
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import ICheckerFactory, InvalidAuthArgumentString
from twisted.internet.defer import Deferred
from twisted.logger import Logger, textFileLogObserver
from twisted.plugin import IPlugin
from zope.interface.verify import verifyObject

from twisted_xfer.accounts import account_file, passwords, users_file
from twisted_xfer.accounts.credentials import PeerPassword
from twisted_xfer.accounts.passwords import (
    VerifiedLogins,
    dummy_hash,
    hash_password,
    is_hash,
    verify_password,
)
from twisted_xfer.accounts.strcred_users import UsersCheckerFactory
from twisted_xfer.accounts.users_file import UsersFile
from twisted_xfer.accounts.users_text import parse_users
from twisted_xfer.errors import Busy, ConfigError
from twisted_xfer.interfaces import ALL_RIGHTS, READ_ONLY, Account, IBlocking, Right
from twisted_xfer.runtime.blocking import InlineBlocking

CHEAP = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
GOOD = CHEAP.hash(b"secret")
OTHER = CHEAP.hash(b"changed")


class Counting(InlineBlocking):
    """Counts the hashes that were checked; ``hold`` keeps the answers back."""

    def __init__(self):
        self.calls = []
        self.hold = None

    def run(self, function, *args, pool="disk"):
        self.calls.append((pool, args[0]))
        answer = super().run(function, *args, pool=pool)
        if self.hold is not None:
            return self.hold.addCallback(lambda _: answer)
        return answer


class Site:
    """A users file and what stands around it."""

    def __init__(self, tmp_path, text, name="users.toml"):
        self.path = tmp_path / name
        self.write(text)
        self.now = 0.0
        self.blocking = Counting()
        self.logged = io.StringIO()
        self.users = UsersFile(
            str(self.path),
            seconds=lambda: self.now,
            blocking=self.blocking,
            log=Logger(observer=textFileLogObserver(self.logged)),
        )

    def write(self, text):
        """Replace the file, as editors do."""
        new = self.path.with_name("new")
        new.write_text(text)
        new.chmod(0o600)
        new.replace(self.path)

    def ask(self, name=b"alice", password=b"secret"):
        return result(self.users.requestAvatarId, PeerPassword(name, password, CONTEXT))


def one(stored=GOOD, more=""):
    return f'[users.alice]\npassword = "{stored}"\n{more}'


# --- text --------------------------------------------------------------------------------


def test_toml_with_everything():
    """Each key lands in its field; groups give defaults in their order, the user's own go before."""
    users = parse_users(
        f"""
        [groups.staff]
        rights = "read"
        charset = "GBK"
        max_sessions = 5
        [groups.big]
        max_sessions = 9
        quota_bytes = "2 GiB"
        [users.alice]
        password = "{GOOD}"
        groups = ["staff", "big"]
        home = "/data/alice"
        rights = ["list", "write"]
        path_rights = {{ "/in/**" = "all", "/in/old/**" = "none" }}
        require_tls = true
        quota_files = 7
        rate_up = "500K"
        rate_down = 1000
        comment = "camera"
        [users.bob]
        """
    )
    assert users["alice"].account == Account(
        "alice",
        home="/data/alice",
        rights=frozenset({Right.LIST, Right.WRITE}),
        path_rights=(("/in/**", ALL_RIGHTS), ("/in/old/**", frozenset())),
        charset="gbk",
        max_sessions=9,
        require_tls=True,
        quota_bytes=2 << 30,
        quota_files=7,
        rate_up=500 << 10,
        rate_down=1000,
        comment="camera",
        groups=("staff", "big"),
    )
    assert users["alice"].stored == GOOD
    assert users["bob"][:2] == (Account("bob"), "")
    assert GOOD not in repr(users)


def test_lines():
    """Name and hash, then home and rights; comments and empty lines are skipped."""
    users = parse_users(f"# people\n\nalice:{GOOD}\nbob:{OTHER}:/srv/b\ncarol::/srv/c:read\n")
    assert users["alice"][:2] == (Account("alice"), GOOD)
    assert users["bob"][:2] == (Account("bob", home="/srv/b"), OTHER)
    assert users["carol"][:2] == (Account("carol", home="/srv/c", rights=READ_ONLY), "")


def test_placeholders_of_homes():
    """The two that there are, as in the daemon's own template, anywhere and any number of times."""
    place = "{root}/by-name/{username}/{username}"
    assert parse_users(f'[users.alice]\nhome = "{place}"')["alice"].account.home == place
    assert parse_users('[users.alice]\nhome = ""')["alice"].account.home == ""


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[users.alice]\npassword = "canary"', "users.alice.password"),
        ("[users.alice]\npassword = 7", "users.alice.password"),
        ('[users.alice]\npasword = "x"', "users.alice.pasword"),
        ('[users.alice]\nrights = "wrte"', "users.alice.rights"),
        ('[users.alice]\npath_rights = "x"', "users.alice.path_rights"),
        ('[users.alice.path_rights]\n"/a" = "wrte"', "users.alice.path_rights./a"),
        ('[users.alice]\ncharset = "klingon"', "users.alice.charset"),
        ('[users.alice]\ncharset = "base64"', "users.alice.charset"),
        ('[users.alice]\ncharset = "unicode_escape"', "users.alice.charset"),
        ('[users.alice]\ncharset = "hz"', "users.alice.charset"),
        ("[users.alice]\nmax_sessions = -1", "users.alice.max_sessions"),
        ("[users.alice]\nmax_sessions = true", "users.alice.max_sessions"),
        ('[users.alice]\nquota_bytes = "1 X"', "users.alice.quota_bytes"),
        ('[users.alice]\nrequire_tls = "yes"', "users.alice.require_tls"),
        ("[users.alice]\nrequire_tls = 1", "users.alice.require_tls"),
        ("[users.alice]\nhome = 7", "users.alice.home"),
        ('[users.alice]\nhome = "{rooot}/x"', "users.alice.home"),
        ('[users.alice]\nhome = "{root}/{0}"', "users.alice.home"),
        ('[users.alice]\nhome = "{root!r}"', "users.alice.home"),
        ('[users.alice]\nhome = "{root}/{username"', "users.alice.home"),
        ('[users.alice]\nhome = "a}b"', "users.alice.home"),
        ('[groups.g]\nhome = "{user}"', "groups.g.home"),
        ("alice::{rooot}/x", "line 1: home"),
        ('[users.alice]\ngroups = ["x"]', "users.alice.groups"),
        ('[users.alice]\ngroups = "x"', "users.alice.groups"),
        ('[groups.g]\npassword = "x"', "groups.g.password"),
        ('[users."../x"]', "users.../x"),
        ("[users]\nalice = 7", "users.alice"),
        ("[user.alice]", "user"),
        ("[users.alice", "syntax"),
        ("alice", "line 1"),
        ("# x\nalice:canary", "line 2"),
        ("alice::/a:wrte", "line 1: rights"),
        ("a/b:", "line 1"),
        ("alice:\nalice:", "line 2"),
    ],
)
def test_wrong_text(text, key):
    """File, key and remedy are named, and what may be a password is not repeated."""
    with pytest.raises(ConfigError) as caught:
        parse_users(text, "users")
    assert (caught.value.file, caught.value.key) == ("users", key)
    assert caught.value.remedy
    assert "canary" not in str(caught.value) + repr(caught.value.args) + repr(vars(caught.value))


def test_users_are_bounded(monkeypatch):
    """At the limit and one past."""
    monkeypatch.setattr("twisted_xfer.accounts.users_text.MAX_USERS", 2)
    assert len(parse_users("a:\nb:\n")) == 2
    with pytest.raises(ConfigError):
        parse_users("a:\nb:\nc:\n")


# --- passwords ---------------------------------------------------------------------------


def test_hashing():
    """Argon2id in our cost, another salt each time, verified by itself only."""
    stored = hash_password("p\u00e4ss")
    assert stored.startswith(f"$argon2id$v=19$m={passwords.MEMORY_KIB},t={passwords.TIME_COST},p=")
    assert verify_password(stored, "p\u00e4ss".encode())
    assert not verify_password(stored, b"pass")
    assert not verify_password("nonsense", b"pass")
    assert hash_password(b"x", salt=b"0" * 16) == hash_password(b"x", salt=b"0" * 16)
    assert hash_password(b"x") != hash_password(b"x")


def test_password_length_is_bounded():
    """The longest is taken, one byte more is not, even if its hash is stored."""
    for length, good in ((passwords.MAX_PASSWORD, True), (passwords.MAX_PASSWORD + 1, False)):
        password = b"x" * length
        assert verify_password(CHEAP.hash(password), password) is good


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret",
        "$argon2id$v=19$m=8,t=1,p=1$c2FsdA",
        "$1$abc$def",
        GOOD.replace("m=8", f"m={passwords.MAX_MEMORY_KIB + 1}"),
        GOOD.replace("t=1", f"t={passwords.MAX_TIME_COST + 1}"),
        GOOD.replace("p=1", f"p={passwords.MAX_LANES + 1}"),
        GOOD + "x" * (passwords.MAX_HASH_TEXT + 1 - len(GOOD)),
    ],
)
def test_what_is_no_hash(text):
    """Other schemes, clear text, and costs that would stop the machine."""
    assert is_hash(GOOD)
    assert is_hash(GOOD + "x" * (passwords.MAX_HASH_TEXT - len(GOOD)))
    assert is_hash(GOOD.replace("m=8", f"m={passwords.MAX_MEMORY_KIB}"))
    assert is_hash(GOOD.replace("t=1", f"t={passwords.MAX_TIME_COST}"))
    assert is_hash(GOOD.replace("p=1", f"p={passwords.MAX_LANES}"))
    assert not is_hash(text)


def test_dummy_costs_what_the_others_cost_and_fits_nobody():
    """Same parameters, and a real check that fails."""
    dummy = dummy_hash(os.urandom, GOOD)
    assert argon2.extract_parameters(dummy).memory_cost == 8
    assert is_hash(dummy)
    assert not verify_password(dummy, b"secret")
    assert argon2.extract_parameters(dummy_hash(os.urandom)).memory_cost == passwords.MEMORY_KIB
    with pytest.raises(argon2.exceptions.VerifyMismatchError):
        CHEAP.verify(dummy, b"secret")


def test_memory_of_verified_logins():
    """Exactly what was verified, for a minute, and bounded."""
    now = [0.0]
    memory = VerifiedLogins(lambda: now[0], os.urandom, entries=2)
    memory.remember("alice", GOOD, b"secret")
    assert memory.knows("alice", GOOD, b"secret")
    for wrong in (("alice", GOOD, b"x"), ("bob", GOOD, b"secret"), ("alice", OTHER, b"secret")):
        assert not memory.knows(*wrong)
    now[0] = 59.9
    assert memory.knows("alice", GOOD, b"secret")
    now[0] = 60.0
    assert not memory.knows("alice", GOOD, b"secret")
    for name in ("a", "b", "c"):
        memory.remember(name, GOOD, b"x")
    assert [memory.knows(name, GOOD, b"x") for name in ("a", "b", "c")] == [False, True, True]
    memory.clear()
    assert not memory.knows("c", GOOD, b"x")
    assert b"secret" not in repr(vars(memory)).encode()


# --- file --------------------------------------------------------------------------------


def test_login_checks_the_hash_in_its_pool_once_a_minute(tmp_path):
    """The second login of the same device costs no hash; after a minute it does again."""
    site = Site(tmp_path, one())
    verifyObject(IBlocking, site.blocking)
    assert site.ask() == Account("alice")
    assert site.blocking.calls == [("hash", GOOD)]
    assert site.ask() == Account("alice")
    assert len(site.blocking.calls) == 1
    site.now = 60
    site.ask()
    assert len(site.blocking.calls) == 2


@pytest.mark.parametrize(
    ("name", "password"), [(b"alice", b"x"), (b"nobody", b"secret"), (b"off", b"secret")]
)
def test_every_refusal_costs_one_hash(tmp_path, name, password):
    """Wrong password, unknown user and user without a password: one check each, of the same cost."""
    site = Site(tmp_path, one(more="[users.off]\n"))
    with pytest.raises(UnauthorizedLogin):
        site.ask(name, password)
    ((pool, stored),) = site.blocking.calls
    assert pool == "hash"
    assert argon2.extract_parameters(stored) == argon2.extract_parameters(GOOD)


def test_a_full_pool_is_busy(tmp_path):
    """Not a wrong password."""
    site = Site(tmp_path, one())
    site.blocking.run = lambda *args, pool: Deferred.fromCoroutine(_raise(Busy()))
    with pytest.raises(Busy):
        site.ask()


async def _raise(error):
    raise error


def test_without_a_pool_it_works_in_place(tmp_path):
    """Embedding needs no threads."""
    site = Site(tmp_path, one())
    users = UsersFile(str(site.path), seconds=lambda: 0.0)
    assert users.requestAvatarId(PeerPassword(b"alice", b"secret", CONTEXT)).username == "alice"
    users.attach(site.blocking)
    result(users.requestAvatarId, PeerPassword(b"alice", b"secret", CONTEXT))


def test_changes_hold_at_the_next_login(tmp_path):
    """New user, new password, removed user; nothing that was remembered lets the old one in."""
    site = Site(tmp_path, one())
    site.ask()
    site.write(one(OTHER, f'[users.bob]\npassword = "{GOOD}"\n'))
    with pytest.raises(UnauthorizedLogin):
        site.ask()
    assert site.ask(password=b"changed").username == "alice"
    assert site.ask(b"bob").username == "bob"
    assert site.users.usernames() == ["alice", "bob"]
    site.write(one())
    with pytest.raises(UnauthorizedLogin):
        site.ask(b"bob")
    assert site.users.account("bob") is None


def test_settings_are_those_of_now(tmp_path):
    """Whoever asks before a password is given hears of a change too: a protocol that wants TLS first."""
    site = Site(tmp_path, one(more="require_tls = true\n"))
    assert site.users.account("alice").require_tls
    site.write(one())
    assert not site.users.account("alice").require_tls


def test_a_password_changed_while_its_hash_is_checked(tmp_path):
    """What stands when the check ends decides."""
    site = Site(tmp_path, one())
    site.blocking.hold = Deferred()
    box = []
    site.users.requestAvatarId(PeerPassword(b"alice", b"secret", CONTEXT)).addBoth(box.append)
    site.write(one(OTHER))
    site.users.refresh()
    site.blocking.hold.callback(None)
    assert box[0].check(UnauthorizedLogin)


@pytest.mark.parametrize("bad", ["[users.alice]\nrights = 7", "writable", "gone", "\0\0\0"])
def test_bad_new_content_keeps_the_old_and_is_logged_once(tmp_path, bad):
    """A slip in the editor locks nobody out; the next good content is taken."""
    site = Site(tmp_path, one())
    if bad == "writable":
        site.path.chmod(0o620)
    elif bad == "gone":
        site.path.unlink()
    else:
        site.write(bad)
    for _ in range(3):
        assert site.ask().username == "alice"
    assert site.logged.getvalue().count("the accounts before stay") == 1
    site.write(one(more="[users.bob]\n"))
    assert site.users.refresh()
    assert site.users.usernames() == ["alice", "bob"]
    assert not site.users.refresh()


@pytest.mark.parametrize("case", ["missing", "directory", "fifo", "group", "other", "binary", "wrong"])
def test_wrong_at_the_start(tmp_path, case):
    """The daemon does not start: file, key and remedy are named."""
    path = tmp_path / "users"
    if case == "directory":
        path.mkdir()
    elif case == "fifo":
        os.mkfifo(path)
    elif case != "missing":
        path.write_bytes(b"\xff" if case == "binary" else b"x" if case == "wrong" else b"alice:\n")
        path.chmod({"group": 0o620, "other": 0o602}.get(case, 0o644))
    with pytest.raises(ConfigError) as caught:
        UsersFile(str(path), seconds=lambda: 0.0)
    assert caught.value.file == str(path)
    assert caught.value.key
    assert caught.value.remedy


def test_size_is_bounded(tmp_path, monkeypatch):
    """At the limit and one byte past."""
    path = tmp_path / "users"
    path.write_bytes(b"alice:\n")
    path.chmod(0o600)
    monkeypatch.setattr(account_file, "MAX_FILE", 7)
    assert UsersFile(str(path), seconds=lambda: 0.0).usernames() == ["alice"]
    monkeypatch.setattr(account_file, "MAX_FILE", 6)
    with pytest.raises(ConfigError):
        UsersFile(str(path), seconds=lambda: 0.0)


# --- strcred -----------------------------------------------------------------------------


def test_factory(tmp_path):
    """``users:FILE`` gives the checker, and says what is wrong in one line."""
    factory = UsersCheckerFactory()
    verifyObject(ICheckerFactory, factory)
    verifyObject(IPlugin, factory)
    site = Site(tmp_path, one())
    assert factory.generateChecker(str(site.path)).account("alice") == Account("alice")
    with pytest.raises(InvalidAuthArgumentString, match="users:FILE"):
        factory.generateChecker(" ")
    site.write("[users.alice]\nrights = 7")
    with pytest.raises(InvalidAuthArgumentString, match=r"users\.toml: users\.alice\.rights: "):
        factory.generateChecker(str(site.path))


def test_factory_imports_nothing_heavy():
    """``twistd --help`` and ``--help-auth`` load it: no hashing library, no users file."""
    code = (
        "import sys, twisted_xfer.accounts.strcred_users\n"
        "sys.exit(any(name in sys.modules for name in\n"
        "    ('argon2', 'tomllib', 'twisted_xfer.accounts.users_file', 'twisted_xfer.interfaces')))"
    )
    root = str(users_file.__file__).rpartition("/twisted_xfer/")[0]
    environment = {**os.environ, "PYTHONPATH": root}
    assert (
        subprocess.run([sys.executable, "-c", code], env=environment, timeout=60, check=False).returncode == 0
    )
