"""Whether an account may log in now and from here: asked in one place, after its password was right."""

from __future__ import annotations

import ipaddress
import time
from functools import lru_cache
from typing import Final

from twisted_xfer.accounts.hours import Window, parse_hours, within
from twisted_xfer.errors import LoginFailed, LoginRefused, TLSRequired
from twisted_xfer.interfaces import Account, LoginContext

#: Settings kept in parsed form: as many accounts as log in often. Only accounts' own settings get here.
_KEPT = 4096

#: What proved an account where a certificate had a part in it; see LoginContext.
ALONE: Final = frozenset({"certificate"})
BOTH: Final = frozenset({"certificate", "password"})

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def admit(account: Account, context: LoginContext, now: float) -> None:
    """Let ``account`` in, at ``now`` in Unix seconds.

    Raises:
        LoginRefused: disabled, expired, outside its hours, or from outside its networks; ``detail``
            says which, for the log: the client is told no reason.
        TLSRequired: the account wants TLS and has none.
        LoginFailed: it wants a certificate, or a password, that did not come. Nobody is to learn that
            the other of the two was right, so it counts and looks like a wrong password.
    """
    if account.require and not _is_enough(account.require, _factors(account, context)):
        raise LoginFailed
    if not account.enabled:
        raise LoginRefused(account.username, "disabled")
    if account.expires is not None and now >= account.expires:
        raise LoginRefused(account.username, "expired")
    if account.hours:
        local = time.localtime(now)
        if not within(_windows(account.hours), local.tm_wday, local.tm_hour * 60 + local.tm_min):
            raise LoginRefused(account.username, "outside its hours")
    if account.networks and not _lies_in(context.peer, _networks(account.networks)):
        raise LoginRefused(account.username, "not from one of its networks")
    if not context.secure and (account.tls_login or (account.tls_data and not context.data_apart)):
        raise TLSRequired(account.username)


def _factors(account: Account, context: LoginContext) -> frozenset[str]:
    """What proved this account: a token or an odd checker may lead from one name to another."""
    if context.factors == BOTH and context.certificate_of != account.username:
        return frozenset()
    return context.factors


def _is_enough(require: str, factors: frozenset[str]) -> bool:
    if require == "certificate":
        return "certificate" in factors
    if require == "certificate+password":
        return factors == BOTH
    return factors != ALONE


def parse_networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    """``texts`` as networks; an address is a network of one.

    Raises:
        ValueError: one that is neither.
    """
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


@lru_cache(_KEPT)
def _windows(texts: tuple[str, ...]) -> tuple[Window, ...]:
    return parse_hours(texts)


@lru_cache(_KEPT)
def _networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    return parse_networks(texts)


def _lies_in(peer: str, networks: tuple[Network, ...]) -> bool:
    """A peer without an IP address (a UNIX socket) lies in no network."""
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address.version == network.version and address in network for network in networks)
