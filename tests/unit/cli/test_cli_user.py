"""xfer user on TOML: settings, what stays, and JSON."""

import json

import pytest
from click.testing import CliRunner

from twisted_xfer.accounts import passwords, users_edit
from twisted_xfer.accounts.users_change import add_user, change_user, remove_user
from twisted_xfer.accounts.users_edit import edit_users
from twisted_xfer.accounts.users_text import parse_users
from twisted_xfer.cli.commands import xfer
from twisted_xfer.cli.exits import Exit
from twisted_xfer.errors import Busy, ConfigError, NotFound

START = """\
# Who may come in.
[groups.slow]  # for guests
rate_down = "500K"

[users.alice]  # the boss
home = "/srv/alice"

# Not to be touched.
[users."j.doe"]
groups = ["slow"]
"""


@pytest.fixture
def site(tmp_path, cheap_passwords):
    path = tmp_path / "users.toml"
    path.write_text(START)
    path.chmod(0o600)

    class Site:
        file = path

        def run(self, verb, *args, **more):
            where = more.pop("users", path)
            return CliRunner().invoke(xfer, ["user", verb, *args, "--users", str(where)], **more)

        def account(self, name):
            return parse_users(path.read_text(), str(path))[name].account

    return Site()


def test_add_with_everything(site):
    """Each option lands in its setting, and the rest of the file stays to the letter."""
    done = site.run(
        "add",
        "bob",
        *("--home", "/b", "--rights", "read-only", "--path-rights", "/in/**=all", "--quota", "10G"),
        *("--quota-files", "7", "--rate-up", "1M", "--rate-down", "2000", "--max-sessions", "3"),
        *("--network", "10.0.0.0/8", "--network", "::1", "--expires", "2027-01-31", "--charset", "gbk"),
        *("--hours", "mon-fri 08:00-18:00", "--group", "slow", "--comment", "temp", "--require-tls"),
        *("--disable", "--if-exists", "rename"),
        *(
            "--certificate",
            "cn:Bob",
            "--certificate",
            "san:b@example.com",
            "--require",
            "certificate+password",
        ),
    )
    assert done.exit_code == 0, done.output
    assert site.file.read_text().startswith(START)
    bob = site.account("bob")
    assert (bob.home, sorted(bob.rights), bob.quota_bytes, bob.quota_files) == (
        "/b",
        ["list", "read"],
        10 << 30,
        7,
    )
    assert [pattern for pattern, _ in bob.path_rights] == ["/in/**"]
    assert (bob.rate_up, bob.rate_down, bob.max_sessions) == (1 << 20, 2000, 3)
    assert (bob.networks, bob.hours) == (("10.0.0.0/8", "::1"), ("mon-fri 08:00-18:00",))
    assert (bob.groups, bob.comment, bob.charset) == (("slow",), "temp", "gbk")
    assert (bob.require_tls, bob.enabled, bob.if_exists) == (True, False, "rename")
    assert (bob.certificates, bob.require) == (("cn:Bob", "san:b@example.com"), "certificate+password")
    assert bob.expires
    assert "s3cret" not in site.file.read_text() + done.output


def test_an_account_by_certificate_alone(site):
    """No password is asked for and none is stored; wrong rules are refused, and the file stays."""
    more = {"env": {"XFER_PASSWORD": ""}, "input": ""}
    done = site.run("add", "bob", "--certificate", "sha256:" + "AB" * 32, "--require", "certificate", **more)
    assert done.exit_code == 0, done.output
    entry = parse_users(site.file.read_text(), str(site.file))["bob"]
    assert (entry.stored, entry.scram, entry.account.require) == ("", None, "certificate")
    assert entry.account.certificates == ("sha256:" + "ab" * 32,)
    text = site.file.read_text()
    for wrong in (("--certificate", "Bob"), ("--require", "key")):
        assert site.run("set", "bob", *wrong).exit_code == 2
    assert site.file.read_text() == text
    assert site.run("set", "bob", "--unset", "certificate", "--unset", "require").exit_code == 0
    assert site.account("bob").certificates == ()


