"""From a TOML file and command-line flags to one Config, or to a ConfigError that says what to do."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NoReturn

import attrs

from twisted_xfer.app.config import Config
from twisted_xfer.app.rules import MAX_TEXT, Rule
from twisted_xfer.errors import ConfigError, PluginError

#: A configuration of a megabyte is a mistake (a data file given by accident).
MAX_FILE: Final = 1_048_576
#: What ``file`` of a ConfigError says when the value came from a flag.
COMMAND_LINE: Final = "command line"

#: Flags and the keys they stand for; the flags of a key win over the file.
FLAG_KEYS: Final[dict[str, str]] = {
    "root": "root",
    "listen": "listen",
    "auth": "auth",
    "anonymous": "anonymous",
    "home": "home",
    "tls-certificate": "tls.certificate",
    "tls-key": "tls.key",
    "tls-client-ca": "tls.client_ca",
    "tls-client-crl": "tls.client_crl",
    "tls-client-certificate": "tls.client_certificate",
    "require-tls": "require_tls",
    "passive-ports": "passive_ports",
    "public-address": "public_address",
    "workers": "workers",
    "log-format": "log.format",
    "log-file": "log.file",
    "xferlog": "xferlog",
    "max-clients": "limits.clients",
    "max-per-address": "limits.per_address",
    "max-per-user": "limits.per_user",
    "idle-timeout": "timeouts.idle",
    "charset": "charset",
    "uploads": "uploads",
    "symlinks": "symlinks",
}
_FLAG_OF_KEY: Final = {key: f"--{flag}" for flag, key in FLAG_KEYS.items()}
#: Paths in a file are relative to the file; flags are relative to the working directory.
_PATH_KEYS: Final = (
    "root",
    "tls.certificate",
    "tls.key",
    "tls.client_ca",
    "tls.client_crl",
    "xferlog",
    "log.file",
    "bans.file",
    "quota.file",
)


def load(path: str = "", flags: Mapping[str, object] | None = None) -> Config:
    """The Config of the file at ``path`` (none when empty), with ``flags`` (keyed as FLAG_KEYS) on top.

    Raises:
        ConfigError: an unreadable file, bad TOML, or a wrong key or value.
    """
    table = read_file(path) if path else {}
    table = _absolute(table, os.path.dirname(os.path.abspath(path)) if path else os.getcwd())
    from_flags: dict[str, object] = {}
    for flag, value in (flags or {}).items():
        _put(from_flags, FLAG_KEYS[flag], value)
    from_flags = _absolute(from_flags, os.getcwd())
    merged = {"root": os.getcwd()} | _merge(table, from_flags)
    origin = frozenset(FLAG_KEYS[flag] for flag in flags or ())
    config = parse(merged, file=path, from_flags=origin)
    _check_together(config, _Reader(path, origin))
    return config


@contextmanager
def located(path: str = "", flags: Mapping[str, object] | None = None) -> Iterator[None]:
    """Put the file at ``path``, or the flag, into each error that comes out and names a key alone."""
    try:
        yield
    except ConfigError as error:
        locate(error, path, flags or {})
        raise
    except PluginError as error:
        key = error.fields.get("key")
        if isinstance(key, str) and not error.fields.get("file"):
            error.fields["key"], error.fields["file"] = _origin(key, path, flags or {})
        raise


def locate(error: ConfigError, path: str, flags: Mapping[str, object]) -> None:
    """The same for one error."""
    if not error.file:
        error.key, error.file = _origin(error.key, path, flags)
        error.fields["file"] = error.file


def _origin(key: str, path: str, flags: Mapping[str, object]) -> tuple[str, str]:
    flag = _FLAG_OF_KEY.get(key)
    if flag is not None and flag.removeprefix("--") in flags:
        return flag, COMMAND_LINE
    # A path given to --config that cannot be read is not in itself.
    return (key, "" if key.startswith("--") else path)


def read_flags(flags: Mapping[str, object]) -> Config:
    """``flags`` alone as a Config, for what is wrong with them by themselves.

    Raises:
        ConfigError: a wrong value.
    """
    table: dict[str, object] = {}
    for flag, value in flags.items():
        _put(table, FLAG_KEYS[flag], value)
    return parse(table, from_flags=frozenset(FLAG_KEYS[flag] for flag in flags))


def read_file(path: str) -> dict[str, Any]:
    """The table in the TOML file at ``path``, at most MAX_FILE bytes.

    Raises:
        ConfigError: when it cannot be read or is not TOML.
    """
    try:
        with open(path, "rb") as stream:
            raw = stream.read(MAX_FILE + 1)
    except OSError as error:
        raise ConfigError(
            "--config", value=path, remedy=f"{error.strerror}: give the path of a TOML file"
        ) from error
    if len(raw) > MAX_FILE:
        raise ConfigError("--config", value=path, remedy=f"a configuration has at most {MAX_FILE} bytes")
    try:
        return tomllib.loads(raw.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("(syntax)", file=path, remedy=f"not valid TOML: {error}") from error


def parse(table: Mapping[str, Any], *, file: str = "", from_flags: frozenset[str] = frozenset()) -> Config:
    """The Config in ``table``; ``from_flags`` names the keys that came from the command line.

    Raises:
        ConfigError: a wrong key or value.
    """
    config: Config = _Reader(file, from_flags).section(Config, table, "")
    return config


def _check_together(config: Config, reader: _Reader) -> None:
    """Refuse values that are right alone and wrong together."""
    if bool(config.tls.certificate) != bool(config.tls.key):
        given, missing = ("certificate", "key") if config.tls.certificate else ("key", "certificate")
        reader.fail(
            f"tls.{given}",
            getattr(config.tls, given),
            f"give tls.{missing} (--tls-{missing}) as well, or neither",
        )
    if config.require_tls and not config.tls.certificate:
        reader.fail("require_tls", value=True, remedy="give tls.certificate and tls.key, or leave it out")
    _check_clients(config, reader)
    if config.symlinks == "follow" and config.anonymous:
        reader.fail(
            "symlinks",
            "follow",
            'use "inside": with anonymous access every link would lead out for everybody',
        )


def _check_clients(config: Config, reader: _Reader) -> None:
    """Refuse half of what it takes to know clients by their certificates."""
    tls = config.tls
    if tls.client_ca and not tls.certificate:
        reader.fail(
            "tls.client_ca", tls.client_ca, "give tls.certificate and tls.key as well, or leave it out"
        )
    if tls.client_crl and not tls.client_ca:
        reader.fail("tls.client_crl", tls.client_crl, "give tls.client_ca (--tls-client-ca) as well")
    if tls.client_certificate == "require" and not tls.client_ca:
        reader.fail("tls.client_certificate", "require", "give tls.client_ca (--tls-client-ca) as well")


class _Reader:
    """Walks tables beside attrs classes, knowing where each key came from."""

    def __init__(self, file: str, from_flags: frozenset[str]) -> None:
        self._file = file
        self._from_flags = from_flags

    def section(self, cls: type[Any], table: object, prefix: str) -> Any:
        """``table`` as an instance of ``cls``."""
        if not isinstance(table, Mapping):
            self.fail(prefix.rstrip("."), table, "must be a table")
        fields = attrs.fields_dict(cls)
        for key in table:
            if key not in fields:
                self.fail(prefix + key, None, _unknown(prefix, key, fields))
        values: dict[str, Any] = {}
        for name, field in fields.items():
            if name not in table:
                continue
            if "section" in field.metadata:
                values[name] = self.section(field.metadata["section"], table[name], f"{prefix}{name}.")
            else:
                values[name] = self._value(field.metadata["rule"], table[name], prefix + name)
        return cls(**values)

    def _value(self, rule: Rule, value: object, key: str) -> Any:
        try:
            return rule.parse(value)
        except (ValueError, TypeError):
            self.fail(key, "(not shown)" if rule.secret else value, f"must be {rule.expects}")

    def fail(self, key: str, value: object, remedy: str) -> NoReturn:
        """Raise the ConfigError for ``key``, named as the flag if it came from one."""
        if key in self._from_flags:
            raise ConfigError(_FLAG_OF_KEY[key], file=COMMAND_LINE, value=value, remedy=remedy)
        raise ConfigError(key, file=self._file, value=value, remedy=remedy)


def _unknown(prefix: str, key: str, known: Iterable[str]) -> str:
    """What to do about an unknown key."""
    by_flag = FLAG_KEYS.get(key.replace("_", "-"))
    if by_flag is not None:
        return f"unknown key: write it as {by_flag}"
    names = sorted(known)
    close = difflib.get_close_matches(key, names, n=1)
    if close:
        return f"unknown key: did you mean {prefix}{close[0]}?"
    nested = [full for full in FLAG_KEYS.values() if full.rpartition(".")[2] == key]
    if nested:
        return f"unknown key: did you mean {nested[0]}?"
    return f"unknown key: known here are {', '.join(names)}"


def _put(table: dict[str, Any], key: str, value: object) -> None:
    *path, last = key.split(".")
    for part in path:
        table = table.setdefault(part, {})
    table[last] = value


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """``above`` over ``below``, table by table; a list replaces a list."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(old, Mapping)
        merged[key] = _merge(old, value) if both and old is not None else value
    return merged


