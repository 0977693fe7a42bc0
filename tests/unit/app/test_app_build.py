"""The composition root, with plugins made up for the occasion and a reactor in memory."""

import os

import attrs
import pytest
from twisted.internet.error import CannotListenError
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from zope.interface import implementer

from twisted_xfer.app import load
from twisted_xfer.app.build import build, default_listen, with_shared
from twisted_xfer.app.check import check
from twisted_xfer.app.config import Listen
from twisted_xfer.app.explain import explain
from twisted_xfer.errors import ConfigError, PluginError
from twisted_xfer.interfaces import API_VERSION, IListenerPlugin, IProtocolPlugin
from twisted_xfer.plugins.records import PluginRecord
from twisted_xfer.plugins.registry import Registry

HERE = __name__


@attrs.frozen
class AcmeOptions:
    greeting: str = "hello"
    charset: str = ""
    account: str = ""


@implementer(IProtocolPlugin)
class AcmeProtocol:
    api_version = API_VERSION
    options = AcmeOptions

    def __init__(self, name, *, needs_account=False, stream=True, datagrams=False):
        self.name, self.needs_account = name, needs_account
        self.stream, self.datagrams = stream, datagrams
        self.seen = []

    def describe(self):
        return "acme"

    def stream_factory(self, options, host):
        self.seen.append((options, host))
        return Factory.forProtocol(Protocol) if self.stream else None

    def datagram(self, options, host):
        return DatagramProtocol() if self.datagrams else None

    def sniff(self, prefix):
        return "no"


@implementer(IListenerPlugin)
class BrokenListener:
    name = "broken"
    api_version = API_VERSION
    options = AcmeOptions

    def describe(self):
        return "broken"

    def open(self, options, host):
        raise OSError(13, "Permission denied", "/x")


class FixedRegistry(Registry):
    """Plugins that are objects here, beside the storages that come with the daemon."""

    def __init__(self, *plugins):
        super().__init__(
            [
                PluginRecord("storage", "memory", "twisted_xfer.storage.plugin:memory"),
                PluginRecord("storage", "local", "twisted_xfer.storage.plugin:local"),
            ]
        )
        self.plugins = {(("listener" if hasattr(p, "open") else "protocol"), p.name): p for p in plugins}

    def names(self, kind):
        return super().names(kind) + [name for of, name in self.plugins if of == kind]

    def get(self, kind, name):
        return self.plugins.get((kind, name)) or super().get(kind, name)


class Reactor(MemoryReactorClock):
    """With what thread pools and a stop need."""

    def callFromThread(self, function, *args):
        function(*args)


def make(table, *plugins):
    config = load.parse({"storage": {"plugin": "memory"}, **table})
    return build(config, Reactor(), FixedRegistry(*plugins))


def test_options_come_from_the_section_the_place_and_the_daemon():
    """The place wins over the section, the section over what the daemon has for all."""
    acme = AcmeProtocol("acme")
    table = {
        "charset": "cp1251",
        "listen": [
            "acme=tcp:1",
            {"protocol": "acme", "endpoint": "tcp:2", "greeting": "place", "charset": "gbk"},
        ],
        "protocols": {"acme": {"greeting": "section"}},
    }
    daemon = make(table, acme)
    assert [options for options, _ in acme.seen] == [
        AcmeOptions("section", "cp1251"),
        AcmeOptions("place", "gbk"),
    ]
    assert all(host is daemon.host for _, host in acme.seen)
    daemon.close()


def test_a_variant_takes_the_options_of_what_it_varies():
    """Where its own section says nothing."""
    base, variant = AcmeProtocol("acme"), AcmeProtocol("acmes")
    variant.variant_of = "acme"
    table = {
        "listen": ["acme=tcp:1", "acmes=tcp:2"],
        "protocols": {"acme": {"greeting": "base", "charset": "gbk"}, "acmes": {"greeting": "own"}},
    }
    make(table, base, variant).close()
    assert base.seen[0][0] == AcmeOptions("base", "gbk")
    assert variant.seen[0][0] == AcmeOptions("own", "gbk")


