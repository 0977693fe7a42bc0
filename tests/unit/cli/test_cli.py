"""The commands of `xfer`, without a network."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from twisted_xfer.accounts.passwords import verify_password
from twisted_xfer.accounts.users_text import parse_users
from twisted_xfer.cli.cmd_serve import PASSWORD_LENGTH, _directory, _password
from twisted_xfer.cli.commands import COMMANDS, xfer
from twisted_xfer.cli.exits import Exit


@pytest.fixture
def run():
    """Run `xfer ARGS`."""

    def invoke(*args, password="s3cret", **more):
        return CliRunner().invoke(xfer, args, env={"XFER_PASSWORD": password}, **more)

    return invoke


def test_help_lists_the_commands(run):
    """Each with its line, and each can explain itself."""
    text = run("--help").output
    for name, (_, line) in COMMANDS.items():
        assert name in text
        assert line in text
        assert run(name, "--help").exit_code == 0


def test_help_imports_no_command():
    """The list of commands costs no import of what they need."""
    script = (
        "import sys\nfrom twisted_xfer.cli.commands import xfer\n"
        "try:\n    xfer(['--help'])\nexcept SystemExit:\n    pass\n"
        "print([n for n in sys.modules if n == 'twisted' or n.startswith('twisted_xfer.app')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.endswith("[]\n")


def test_unknown_command_is_a_usage_error(run):
    """Exit code 2, as for every wrong use."""
    assert run("nosuch").exit_code == Exit.USAGE


def test_exit_codes_are_those_of_the_document():
    """Scripts rely on the numbers."""
    assert [int(code) for code in Exit] == [*range(10), 130]


def test_check(run, tmp_path):
    """0 and the tree, or 1 and a line."""
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text('listen = ["timeecho=tcp:7:interface=127.0.0.1"]\n')
    bad.write_text("workrs = 3\n")
    done = run("check", str(good))
    assert (done.exit_code, done.stdout.startswith('root = "')) == (0, True)
    done = run("check", str(bad))
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == f"xfer: {bad}: workrs: unknown key: did you mean workers?\n"


def test_plugins(run):
    """Every built-in is listed as usable, for people and for programs."""
    done = run("plugins")
    assert done.exit_code == 0, done.output
    listed = [line.split()[:2] for line in done.stdout.splitlines()]
    assert ["protocol", "ftp"] in listed
    assert ["storage", "local"] in listed
    lines = [json.loads(line) for line in run("plugins", "--json").stdout.splitlines()]
    assert [[line["kind"], line["name"]] for line in lines] == listed
    assert not any(line["problem"] for line in lines)


def test_user_add_passwd_and_list(run, tmp_path):
    """A file that the checker reads, readable for its owner only, with the password that was given."""
    path = tmp_path / "users"
    assert run("user", "add", "alice", "--users", str(path)).exit_code == 0
    assert path.stat().st_mode & 0o777 == 0o600
    done = run(
        "user", "add", "bob", "--users", str(path), "--home", "/b", "--rights", "read-only", password="other"
    )
    assert done.exit_code == 0
    users = parse_users(path.read_text())
    assert (users["bob"].account.home, sorted(users["bob"].account.rights)) == ("/b", ["list", "read"])
    assert verify_password(users["alice"].stored, b"s3cret")
    assert verify_password(users["bob"].stored, b"other")
    for name in ("alice", "bob"):
        assert run("user", "passwd", name, "--users", str(path), password="new").exit_code == 0
    users = parse_users(path.read_text())
    assert verify_password(users["alice"].stored, b"new")
    assert verify_password(users["bob"].stored, b"new")
    assert users["bob"].account.home == "/b"
    assert run("user", "list", "--users", str(path)).stdout == "alice\nbob\n"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["users"]


def test_user_file_keeps_mode_and_comments(run, tmp_path):
    """Only the line of the account changes."""
    path = tmp_path / "users"
    path.write_text("# ours\n")
    path.chmod(0o640)
    run("user", "add", "alice", "--users", str(path))
    assert path.read_text().startswith("# ours\nalice:$argon2id$")
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["add", "alice"], Exit.REFUSED),
        (["passwd", "nobody"], Exit.REFUSED),
        (["add", "b:c"], Exit.USAGE),
        (["add", "b", "--home", "/x:y"], Exit.USAGE),
    ],
)
def test_wrong_user_commands_change_nothing(run, tmp_path, args, code):
    """The file stays as it was."""
    path = tmp_path / "users"
    run("user", "add", "alice", "--users", str(path))
    before = path.read_text()
    assert run("user", *args, "--users", str(path)).exit_code == code
    assert path.read_text() == before


def test_hash_from_a_password_file(run, tmp_path):
    """The first line of the file, without its end."""
    path = tmp_path / "password"
    path.write_bytes(b"from a file\r\nmore\n")
    done = run("user", "hash", "--password-file", str(path))
    assert verify_password(done.stdout.strip(), b"from a file")
    assert run("user", "hash", "--password-file", "-", input="piped\n").exit_code == 0


def test_leaving_a_question():
    """Whoever is asked for a password and gives none has interrupted."""
    result = CliRunner(env={"XFER_PASSWORD": ""}).invoke(xfer, ["user", "hash"], input="")
    assert result.exit_code == Exit.INTERRUPTED
    assert "xfer: interrupted" in result.output


def test_empty_password_is_refused(run, tmp_path):
    """A file without a first line sets no password."""
    path = tmp_path / "password"
    path.write_bytes(b"\n")
    assert run("user", "hash", "--password-file", str(path)).exit_code == Exit.USAGE


def test_demo_directory_comes_and_goes(tmp_path):
    """A demonstration leaves nothing; a directory that was given stays."""
    import os

    with _directory(None, demo=True) as made:
        assert os.listdir(made) == ["hello.txt"]
    assert not os.path.exists(made)
    with _directory(str(tmp_path), demo=True) as given:
        assert given == str(tmp_path)
    assert tmp_path.exists()


def test_made_up_passwords_need_no_quoting():
    """They go into a URL and into a shell as they are, and differ."""
    made = {_password() for _ in range(100)}
    assert len(made) == 100
    assert all(len(one) == PASSWORD_LENGTH and one.isalnum() and one.isascii() for one in made)


@pytest.mark.parametrize("module", ["twisted_xfer.cli", "twisted_xfer.cli.main"])
def test_modules_run_as_the_command(module):
    """`python -m` with either does what `xfer` does."""
    done = subprocess.run(
        [sys.executable, "-m", module, "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith("xfer ")
