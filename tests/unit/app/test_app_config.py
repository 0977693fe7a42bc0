"""The configuration: every key by itself, what is refused, and what the operator reads then."""

import attrs
import pytest

from twisted_xfer.app import dump, load
from twisted_xfer.app.config import TLS, Auth, Config, Deadlines, Limits, Listen, Log
from twisted_xfer.app.explain import explain
from twisted_xfer.errors import ConfigError

#: For each key: a value that is right, what it becomes, and one that is wrong.
KEYS = {
    "root": ("/srv", "/srv", 7),
    "listen": (["ftp=tcp:2121"], (Listen("ftp", "tcp:2121"),), ["ftp"]),
    "auth": (["users:/u"], (Auth("users", "/u"),), "users:/u"),
    "anonymous": ("pub", "pub", True),
    "home": ("{root}/h/{username}", "{root}/h/{username}", "{root}/{user}"),
    "require_tls": (True, True, "yes"),
    "passive_ports": ("50000-50100", (50000, 50100), "50100-50000"),
    "public_address": ("203.0.113.5", (("0.0.0.0/0", "203.0.113.5"),), "203.0.113"),
    "workers": (4, 4, 0),
    "charset": ("CP1251", "cp1251", "cp125x"),
    "uploads": ("in-place", "in-place", "inplace"),
    "symlinks": ("none", "none", "outside"),
    "fsync": (True, True, 1),
    "xferlog": ("/var/log/xferlog", "/var/log/xferlog", 1),
    "grace": (2, 2.0, -1),
    "server_name": ("files.example", "files.example", ""),
    "tls.certificate": ("/c.pem", "/c.pem", 1),
    "tls.more": (
        [{"certificate": "/d.pem", "key": "/l.pem"}],
        ({"certificate": "/d.pem", "key": "/l.pem"},),
        [{"certificate": "/d.pem"}],
    ),
    "tls.client_ca": ("/a.pem", "/a.pem", 1),
    "tls.client_crl": ("/r.pem", "/r.pem", []),
    "tls.client_certificate": ("require", "require", "maybe"),
    "tls.key": ("/k.pem", "/k.pem", []),
    "timeouts.idle": (0, 0.0, "300"),
    "timeouts.login": (1.5, 1.5, -0.5),
    "timeouts.stall": (86400, 86400.0, 86401),
    "timeouts.accept": (30, 30.0, True),
    "timeouts.handshake": (20, 20.0, []),
    "limits.clients": (0, 0, -1),
    "limits.per_address": (1_000_000, 1_000_000, 1_000_001),
    "limits.per_user": (3, 3, 3.0),
    "limits.connects_per_minute": (60, 60, -1),
    "bans.after": (0, 0, "30"),
    "bans.seconds": (60, 60.0, -1),
    "bans.allow": (["10.0.0.0/8"], ("10.0.0.0/8",), "10.0.0.0/8"),
    "bans.file": ("/bans", "/bans", 1),
    "limits.line_length": (512, 512, 511),
    "if_exists": ("rename", "rename", "maybe"),
    "parts_expire": (3650, 3650.0, 3651),
    "throttle.up": ("10M", 10 << 20, "10 parsecs"),
    "throttle.down": (0, 0, -1),
    "throttle.account_up": (1 << 40, 1 << 40, (1 << 40) + 1),
    "throttle.account_down": ("5 KiB", 5 << 10, 1.5),
    "throttle.session_up": ("1G", 1 << 30, "1025G"),
    "throttle.session_down": ("7", 7, True),
    "quota": ({"plugin": "memory"}, {"plugin": "memory"}, "memory"),
    "log.format": ("json", "json", "xml"),
    "log.file": ("/l", "/l", 3),
    "protocols": ({"ftp": {"max_line": 1}}, {"ftp": {"max_line": 1}}, {"ftp": 1}),
    "storage": ({"plugin": "memory"}, {"plugin": "memory"}, "memory"),
    "listeners": ([{"plugin": "json"}], ({"plugin": "json"},), [{"path": "-"}]),
    "events": ({"exec": {"argv": ["/x"]}}, {"exec": {"argv": ("/x",)}}, {"exec": 1}),
    "accounts": ({"alice": {"home": "/a"}}, {"alice": {"home": "/a"}}, {"alice": "x"}),
}


def put(key, value):
    """The table that sets only ``key``."""
    first, _, second = key.partition(".")
    return {first: {second: value}} if second else {first: value}


