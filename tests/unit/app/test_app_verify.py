"""What `--check` finds before anything listens, and how it is told."""

import io
import os

import pytest

from twisted_xfer.app import load
from twisted_xfer.app.accounts import inline_accounts
from twisted_xfer.app.check import check
from twisted_xfer.app.explain import explain
from twisted_xfer.app.tls import make_demo_certificate
from twisted_xfer.app.verify import about, check_anonymous, check_files
from twisted_xfer.errors import ConfigError, PluginError
from twisted_xfer.interfaces import READ_ONLY

#: A configuration, the key that is to be told, and words of its remedy.
WRONG = [
    ('listen = ["ftp=tcp:65536"]', "listen = 'ftp=tcp:65536'", "a port is a number from 0 to 65535"),
    ('listen = ["ftp=tcp:-1"]', "listen = 'ftp=tcp:-1'", "a port is a number from 0 to 65535"),
    ('[accounts.a]\ncharset = "klingon"', "accounts.a.charset = 'klingon'", "name a charset"),
    ('[accounts.a]\nhome = "{rooot}/x"', "accounts.a.home = '{rooot}/x'", "{root} and {username}"),
    ("[accounts.a]\ncomment = 2027-01-31", "accounts.a.comment = 2027-01-31", "in quotes"),
    ("[accounts.a]\nmax_sessions = -1", "accounts.a.max_sessions = -1", "0 or more"),
    ("[accounts.a]\nquota_bytes = -1", "accounts.a.quota_bytes = -1", "0 or more"),
    ('[accounts.a]\nrate_up = "fast"', "accounts.a.rate_up = 'fast'", "give bytes, or a size"),
    ('[accounts.a.paths]\n"/x" = "raed"', "accounts.a.paths./x = 'raed'", "use one of"),
    ('[accounts.a]\nrights = "raed"', "accounts.a.rights = 'raed'", "use one of"),
    ("[protocols.fpt]\nx = 1", "protocols.fpt = {'x': 1}", "did you mean protocols.ftp?"),
    ("[protocols.ftp]\nmax_line = -5", "protocols.ftp.max_line = -5", "must be from 64"),
    ("[protocols.timeecho]\nnosuch = 1", "protocols.timeecho.nosuch = 1", "there is no such key"),
    ('[protocols.ftp]\ncommands = ["nosuch"]', "protocols.ftp = 'nosuch'", "no such command plugin"),
    ('anonymous = "nix"', "anonymous = 'nix'", "is no directory: make it"),
    ('xferlog = "nix/x"', "xferlog = ", "give a path that can be written"),
    ('[log]\nfile = "nix/x"', "log.file = ", "there is no directory"),
    ('[bans]\nfile = "nix/x"', "bans.file = ", "there is no directory"),
    ('[[listeners]]\nplugin = "json"\npath = "/nix/x"', "listeners[0].path = '/nix/x'", "does not open"),
    ('[events.json]\npath = "/nix/x"', "events.json.path = '/nix/x'", "does not open"),
    ('[events.exec]\nargv = ["/nix/x"]', "events.exec.argv = '/nix/x'", "name a program"),
    ('[events.veto]\nargv = ["/nix/x"]', "events.veto.argv = '/nix/x'", "name a program"),
    (
        '[events.exec]\nargv = ["/bin/sh"]\noutbox = "/nix/x"',
        "events.exec.outbox = '/nix/x'",
        "no directory /nix",
    ),
    ('[events.exec]\nargv = ["/bin/sh"]\noutbox = "/bin"', "events.exec.outbox = '/bin'", "is a directory"),
    ('[[listeners]]\nplugin = "webhook"\nurl = "ftp://x"', "listeners[0].url", "write http://"),
    ('listen = ["ftp=tcp:7", "ftp=tcp:7"]', "listen = 'ftp=tcp:7'", "is the same place"),
    ('listen = ["nosuch=tcp:1"]', "listen = 'nosuch'", "no such protocol plugin"),
    ('[storage]\nplugin = "nosuch"', "storage.plugin = 'nosuch'", "no such storage plugin"),
    ('[quota]\nplugin = "nosuch"', "quota.plugin = 'nosuch'", "no such quota plugin"),
    ('[[listeners]]\nplugin = "nosuch"', "listeners[0] = 'nosuch'", "no such listener plugin"),
    ('auth = ["nosuch:x"]', "auth = 'nosuch'", "no such type"),
    ('root = "nix"', "root = ", "make it, or give --root"),
    ('charset = "utf-16"', "charset = 'utf-16'", "the name of a Python codec"),
    ('charset = "utf-7"', "charset = 'utf-7'", "the name of a Python codec"),
    ('charset = "unicode_escape"', "charset = 'unicode_escape'", "the name of a Python codec"),
    ('charset = "idna"', "charset = 'idna'", "the name of a Python codec"),
]