def _absolute(table: Mapping[str, Any], base: str) -> dict[str, Any]:
    """``table`` with its paths made absolute; wrong types are left for the rules to refuse."""
    absolute = _merge(table, {})
    for key in _PATH_KEYS:
        first, _, second = key.partition(".")
        holder = absolute.get(first) if second else absolute
        name = second or first
        if not isinstance(holder, Mapping):
            continue
        value = holder.get(name)
        if not isinstance(value, str) or not value or "\0" in value or len(value) > MAX_TEXT:
            continue
        made = os.path.normpath(os.path.join(base, os.path.expanduser(value)))
        if second:
            absolute[first] = {**holder, name: made}
        else:
            absolute[name] = made
    tls = absolute.get("tls")
    if isinstance(tls, Mapping) and isinstance(tls.get("more"), list | tuple):
        more = [_absolute_pair(one, base) if isinstance(one, Mapping) else one for one in tls["more"]]
        absolute["tls"] = {**tls, "more": more}
    return absolute


def _absolute_pair(pair: Mapping[str, Any], base: str) -> dict[str, Any]:
    """A certificate and its key with absolute paths."""
    return {
        name: os.path.normpath(os.path.join(base, os.path.expanduser(value)))
        if isinstance(value, str) and value and "\0" not in value
        else value
        for name, value in pair.items()
    }