def get(config, key):
    for part in key.split("."):
        config = getattr(config, part)
    return config


def all_keys(cls=Config, prefix=""):
    for field in attrs.fields(cls):
        if "section" in field.metadata:
            yield from all_keys(field.metadata["section"], f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


def test_every_key_has_a_row_here():
    """A key without a test would be one."""
    assert set(all_keys()) == set(KEYS)


@pytest.mark.parametrize("key", KEYS)
def test_right_value(key):
    """A right value arrives in the tree."""
    right, becomes, _ = KEYS[key]
    assert get(load.parse(put(key, right)), key) == becomes


@pytest.mark.parametrize("key", KEYS)
def test_wrong_value(key):
    """A wrong value is refused with file, key, value (unless it may be secret) and remedy."""
    wrong = KEYS[key][2]
    with pytest.raises(ConfigError) as caught:
        load.parse(put(key, wrong), file="xfer.toml")
    error = caught.value
    assert (error.file, error.key) == ("xfer.toml", key)
    assert error.remedy.startswith("must be ")
    assert error.value == ("(not shown)" if key == "auth" else wrong)
    assert explain(error).startswith(f"xfer.toml: {key} = ")


@pytest.mark.parametrize("key", [key for key in KEYS if isinstance(KEYS[key][0], str)])
@pytest.mark.parametrize("wrong", ["a\nb", "a\0b", "x" * 4097])
def test_no_text_holds_control_characters_or_novels(key, wrong):
    """What could break a log line or a path is refused for every string."""
    with pytest.raises(ConfigError):
        load.parse(put(key, wrong))


def test_text_at_the_limit():
    """4096 characters are still taken."""
    assert len(load.parse({"anonymous": "x" * 4096}).anonymous) == 4096


@pytest.mark.parametrize("section", ["tls", "timeouts", "limits", "log"])
def test_section_that_is_no_table(section):
    """A value in place of a section is refused by its name."""
    with pytest.raises(ConfigError) as caught:
        load.parse({section: 1})
    assert caught.value.key == section


@pytest.mark.parametrize(
    ("table", "key", "hint"),
    [
        ({"rot": "/"}, "rot", "root"),
        ({"timeouts": {"idel": 3}}, "timeouts.idel", "timeouts.idle"),
        ({"max_clients": 3}, "max_clients", "limits.clients"),
        ({"tls-certificate": "x"}, "tls-certificate", "tls.certificate"),
        ({"certificate": "x"}, "certificate", "tls.certificate"),
        ({"zzzzzz": 1}, "zzzzzz", "known here are accounts, anonymous"),
    ],
)
def test_unknown_key(table, key, hint):
    """An unknown key is refused, with the one that was probably meant."""
    with pytest.raises(ConfigError) as caught:
        load.parse(table, file="f")
    assert caught.value.key == key
    assert hint in caught.value.remedy


@pytest.mark.parametrize("home", ["{root.__class__}", "{0}", "{}", "{username!r}", "{username:>9}", "{", " "])
def test_home_takes_the_two_names_only(home):
    """A template is no format string."""
    with pytest.raises(ConfigError):
        load.parse({"home": home})


@pytest.mark.parametrize("ports", ["1-65535", "7-7"])
def test_port_ranges_at_the_limits(ports):
    """Both ends are included."""
    low, high = load.parse({"passive_ports": ports}).passive_ports
    assert f"{low}-{high}" == ports


@pytest.mark.parametrize("ports", ["0-5", "5-65536", "5", "5-", "-5", "5-6-7", "a-b", "\u0665-\u0666"])
def test_wrong_port_ranges(ports):
    """One past each limit, and other forms."""
    with pytest.raises(ConfigError):
        load.parse({"passive_ports": ports})


def test_public_address_by_network():
    """A table names the address for each client network."""
    config = load.parse({"public_address": {"10.0.0.0/8": "10.0.0.5", "default": "203.0.113.5"}})
    assert config.public_address == (("10.0.0.0/8", "10.0.0.5"), ("0.0.0.0/0", "203.0.113.5"))


@pytest.mark.parametrize(
    "wrong", [{"10.0.0.1/8": "10.0.0.5"}, {"10.0.0.0/8": "::1"}, {"10.0.0.0/33": "10.0.0.5"}]
)
def test_wrong_public_address_by_network(wrong):
    """Networks and addresses are checked."""
    with pytest.raises(ConfigError):
        load.parse({"public_address": wrong})


@pytest.mark.parametrize(
    ("text", "listen"),
    [
        ("ftp=tcp:2121", Listen("ftp", "tcp:2121")),
        ("push@alice=tcp:5002", Listen("push", "tcp:5002", "alice")),
        ("a=ssl:1:privateKey=k=v", Listen("a", "ssl:1:privateKey=k=v")),
    ],
)
def test_listen_strings(text, listen):
    """PROTOCOL[@ACCOUNT]=ENDPOINT, and back."""
    assert Listen.parse(text) == listen
    assert str(listen) == text


@pytest.mark.parametrize(
    "text", ["", "ftp", "=tcp:1", "ftp=", "ftp@=tcp:1", "@a=tcp:1", "f p=tcp:1", "ftp= "]
)
def test_wrong_listen_strings(text):
    """Anything else is refused."""
    with pytest.raises(ValueError):
        Listen.parse(text)


def test_listen_table_with_options():
    """A table may give options for one place only."""
    table = {"protocol": "ftp", "endpoint": "tcp:2122", "charset": "cp1251"}
    (listen,) = load.parse({"listen": [table]}).listen
    assert listen == Listen("ftp", "tcp:2122", "", {"charset": "cp1251"})


def test_everything_is_frozen():
    """Nothing of the tree can be changed once it exists."""
    config = load.parse({"protocols": {"ftp": {"x": [1]}}})
    for value in (
        config,
        config.tls,
        config.timeouts,
        config.limits,
        config.log,
        Listen("a", "b"),
        Auth("a"),
    ):
        name = attrs.fields(type(value))[0].name
        with pytest.raises(attrs.exceptions.FrozenInstanceError):
            setattr(value, name, None)
    with pytest.raises(TypeError):
        config.protocols["ftp"]["y"] = 1
    assert config.protocols["ftp"]["x"] == (1,)


def test_defaults_are_what_the_classes_say():
    """An empty file is a whole configuration."""
    config = load.parse({})
    assert config == Config()
    assert (config.tls, config.timeouts, config.limits, config.log) == (TLS(), Deadlines(), Limits(), Log())


@pytest.mark.parametrize("key", KEYS)
def test_dump_reads_back(key):
    """What is handed to a worker process is the same tree."""
    config = load.parse(put(key, KEYS[key][0]))
    assert load.parse(dump.thaw(config)) == config


def test_printed_tree_is_toml_and_reads_back(tmp_path):
    """What --check prints can be used as a file, secrets apart."""
    table = {
        "home": '{root}/"q"\\ é\x7f',
        "listen": ["ftp=tcp:1", {"protocol": "ftp", "endpoint": "tcp:2", "charset": "gbk"}],
        "accounts": {"a b": {"paths": {"/x y": ["read"]}}, "c": {}},
        "listeners": [{"plugin": "json", "only": []}],
        "public_address": {"10.0.0.0/8": "10.0.0.5"},
    }
    table["home"] = table["home"].replace("\x7f", "")
    text = dump.to_toml(load.parse(table))
    (tmp_path / "x.toml").write_text(text)
    again = load.parse(load.read_file(str(tmp_path / "x.toml")))
    assert again.listen == load.parse(table).listen
    assert again.home == table["home"]
    assert again.accounts["a b"]["paths"] == {"/x y": ("read",)}


CANARY = "hunter2canary"


def test_no_secret_is_printed():
    """Passwords of checkers and of plugins appear in no dump, repr or error."""
    table = {
        "auth": [f"memory:alice:{CANARY}", f"acme:{CANARY}"],
        "protocols": {"p": {"api_token": CANARY}},
        "storage": {"plugin": "s3", "secret_key": CANARY},
        "listeners": [{"plugin": "webhook", "headers": {"password": CANARY}}],
        "accounts": {"a": {"password_hash": CANARY}},
        "listen": [{"protocol": "p", "endpoint": "tcp:1", "password": CANARY}],
    }
    config = load.parse(table)
    assert CANARY not in dump.to_toml(config)
    assert CANARY not in repr(config)
    with pytest.raises(ConfigError) as caught:
        load.parse({"auth": [f":{CANARY}"]})
    assert CANARY not in explain(caught.value) + repr(caught.value)


def test_open_arguments_are_printed():
    """Where a users file is, is no secret."""
    assert 'auth = ["users:/etc/u"]' in dump.to_toml(load.parse({"auth": ["users:/etc/u"]}))
