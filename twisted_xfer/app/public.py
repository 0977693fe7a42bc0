"""The addresses that passive clients are told: names among them are resolved at the start and at SIGHUP."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable

from twisted_xfer.app.config import Config
from twisted_xfer.errors import ConfigError
from twisted_xfer.runtime.data_ports import Network

#: Pairs of client network and address, the narrowest network first.
Rules = list[tuple[Network | None, str]]


def ipv4_of(host: str) -> str:
    """The first IPv4 address of ``host``; waits for the name service.

    Raises:
        OSError: it has none.
    """
    found = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
    return str(found[0][4][0])


def public_addresses(config: Config, resolve: Callable[[str], str] = ipv4_of) -> Rules:
    """``public_address`` with an address in place of each name.

    Raises:
        ConfigError: a name has no IPv4 address.
    """
    rules: Rules = [
        (ipaddress.IPv4Network(network), _resolved(host, resolve)) for network, host in config.public_address
    ]
    # The narrowest network decides, in whatever order they stand in the file.
    rules.sort(key=lambda rule: 0 if rule[0] is None else -rule[0].prefixlen)
    return rules


def has_names(config: Config) -> bool:
    """Whether there is anything that may change."""
    return any(not _is_address(host) for _, host in config.public_address)


def _is_address(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _resolved(host: str, resolve: Callable[[str], str]) -> str:
    if _is_address(host):
        return host
    try:
        return resolve(host)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        remedy = f"has no IPv4 address ({reason}): give the address, or a name that resolves"
        raise ConfigError("public_address", value=host, remedy=remedy) from error