def test_set_and_unset(site):
    """Only what is named changes, also behind a table within the account, and for names with a dot."""
    assert site.run("set", "alice", "--path-rights", "/pub/**=read").exit_code == 0
    assert site.run("set", "alice", "--quota", "5K", "--disable").exit_code == 0
    alice = site.account("alice")
    assert (alice.home, alice.quota_bytes, alice.enabled) == ("/srv/alice", 5120, False)
    assert [pattern for pattern, _ in alice.path_rights] == ["/pub/**"]
    assert site.run("set", "alice", "--enable", "--unset", "quota", "--unset", "path-rights").exit_code == 0
    alice = site.account("alice")
    assert (alice.home, alice.quota_bytes, alice.enabled, alice.path_rights) == ("/srv/alice", None, True, ())
    assert site.run("set", "j.doe", "--comment", "x").exit_code == 0
    assert site.account("j.doe").comment == "x"
    text = site.file.read_text()
    assert all(comment in text for comment in ("# Who may", "# for guests", "# the boss", "# Not to be"))


def test_without_its_password_an_account_has_no_verifier_either(site):
    """Else the password that was taken out would go on letting it in over xfer://."""
    assert site.run("add", "carol").exit_code == 0
    assert "scram" in site.file.read_text()
    assert site.run("set", "carol", "--unset", "password").exit_code == 0
    (row,) = [
        row
        for row in map(json.loads, site.run("list", "--json").stdout.splitlines())
        if row["name"] == "carol"
    ]
    assert row == {"name": "carol", "password": False}


@pytest.mark.parametrize("command", ["set", "remove", "passwd"])
def test_who_is_not_there_is_told_in_words(site, command):
    """And so is a file that is not."""
    more = ["--comment", "x"] if command == "set" else []
    assert site.run(command, "nobody", *more).stderr == "xfer: nobody: there is no such user\n"
    done = site.run(command, "nobody", *more, users="/nowhere/u.toml")
    assert done.stderr == "xfer: /nowhere/u.toml: there is no such file\n"


def test_a_new_file_wants_its_directory(site):
    """Which is what is missing, and not the file that would have been made."""
    done = site.run("add", "alice", users="/nowhere/u.toml")
    assert done.stderr == "xfer: /nowhere/u.toml: there is no directory for it\n"


def test_passwd_and_remove(site):
    """The hash is replaced; a removed account is gone, and the others are there."""
    assert site.run("passwd", "alice").exit_code == 0
    first = parse_users(site.file.read_text(), "u.toml")["alice"].stored
    assert passwords.verify_password(first, b"s3cret")
    assert site.run("passwd", "alice", env={"XFER_PASSWORD": "new"}).exit_code == 0
    second = parse_users(site.file.read_text(), "u.toml")["alice"].stored
    assert passwords.verify_password(second, b"new")
    assert site.run("remove", "j.doe").exit_code == 0
    assert list(parse_users(site.file.read_text(), "u.toml")) == ["alice"]
    assert site.run("remove", "j.doe").exit_code == Exit.REFUSED


def test_json(site):
    """One object for each account and each change; no hash in any."""
    assert json.loads(site.run("add", "bob", "--json").stdout) == {
        "result": "added",
        "name": "bob",
        "users": str(site.file),
    }
    assert json.loads(site.run("set", "bob", "--comment", "x", "--json").stdout)["result"] == "changed"
    listed = [json.loads(line) for line in site.run("list", "--json").stdout.splitlines()]
    assert listed == [
        {"name": "alice", "password": False, "home": "/srv/alice"},
        {"name": "bob", "password": True, "scram": True, "comment": "x"},
        {"name": "j.doe", "password": False, "rate_down": 512000, "groups": ["slow"]},
    ]
    assert json.loads(site.run("remove", "bob", "--json").stdout)["result"] == "removed"


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("set", "nobody", "--comment", "x"), Exit.REFUSED),
        (("set", "alice"), Exit.USAGE),
        (("set", "alice", "--unset", "homme"), Exit.USAGE),
        (("set", "alice", "--quota", "much"), Exit.USAGE),
        (("set", "alice", "--group", "none"), Exit.USAGE),
        (("set", "alice", "--path-rights", "/pub"), Exit.USAGE),
        (("set", "alice", "--hours", "never"), Exit.USAGE),
        (("set", "alice", "--network", "everywhere"), Exit.USAGE),
        (("add", "../x"), Exit.USAGE),
        (("add", "alice"), Exit.REFUSED),
        (("list", "--users", "/nowhere/u.toml"), Exit.STORAGE),
        (("set", "alice", "--comment", "x", "--users", "/nowhere/u.toml"), Exit.STORAGE),
        (("remove", "alice", "--users", "/nowhere/u.toml"), Exit.STORAGE),
        (("passwd", "alice", "--users", "/nowhere/u.toml"), Exit.STORAGE),
        (("add", "alice", "--users", "/nowhere/u.toml"), Exit.STORAGE),
    ],
)
def test_what_is_wrong_changes_nothing(site, args, code):
    """One line says why; the file is as it was, and nothing lies beside it."""
    done = site.run(*args, users="/nowhere/u.toml" if "/nowhere/u.toml" in args else site.file)
    assert done.exit_code == code, done.output
    assert done.stdout == ""
    assert site.file.read_text() == START
    assert [entry.name for entry in site.file.parent.iterdir()] == ["users.toml"]


