"""File and flags together."""

import os

import pytest

from twisted_xfer.app import load
from twisted_xfer.app.config import Listen
from twisted_xfer.app.explain import explain, is_loopback, warnings
from twisted_xfer.errors import ConfigError, NotFound


def write(tmp_path, text):
    path = tmp_path / "xfer.toml"
    path.write_text(text)
    return str(path)


def test_flags_win_over_the_file(tmp_path):
    """A flag replaces the file's value, a list included; the other keys stay."""
    path = write(tmp_path, 'listen = ["ftp=tcp:1"]\nworkers = 2\n[log]\nformat = "json"\nfile = "x.log"\n')
    config = load.load(path, {"listen": ["ftp=tcp:2"], "log-format": "text"})
    assert [str(listen) for listen in config.listen] == ["ftp=tcp:2"]
    assert (config.workers, config.log.format) == (2, "text")
    assert config.log.file == str(tmp_path / "x.log")


def test_every_flag_has_a_key():
    """No flag sets what a file cannot."""
    from twisted_xfer.app.config import Config

    for key in load.FLAG_KEYS.values():
        value = Config()
        for part in key.split("."):
            value = getattr(value, part)


def test_paths_in_a_file_are_relative_to_it(tmp_path):
    """So that a configuration can be moved with its certificates."""
    path = write(tmp_path, 'root = "files"\n[tls]\ncertificate = "c.pem"\nkey = "/k.pem"\n')
    config = load.load(path)
    assert config.root == str(tmp_path / "files")
    assert (config.tls.certificate, config.tls.key) == (str(tmp_path / "c.pem"), "/k.pem")


def test_paths_in_flags_are_relative_to_the_working_directory():
    """As everywhere on a command line; without --root it is the working directory."""
    assert load.load("", {"root": "x"}).root == os.path.join(os.getcwd(), "x")
    assert load.load("").root == os.getcwd()


def test_wrong_flag_is_named_as_a_flag():
    """The remedy says which flag, not which key."""
    with pytest.raises(ConfigError) as caught:
        load.load("", {"max-clients": "many"})
    assert explain(caught.value).startswith("command line: --max-clients = 'many': must be a whole number")


@pytest.mark.parametrize(
    ("text", "hint"),
    [("root = ", "not valid TOML"), ("a = 1\na = 2", "not valid TOML"), ("root = '\xff'", "not valid TOML")],
)
def test_broken_toml(tmp_path, text, hint):
    """A syntax error names the file."""
    path = tmp_path / "xfer.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError) as caught:
        load.load(str(path))
    assert caught.value.file == str(path)
    assert hint in caught.value.remedy


def test_missing_file():
    """A path that leads nowhere is told as such."""
    with pytest.raises(ConfigError) as caught:
        load.load("/nowhere/xfer.toml")
    assert explain(caught.value) == (
        "--config = '/nowhere/xfer.toml': No such file or directory: give the path of a TOML file"
    )


@pytest.mark.parametrize(("extra", "good"), [(0, True), (1, False)])
def test_size_of_a_file(tmp_path, extra, good):
    """A megabyte is taken, one byte more is not."""
    path = write(tmp_path, "#" * (load.MAX_FILE + extra))
    if good:
        load.load(path)
    else:
        with pytest.raises(ConfigError):
            load.load(path)


@pytest.mark.parametrize(
    ("flags", "key"),
    [
        ({"tls-certificate": "c"}, "--tls-certificate"),
        ({"tls-key": "k"}, "--tls-key"),
        ({"require-tls": True}, "--require-tls"),
        ({"tls-client-ca": "a"}, "--tls-client-ca"),
        ({"tls-client-crl": "r"}, "--tls-client-crl"),
        ({"tls-client-certificate": "require"}, "--tls-client-certificate"),
        ({"symlinks": "follow", "anonymous": "."}, "--symlinks"),
    ],
)
def test_values_that_are_wrong_together(flags, key):
    """What needs another value says which."""
    with pytest.raises(ConfigError) as caught:
        load.load("", flags)
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("endpoint", "loopback"),
    [
        ("tcp:2121", False),
        ("tcp:2121:interface=127.0.0.1", True),
        ("tcp:2121:interface=192.0.2.1", False),
        (r"tcp6:2121:interface=\:\:1", True),
        ("udp:1:interface=127.0.0.1", True),
        ("unix:/run/x", True),
        ("tcp:1:interface=", False),
    ],
)
def test_loopback(endpoint, loopback):
    """Only what certainly cannot be reached from elsewhere counts as loopback."""
    assert is_loopback(Listen("ftp", endpoint)) is loopback


@pytest.mark.parametrize(
    ("flags", "hint"),
    [
        ({"listen": ["ftp=tcp:1"], "auth": ["unix"]}, "in clear at ftp=tcp:1"),
        ({"listen": ["ftp=tcp:1:interface=127.0.0.1"]}, "nobody can log in"),
        ({"auth": ["anonymous"]}, "--auth anonymous"),
        ({"auth": ["memory:a:b"]}, "--auth memory"),
        ({"home": "{root}"}, "every account shares"),
        ({"symlinks": "follow"}, "lead out of the homes"),
    ],
)
def test_warnings(flags, hint):
    """Dangerous settings work, and say so."""
    assert any(hint in warning for warning in warnings(load.load("", flags)))


def test_no_needless_warning(monkeypatch):
    """A plain local daemon is nothing to warn of."""
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    flags = {"listen": ["ftp=tcp:1:interface=127.0.0.1"], "auth": ["users:/u"]}
    assert warnings(load.load("", flags)) == []


def test_root_is_warned_of(monkeypatch):
    """In words that also fit xfer serve, which has no twistd."""
    monkeypatch.setattr("os.geteuid", lambda: 0)
    flags = {"listen": ["ftp=tcp:1:interface=127.0.0.1"], "auth": ["users:/u"]}
    (warning,) = warnings(load.load("", flags))
    assert warning.startswith("running as root, which serving does not need")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (NotFound(b"/a\xff", "gone"), "/a\\xff: gone"),
        (NotFound("x"), "x: not_found"),
        (FileNotFoundError(2, "No such file", "/x"), "No such file: /x"),
        (ValueError("no"), "ValueError: no"),
        (ValueError(), "ValueError"),
        (ConfigError("p.api_token", value="canary", remedy="r"), "p.api_token = '***': r"),
        (
            ConfigError("p", value={"a": 1, "password": "canary"}, remedy="r"),
            "p = {'a': 1, 'password': '***'}: r",
        ),
        (ConfigError("p.secret_file", value="/s", remedy="r"), "p.secret_file = '/s': r"),
        (ConfigError("u.password", value="(not shown)", remedy="r"), "u.password = '(not shown)': r"),
        (ConfigError("k", value="v" * 100, remedy="r"), f"k = '{'v' * 76}...: r"),
    ],
)
def test_one_line_for_each_error(error, text):
    """No error needs a traceback to be understood."""
    assert explain(error) == text
