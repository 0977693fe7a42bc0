"""What can be told about a configuration before anything listens, beyond each value by itself."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from twisted.cred.credentials import IUsernameHashedPassword, IUsernamePassword

from twisted_xfer.app.config import Config, Listen
from twisted_xfer.app.rules import split_endpoint, thaw
from twisted_xfer.errors import ConfigError, PluginError
from twisted_xfer.interfaces import IProtocolPlugin
from twisted_xfer.plugins.options import options_from_table
from twisted_xfer.plugins.registry import Registry

#: Kinds of endpoints that take a port, and what it is a port of.
_PORTS = {"tcp": "tcp", "ssl": "tcp", "tcp6": "tcp6", "udp": "udp"}
_EVERYWHERE = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared with, not listened at


@contextmanager
def about(key: str) -> Iterator[None]:
    """Say in a PluginError that comes out of here which key named the plugin."""
    try:
        yield
    except PluginError as error:
        error.fields.setdefault("key", key)
        raise


def check_whole(config: Config, registry: Registry) -> None:
    """Refuse sections of no protocol, wrong ones of protocols that are not listened for, and places named twice.

    Raises:
        ConfigError: with the key. PluginError: a section's protocol cannot be imported.
    """
    _check_sections(config, registry)
    _check_places(config.listen)


def check_endpoint(listen: Listen, plugin: IProtocolPlugin) -> None:
    """Refuse an endpoint with TLS of its own under a protocol whose other connections need that TLS too.

    Raises:
        ConfigError: with the endpoint to write instead.
    """
    kind, _, rest = listen.endpoint.partition(":")
    if kind == "ssl" and getattr(plugin, "starts_tls", False):
        number = rest.partition(":")[0]
        remedy = (
            "protects no data connections: write "
            f"ftps=tcp:{number if number.isdigit() else 'PORT'} and give --tls-certificate and --tls-key"
        )
        raise ConfigError("listen", value=str(listen), remedy=remedy)


def protocol_table(config: Config, listen: Listen, plugin: IProtocolPlugin) -> dict[str, Any]:
    """What is set for one place: its own options over its protocol's section.

    That in turn goes over the section of the protocol which the plugin names as ``variant_of``.

    Raises:
        ConfigError: it allows in clear what ``require_tls`` of the daemon forbids everywhere.
    """
    base = getattr(plugin, "variant_of", "")
    table = {
        **(config.protocol_options(base) if base else {}),
        **config.protocol_options(listen.protocol),
        **thaw(listen.options),
    }
    need = table.get("require_tls", True)
    if config.require_tls and need in ("none", "control", "data", False):
        remedy = (
            "allows in clear what require_tls (--require-tls) forbids everywhere: leave one of the two out"
        )
        raise ConfigError(f"protocols.{listen.protocol}.require_tls", value=need, remedy=remedy)
    return table


def _check_sections(config: Config, registry: Registry) -> None:
    names = registry.names("protocol")
    served = {listen.protocol for listen in config.listen}
    for name, table in config.protocols.items():
        if name in served:
            continue
        where = f"protocols.{name}"
        if name not in names:
            near = difflib.get_close_matches(name, names, 1)
            hint = f"did you mean protocols.{near[0]}?" if near else f"there are {', '.join(names)}"
            raise ConfigError(where, value=thaw(table), remedy=f"no such protocol: {hint}")
        with about(where):
            options_from_table(registry.get("protocol", name).options, thaw(table), where=where)


def _check_places(places: tuple[Listen, ...]) -> None:
    for index, listen in enumerate(places):
        for other in places[:index]:
            if _same(listen.endpoint, other.endpoint):
                remedy = f"{other} is the same place: leave one out, or choose another port or interface"
                raise ConfigError("listen", value=str(listen), remedy=remedy)


def _same(one: str, other: str) -> bool:
    """Whether both cannot be bound at once, as far as the strings tell."""
    kind, number, interface = _address(one)
    other_kind, other_number, other_interface = _address(other)
    if not kind or not other_kind:
        return one == other
    if (kind, number) != (other_kind, other_number) or number in {"", "0"}:
        return False
    return interface == other_interface or not interface or not other_interface


def _address(endpoint: str) -> tuple[str, str, str]:
    kind, *parts = split_endpoint(endpoint)
    named = dict(part.split("=", 1) for part in parts if "=" in part)
    number = named.get("port", parts[0] if parts and "=" not in parts[0] else "")
    interface = named.get("interface", "")
    return _PORTS.get(kind, ""), number.lstrip("0") or "0", "" if interface in _EVERYWHERE else interface


def check_anonymous(config: Config, root: str) -> None:
    """Refuse an ``anonymous`` directory that is not there, where the storage is this machine's.

    Raises:
        ConfigError: nobody could log in there.
    """
    if not config.anonymous or config.storage.get("plugin", "local") != "local":
        return
    directory = os.path.normpath(os.path.join(root, config.anonymous))
    if not os.path.isdir(directory):
        remedy = f"{directory} is no directory: make it, or name another one below the root"
        raise ConfigError("anonymous", value=config.anonymous, remedy=remedy)


def strangers(config: Config, checkers: Iterable[object]) -> list[str]:
    """Warnings of accounts that places act as and that nobody knows, as far as the checkers tell."""
    found: list[str] = []
    checkers = tuple(checkers)
    for listen in config.listen:
        name = listen.account
        if (
            checkers
            and name
            and name not in config.accounts
            and not any(_may_know(one, name) for one in checkers)
        ):
            found.append(
                f"{listen}: no account {name} is known, so it has the rights of everybody: "
                f"name one that is, or add [accounts.{name}]"
            )
    return found


def _may_know(checker: object, name: str) -> bool:
    """Whether ``checker`` has an account ``name``; True for those that cannot be asked."""
    account, users = getattr(checker, "account", None), getattr(checker, "users", None)
    if callable(account):
        return account(name) is not None
    if isinstance(users, Mapping):
        return name in users or name.encode("utf-8", "surrogateescape") in users
    kinds = getattr(checker, "credentialInterfaces", ())
    # Of those left only a checker of passwords has names of its own.
    return any(kind in kinds for kind in (IUsernamePassword, IUsernameHashedPassword))


def check_files(config: Config) -> None:
    """Refuse files that a start could not open; makes none, which would be the wrong user's.

    Raises:
        ConfigError: one cannot be written.
    """
    _check_file("log.file", config.log.file)
    _check_file("bans.file", config.bans.file)


def _check_file(key: str, path: str) -> None:
    if not path:
        return
    directory = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path):
        remedy = "is a directory: give a file"
    elif not os.path.isdir(directory):
        remedy = f"there is no directory {directory}: make it, or give another file"
    elif not os.access(path if os.path.exists(path) else directory, os.W_OK):
        remedy = "cannot be written by this user: give a file that can"
    else:
        return
    raise ConfigError(key, value=path, remedy=remedy)