def test_shared_settings_reach_only_who_has_them():
    """A plugin without such a field is not bothered."""
    assert with_shared(AcmeOptions, {"charset": "x", "max_line": 1}, {"greeting": "g"}) == {
        "charset": "x",
        "greeting": "g",
    }


def test_account_of_a_protocol_without_login():
    """PROTOCOL@ACCOUNT arrives as the option account."""
    acme = AcmeProtocol("acme", needs_account=True)
    make({"listen": ["acme@alice=tcp:1"]}, acme).close()
    assert acme.seen[0][0].account == "alice"


@pytest.mark.parametrize(
    ("place", "more", "text"),
    [
        ("acme=tcp:1", {"needs_account": True}, "acme@ACCOUNT=tcp:1"),
        ("acme@a=tcp:1", {}, "has a login of its own"),
        ("acme=udp:1", {}, "does not speak UDP"),
        ("acme=tcp:1", {"stream": False}, "speaks UDP only"),
        ("acme=udp:x", {"datagrams": True}, "PROTOCOL=udp:PORT"),
    ],
)
def test_places_that_do_not_fit(place, more, text):
    """Each says what to write instead."""
    with pytest.raises(ConfigError) as caught:
        make({"listen": [place]}, AcmeProtocol("acme", **more))
    assert text in caught.value.remedy
    assert caught.value.value == place


@pytest.mark.parametrize(
    "table",
    [
        {"listen": ["nosuch=tcp:1"]},
        {"storage": {"plugin": "nosuch"}},
        {"listeners": [{"plugin": "nosuch"}]},
    ],
)
def test_missing_plugins_stop_the_start(table):
    """What was asked for by name and does not exist is never left out in silence."""
    with pytest.raises(PluginError):
        make({"listen": ["acme=tcp:1"], **table}, AcmeProtocol("acme"))


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({"protocols": {"acme": {"greting": "x"}}}, "protocols.acme.greting"),
        ({"storage": {"plugin": "memory", "capacity": "big"}}, "storage.capacity"),
        ({"storage": {"plugin": "memory", "capacity": -1}}, "storage.capacity"),
        ({"storage": {"plugin": "local", "root": "/nowhere/at/all"}}, "storage.root"),
        ({"storage": {"plugin": "local", "umask": 0o1000}}, "storage.umask"),
        ({"storage": {"plugin": "local", "umask": -1}}, "storage.umask"),
        # Somebody forgot that TOML's numbers are decimal: this is 0o1363, which anybody may write to.
        ({"storage": {"plugin": "local", "home_mode": 755}}, "storage.home_mode"),
        ({"root": "/nowhere/at/all", "storage": {"plugin": "local"}}, "root"),
        ({"storage": {"plugin": 7}}, "storage.plugin"),
        ({"tls": {"certificate": "c", "key": "k"}}, "tls.certificate"),
        ({"auth": ["nosuch"]}, "auth"),
        # Twisted's own checker only warns, and then nobody can log in.
        ({"auth": ["file:/nowhere/at/all"]}, "auth"),
        ({"auth": ["file:/"]}, "auth"),
    ],
)
def test_wrong_sections_stop_the_start(table, key):
    """The key is told in full."""
    with pytest.raises(ConfigError) as caught:
        make({"listen": ["acme=tcp:1"], **table}, AcmeProtocol("acme"))
    assert caught.value.key == key


def test_failing_listener_does_not_stop_the_start():
    """A listener only listens: it is logged, and the daemon serves."""
    daemon = make(
        {"listen": ["acme=tcp:1"], "listeners": [{"plugin": "broken"}]},
        AcmeProtocol("acme"),
        BrokenListener(),
    )
    assert len(daemon.places) == 1
    daemon.close()


def test_default_listen():
    """FTP, and xfer once it is installed."""
    assert default_listen(FixedRegistry(AcmeProtocol("ftp"))) == (Listen("ftp", "tcp:2121"),)
    both = default_listen(FixedRegistry(AcmeProtocol("ftp"), AcmeProtocol("xfer")))
    assert [str(listen) for listen in both] == ["ftp=tcp:2121", "xfer=tcp:5001"]


