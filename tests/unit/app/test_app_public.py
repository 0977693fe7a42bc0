"""Public addresses by name."""

import socket

import pytest
from twisted.internet.testing import MemoryReactorClock

from twisted_xfer.app import dump, load
from twisted_xfer.app.build import build
from twisted_xfer.app.explain import explain
from twisted_xfer.app.public import has_names, ipv4_of, public_addresses
from twisted_xfer.errors import ConfigError


def parsed(value):
    return load.parse({"public_address": value, "storage": {"plugin": "memory"}, "listen": ["ftp=tcp:1"]})


@pytest.mark.parametrize(
    "name", ["ftp.example", "me", "FTP.Example", "a-b.c3.d.", "3com.example", "x" * 63, "a." * 126 + "b"]
)
def test_names_are_taken(name):
    """Labels of up to 63 letters, 253 in all, and they are written back."""
    config = parsed(name)
    assert config.public_address == (("0.0.0.0/0", name.lower()),)
    assert has_names(config)
    assert load.parse(dump.thaw(config)).public_address == config.public_address


@pytest.mark.parametrize(
    "name",
    [
        "-a",
        "a-",
        "a..b",
        "a b",
        "a_b",
        ".",
        "1.2.3",
        "1.2.3.4.5",
        "256.1.1.1",
        "x" * 64,
        "a." * 126 + "bb",
        "fe80::1",
    ],
)
def test_what_is_no_name(name):
    """Neither a host name nor an IPv4 address."""
    with pytest.raises(ConfigError):
        parsed(name)


def test_names_become_addresses():
    """The name service is asked for names alone, and the narrowest network is first."""
    asked = []

    def resolve(host):
        asked.append(host)
        return "203.0.113.7"

    config = parsed({"default": "ftp.example", "10.0.0.0/8": "10.1.2.3"})
    rules = [(str(network), address) for network, address in public_addresses(config, resolve)]
    assert rules == [("10.0.0.0/8", "10.1.2.3"), ("0.0.0.0/0", "203.0.113.7")]
    assert asked == ["ftp.example"]
    assert not has_names(parsed("203.0.113.7"))


@pytest.mark.parametrize("error", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label")])
def test_a_name_without_address_stops_the_start(error):
    """With the key, the name and what to do."""

    def resolve(host):
        raise error

    with pytest.raises(ConfigError) as caught:
        public_addresses(parsed("ftp.example"), resolve)
    assert explain(caught.value).startswith("public_address = 'ftp.example': has no IPv4 address (")


def test_ipv4_alone_is_asked_for(monkeypatch):
    """A 227 reply has no room for anything else."""
    seen = []

    def getaddrinfo(*args):
        seen.append(args)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert ipv4_of("ftp.example") == "192.0.2.1"
    assert seen == [("ftp.example", None, socket.AF_INET, socket.SOCK_STREAM)]


class Reactor(MemoryReactorClock):
    """With threads that run at once."""

    def callFromThread(self, function, *args):
        function(*args)


def test_names_are_asked_for_again_at_sighup(monkeypatch):
    """What clients are told follows the name, and stays when the name is gone."""
    from twisted.internet.defer import execute

    answers = ["192.0.2.1", "192.0.2.2"]

    def getaddrinfo(*_args):
        if not answers:
            raise socket.gaierror(-2, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (answers.pop(0), 0))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    daemon = build(parsed("ftp.example"), Reactor())
    monkeypatch.setattr(daemon.host.blocking, "run", execute)
    told = []
    for _ in range(3):
        told.append(daemon.host.data_ports.advertised("198.51.100.1", "8.8.8.8"))
        daemon.reloads.reload()
    assert told == ["192.0.2.1", "192.0.2.2", "192.0.2.2"]
    daemon.close()