def test_lines_hold_what_they_can(site):
    """A file of lines stays one; a setting it has no place for is refused, not lost."""
    site.file.unlink()
    lines = site.file.with_name("users")
    assert site.run("add", "alice", "--home", "/a", users=lines).exit_code == 0
    assert lines.read_text().startswith("alice:$argon2")
    assert site.run("set", "alice", "--rights", "read", users=lines).exit_code == 0
    assert lines.read_text().endswith(":/a:read\n")
    before = lines.read_text()
    assert site.run("set", "alice", "--quota", "1G", users=lines).exit_code == Exit.USAGE
    assert lines.read_text() == before
    assert site.run("remove", "alice", users=lines).exit_code == 0
    assert lines.read_text() == ""
    assert site.run("add", "bob", "--quota", "1G", users=lines).exit_code == 0
    assert lines.read_text().startswith("[users.bob]")


def test_password_is_bounded(site, tmp_path):
    """At the limit and one byte past."""
    file = tmp_path / "p"
    for size, code in ((1024, 0), (1025, Exit.USAGE)):
        file.write_bytes(b"x" * size + b"\n")
        assert site.run("passwd", "alice", "--password-file", str(file)).exit_code == code
    assert "password" not in [
        name for name in site.run("passwd", "--help").output.split() if name == "--password"
    ]


def test_link_and_mode_stay(site):
    """What the name points to is replaced, not the link; the mode is that of before."""
    link = site.file.with_name("link.toml")
    link.symlink_to(site.file)
    site.file.chmod(0o640)
    assert site.run("set", "alice", "--comment", "x", users=link).exit_code == 0
    assert link.is_symlink()
    assert site.account("alice").comment == "x"
    assert site.file.stat().st_mode & 0o777 == 0o640


def test_lock_that_is_never_let_go(site):
    """An edit gives up after a bounded number of looks, and says so."""
    naps = []

    def inner(text):
        with pytest.raises(Busy):
            edit_users(str(site.file), lambda again: again, sleep=naps.append)
        return text

    edit_users(str(site.file), inner)
    assert sum(naps) == pytest.approx(users_edit.LOCK_SECONDS)


def test_wrong_result_is_not_written(site):
    """Whatever a change makes of it is parsed first."""
    with pytest.raises(ConfigError):
        edit_users(str(site.file), lambda _text: "[users.x]\nhomme = 1\n")
    assert site.file.read_text() == START
    with pytest.raises(NotFound):
        edit_users(str(site.file) + "x", lambda text: text)


def test_size_at_the_limit_and_one_past(site, monkeypatch):
    """What the daemon would not read is not edited."""
    size = len(START.encode())
    monkeypatch.setattr(users_edit, "MAX_FILE", size)
    edit_users(str(site.file), lambda text: text)
    monkeypatch.setattr(users_edit, "MAX_FILE", size - 1)
    with pytest.raises(ConfigError):
        edit_users(str(site.file), lambda text: text)


@pytest.mark.parametrize(
    "text",
    ['[users]\nalice.home = "/a"\n', '[users]\nalice = {home="/a"}\n', 'users.alice = { home = "/a" }\n'],
)
def test_inline_tables_and_dotted_keys(text):
    """However the file spells its tables."""
    changed = change_user(text, "u.toml", "alice", {"comment": "x"})
    assert parse_users(changed, "u.toml")["alice"].account.comment == "x"
    both = add_user(changed, "u.toml", "bob", {"home": "/b"})
    assert set(parse_users(both, "u.toml")) == {"alice", "bob"}
    assert list(parse_users(remove_user(both, "u.toml", "alice"), "u.toml")) == ["bob"]
