"""The command line of `twistd xfer`."""

import io
import re

import pytest
from twisted.python import usage

from twisted_xfer.app import load, logs
from twisted_xfer.app.tap import Options


def parsed(*args):
    options = Options()
    options.parseOptions(list(args))
    return options


#: Each flag with an argument that is right, and what it is in the file's types.
FLAGS = {
    "root": ("/srv", "/srv"),
    "listen": ("ftp=tcp:1", ["ftp=tcp:1"]),
    "auth": ("unix", ["unix"]),
    "anonymous": ("pub", "pub"),
    "home": ("{root}", "{root}"),
    "tls-certificate": ("c", "c"),
    "tls-key": ("k", "k"),
    "tls-client-ca": ("a", "a"),
    "tls-client-crl": ("r", "r"),
    "tls-client-certificate": ("require", "require"),
    "passive-ports": ("1-2", "1-2"),
    "public-address": ("192.0.2.1", "192.0.2.1"),
    "workers": ("1", 1),
    "log-format": ("json", "json"),
    "log-file": ("l", "l"),
    "xferlog": ("x", "x"),
    "max-clients": ("0", 0),
    "max-per-address": ("2", 2),
    "max-per-user": ("3", 3),
    "idle-timeout": ("0.5", 0.5),
    "charset": ("gbk", "gbk"),
    "uploads": ("staged", "staged"),
    "symlinks": ("none", "none"),
}


def test_every_flag_of_the_file_is_an_option():
    """What load knows as a flag, the parser takes, and the other way round."""
    known = set(FLAGS) | {"require-tls"}
    assert known == set(load.FLAG_KEYS)
    text = Options().getUsage()
    assert known <= set(re.findall(r"--([a-z-]+)", text))


@pytest.mark.parametrize("flag", FLAGS)
def test_flag(flag):
    """Each arrives under its name, and nothing else does; a 0 counts as given."""
    text, value = FLAGS[flag]
    assert parsed(f"--{flag}", text).flags() == {flag: value}


@pytest.mark.parametrize("kind", ["users", "certificate", "memory"])
def test_types_of_checkers_are_listed(kind):
    """Ours and Twisted's, each as one that we take."""
    said = []
    for arguments in (["--help-auth"], ["--help-auth-type", kind]):
        options = Options()
        options.authOutput = io.StringIO()
        with pytest.raises(SystemExit):
            options.parseOptions(arguments)
        said.append(options.authOutput.getvalue())
    assert f"\n  {kind}" in said[0]
    assert "WARNING" not in said[1]


def test_require_tls():
    """A flag without an argument is true when given."""
    assert parsed("--require-tls").flags() == {"require-tls": True}
    assert parsed().flags() == {}


def test_repeated_flags_keep_their_order():
    """Checkers are asked in the order of the command line."""
    flags = parsed("--auth", "unix", "--listen", "a=tcp:1", "--auth", "file:x", "-l", "b=tcp:2").flags()
    assert flags == {"auth": ["unix", "file:x"], "listen": ["a=tcp:1", "b=tcp:2"]}


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--workers", "x"], "--workers = 'x': must be a whole number"),
        (["--listen", "ftp"], "--listen = ['ftp']: must be an array of"),
        (["--uploads", "later"], '--uploads = \'later\': must be one of "staged", "in-place"'),
        (["--public-address", "::1"], "--public-address = '::1': must be an IPv4 address"),
        (["--nonsense"], "--nonsense"),
        (["--root"], "root"),
    ],
)
def test_wrong_flags_are_usage_errors(args, text):
    """With the flag, the value and the remedy."""
    with pytest.raises(usage.UsageError) as caught:
        parsed(*args)
    assert text in str(caught.value)


def test_password_of_a_wrong_checker_is_not_repeated():
    """What may be a secret is not in the message."""
    with pytest.raises(usage.UsageError) as caught:
        parsed("--auth", ":secretcanary")
    assert "canary" not in str(caught.value)


def test_help_auth_lists_ours(capsys, monkeypatch):
    """--help-auth names the users file beside Twisted's own checkers."""
    import sys

    monkeypatch.setattr(Options, "authOutput", sys.stdout)
    with pytest.raises(SystemExit):
        parsed("--help-auth")
    out = capsys.readouterr().out
    assert "users" in out
    assert "memory" in out


class Twistd(dict):
    """Stands for twistd's own options."""


@pytest.mark.parametrize(
    ("given", "taken"),
    [({}, True), ({"logger": "x.y"}, False), ({"logfile": "f"}, False), ({"syslog": True}, False)],
)
def test_twistd_logs_by_our_observer_unless_told_otherwise(given, taken):
    """--logger, --logfile and --syslog of twistd still mean what they say."""
    options = Options()
    options.parent = twistd = Twistd(given)
    options.parseOptions([])
    assert (twistd.get("logger") == logs.CHOSEN_NAME) is taken