def checked(path, flags=None):
    """The exit code, and what was said about it."""
    out, errors = io.StringIO(), io.StringIO()
    return check(str(path), flags or {}, out, errors), errors.getvalue()


@pytest.mark.parametrize(("text", "told", "remedy"), WRONG)
def test_wrong_configurations(tmp_path, text, told, remedy):
    """Not good, and the line has the file, the key, the value and the remedy."""
    path = tmp_path / "xfer.toml"
    path.write_text(text)
    code, said = checked(path)
    assert code == 1
    assert said.startswith(f"xfer: {path}: {told}")
    assert remedy in said
    assert said.count("\n") == 1


def test_errors_of_flags_name_the_flag(tmp_path):
    """Also those that are found late."""
    code, said = checked("", {"root": str(tmp_path), "listen": ["ftp=tcp:99999"]})
    assert (code, said.partition(" = ")[0]) == (1, "xfer: command line: --listen")
    code, said = checked("", {"root": str(tmp_path), "listen": ["nosuch=tcp:1"]})
    assert (code, said.partition(" = ")[0]) == (1, "xfer: command line: --listen")


@pytest.mark.parametrize(
    "places",
    [
        ["ftp=tcp:7:interface=127.0.0.1", r"ftp=tcp6:7:interface=\:\:1"],
        ["ftp=tcp:7:interface=127.0.0.1", "ftp=tcp:7:interface=127.0.0.2"],
        ["timeecho=tcp:7", "timeecho=udp:7"],
        ["ftp=tcp:0", "ftp=tcp:0"],
        ["ftp=tcp:7", "ftp=tcp:8"],
    ],
)
def test_places_that_can_be_bound_together(tmp_path, places):
    """Families, interfaces and kinds of ports are apart; port 0 is another one each time."""
    code, said = checked("", {"root": str(tmp_path), "listen": places})
    assert code == 0, said


@pytest.mark.parametrize(
    "places",
    [
        ["ftp=tcp:7", "timeecho=tcp:port=07:interface=127.0.0.1"],
        ["ftp=tcp:7:interface=0.0.0.0", "ftp=tcp:7"],
        ["timeecho=udp:7", "timeecho=udp:7"],
        ["ftp=unix:/run/x", "ftp=unix:/run/x"],
    ],
)
def test_places_that_cannot(tmp_path, places):
    """The wildcard takes a port on every interface."""
    code, said = checked("", {"root": str(tmp_path), "listen": places})
    assert (code, "is the same place" in said) == (1, True)


@pytest.mark.parametrize("protocol", ["ftp", "ftps"])
def test_endpoints_with_tls_of_their_own(tmp_path, protocol):
    """FTP's data connections would have nothing of it: refused with what to write instead."""
    place = f"{protocol}=ssl:2990:privateKey=key.pem"
    code, said = checked("", {"root": str(tmp_path), "listen": [place]})
    assert code == 1
    assert "ftps=tcp:2990" in said
    assert "--tls-certificate" in said