def test_resolved_configuration_names_the_defaults():
    """What --check prints is what would be served."""
    daemon = make({}, AcmeProtocol("ftp"))
    assert daemon.config.listen == (Listen("ftp", "tcp:2121"),)
    daemon.close()


def test_limits_and_deadlines_arrive():
    """The host's limits are those of the configuration."""
    table = {
        "listen": ["acme=tcp:1"],
        "limits": {"clients": 1, "per_address": 2, "per_user": 3},
        "timeouts": {"idle": 7},
        "server_name": "me",
    }
    daemon = make(table, AcmeProtocol("acme"))
    limits = daemon.host.limits
    assert (limits.max_clients, limits.max_per_address, limits.max_per_user) == (1, 2, 3)
    assert (daemon.host.timeouts.idle, daemon.host.server_name, daemon.host.tls) == (7.0, "me", None)
    assert not daemon.host.login.anonymous
    daemon.close()


def test_narrowest_network_decides_the_public_address():
    """However they stand in the file."""
    table = {"public_address": {"default": "1.1.1.1", "10.0.0.0/8": "2.2.2.2", "10.1.0.0/16": "3.3.3.3"}}
    daemon = make({"listen": ["acme=tcp:1"], **table}, AcmeProtocol("acme"))
    ports = daemon.host.data_ports
    seen = [ports.advertised("127.0.0.1", peer) for peer in ("10.1.2.3", "10.2.2.3", "8.8.8.8")]
    assert seen == ["3.3.3.3", "2.2.2.2", "1.1.1.1"]
    daemon.close()


def test_check_goes_to_two_streams(tmp_path):
    """The tree is the result, the words are not."""
    import io

    out, errors = io.StringIO(), io.StringIO()
    flags = {"root": str(tmp_path), "listen": ["timeecho=tcp:7:interface=127.0.0.1"]}
    assert check("", flags, out, errors) == 0
    assert f'root = "{tmp_path}"' in out.getvalue()
    assert errors.getvalue().endswith("xfer: the configuration is good\n")
    out, errors = io.StringIO(), io.StringIO()
    assert check("", {**flags, "workers": "x"}, out, errors) == 1
    assert (out.getvalue(), errors.getvalue().count("\n")) == ("", 1)


def test_a_place_that_is_taken_is_told_with_its_file(monkeypatch):
    """Also what fails after the build names where the key stands."""
    daemon = make({"listen": ["acme=tcp:1"]}, AcmeProtocol("acme"))
    daemon.source = "xfer.toml", {}

    def taken(*_args, **_more):
        raise CannotListenError("", 1, OSError(98, "Address already in use"))

    monkeypatch.setattr(daemon.reactor, "listenTCP", taken)
    with pytest.raises(ConfigError) as caught:
        daemon.privilegedStartService()
    assert explain(caught.value).startswith("xfer.toml: listen = 'acme=tcp:1': Address already in use")


def test_sighup_reopens_what_listeners_write(tmp_path):
    """After logrotate has moved the file, lines go to a new one."""
    path = tmp_path / "events"
    listeners = [{"plugin": "json", "path": str(path)}]
    daemon = build(
        load.parse({"storage": {"plugin": "memory"}, "listen": ["ftp=tcp:1"], "listeners": listeners}),
        Reactor(),
    )
    path.rename(tmp_path / "old")
    daemon.reloads.reload()
    daemon.host.events.emit("daemon.stop", reason="test")
    assert "daemon.stop" in path.read_text()
    assert (tmp_path / "old").read_text() == ""
    daemon.close()


def test_the_end_lets_go_of_what_transfers_keep():
    """Spare buffers and the spare pipe go with the daemon."""
    daemon = make({"listen": ["acme=tcp:1"]}, AcmeProtocol("acme"))
    transfers = daemon.host.transfers
    read, write = transfers.take_pipe()
    transfers.put_pipe((read, write), empty=True)
    daemon.close()
    for descriptor in (read, write):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
