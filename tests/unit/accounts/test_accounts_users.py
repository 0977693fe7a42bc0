"""The users file: who logs in by it, changes while it is used, and its place in strcred."""

import io
import os
import subprocess
import sys

import argon2
import pytest
from accounts_kit import CONTEXT, result
from cheap_hashes import GOOD, OTHER
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.strcred import ICheckerFactory, InvalidAuthArgumentString
from twisted.internet.defer import Deferred
from twisted.logger import Logger, textFileLogObserver
from twisted.plugin import IPlugin
from zope.interface.verify import verifyObject

from twisted_xfer.accounts import account_file, users_file
from twisted_xfer.accounts.credentials import PeerPassword
from twisted_xfer.accounts.strcred_users import UsersCheckerFactory
from twisted_xfer.accounts.users_file import UsersFile
from twisted_xfer.errors import Busy, ConfigError
from twisted_xfer.interfaces import Account, IBlocking
from twisted_xfer.runtime.blocking import InlineBlocking


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