@pytest.mark.parametrize(
    ("more", "good"),
    [
        ('listen = [{ protocol = "ftp", endpoint = "tcp:7", require_tls = "none" }]', False),
        ('[protocols.ftp]\nrequire_tls = "data"', False),
        ("[protocols.ftp]\nrequire_tls = false", False),
        ('[protocols.ftp]\nrequire_tls = "both"', True),
        ("[protocols.ftp]\nrequire_tls = true", True),
        ("", True),
    ],
)
def test_tls_that_is_required_everywhere(tmp_path, more, good):
    """A listener that allows something in clear contradicts it, and is not silently let to."""
    make_demo_certificate(str(tmp_path))
    pair = f'[tls]\ncertificate = "{tmp_path}/certificate.pem"\nkey = "{tmp_path}/key.pem"'
    path = tmp_path / "xfer.toml"
    path.write_text(f"require_tls = true\n{more}\n{pair}\n")
    code, said = checked(path)
    assert (code == 0) is good, said
    assert good or "protocols.ftp.require_tls" in said
    path.write_text(f"{more}\n{pair}\n")
    assert checked(path)[0] == 0


def test_files_that_are_there(tmp_path):
    """A log file need not exist, and is not made; a directory is none."""
    check_files(load.parse({"log": {"file": str(tmp_path / "new.log")}}))
    assert not os.listdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        check_files(load.parse({"log": {"file": str(tmp_path)}}))
    assert "is a directory" in caught.value.remedy


@pytest.mark.parametrize(
    ("auth", "more", "known"),
    [
        ("memory:alice:secret", "", True),
        ("memory:bob:secret", "", False),
        ("memory:bob:secret", "[accounts.alice]\n", True),
        ("users:{users}", "", True),
        ("unix", "", True),
        ("", "", False),
    ],
)
def test_account_of_a_place_that_nobody_knows(tmp_path, auth, more, known):
    """It works, with the rights of everybody, and is more often a slip than meant."""
    users = tmp_path / "users"
    users.write_text("alice:\n")
    users.chmod(0o600)
    (tmp_path / "xfer.toml").write_text(
        f'root = "{tmp_path}"\nauth = {[auth.format(users=users)] if auth else []}\n'
        f'listen = ["push@alice=tcp:0:interface=127.0.0.1"]\n{more}'
    )
    out, errors = io.StringIO(), io.StringIO()
    assert check(str(tmp_path / "xfer.toml"), {}, out, errors) == 0
    assert (
        "push@alice=tcp:0:interface=127.0.0.1: no account alice is known" in errors.getvalue()
    ) is not known


def test_anonymous_directory(tmp_path):
    """It has to be there, unless the tree is not this machine's."""
    (tmp_path / "pub").mkdir()
    for name in (".", "pub"):
        check_anonymous(load.parse({"anonymous": name}), str(tmp_path))
    check_anonymous(load.parse({"anonymous": "x", "storage": {"plugin": "memory"}}), "/")
    with pytest.raises(ConfigError):
        check_anonymous(load.parse({"anonymous": "x"}), str(tmp_path))


def test_who_named_a_plugin_is_told():
    """The innermost key and the file stay; an error without a key passes as it is."""
    with pytest.raises(PluginError) as caught, load.located("f.toml"), about("outer"), about("inner"):
        raise PluginError("acme", "is broken")
    assert explain(caught.value) == "f.toml: inner = 'acme': is broken"
    with pytest.raises(PluginError) as caught, load.located("f.toml"):
        raise PluginError("acme", "is broken")
    assert explain(caught.value) == "acme: is broken"


def test_a_file_that_is_named_already_stays():
    """An error in a users file is in that one."""
    with pytest.raises(ConfigError) as caught, load.located("xfer.toml", {"root": "/"}):
        raise ConfigError("alice.home", value=1, remedy="r", file="/users")
    assert explain(caught.value) == "/users: alice.home = 1: r"


def test_accounts_are_written_as_in_a_users_file():
    """Sizes with units, and rights of paths under either name."""
    table = {
        "quota_bytes": "2G",
        "rate_up": "500K",
        "rate_down": 7,
        "paths": {"/a": "read"},
        "path_rights": {"/b": "none"},
    }
    account = inline_accounts(load.parse({"accounts": {"a": table}}))["a"]
    assert (account.quota_bytes, account.rate_up, account.rate_down) == (2 << 30, 500 << 10, 7)
    assert account.path_rights == (("/a", READ_ONLY), ("/b", frozenset()))
