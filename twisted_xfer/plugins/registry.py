"""The registry: which plugins exist, and the one that a configuration names."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType
from typing import Any, Final, Literal, NamedTuple, overload

import attrs
from twisted.plugin import getPlugins
from zope.interface.exceptions import Invalid
from zope.interface.interface import InterfaceClass
from zope.interface.verify import verifyObject

from twisted_xfer.errors import PluginError
from twisted_xfer.interfaces import (
    API_VERSION,
    ICommandPlugin,
    IListenerPlugin,
    IPluginRecord,
    IProtocolPlugin,
    IQuotaPlugin,
    IStoragePlugin,
    IXferPlugin,
    PluginKind,
)
from twisted_xfer.plugins.origin import describe, distribution_of

#: What a plugin of each kind provides.
INTERFACES: Final[dict[str, InterfaceClass]] = {
    "protocol": IProtocolPlugin,
    "storage": IStoragePlugin,
    "quota": IQuotaPlugin,
    "listener": IListenerPlugin,
    "command": ICommandPlugin,
}


class PluginReport(NamedTuple):
    """One line of ``xfer plugins``; ``problem`` is empty when the plugin can be used."""

    kind: str
    name: str
    distribution: str
    summary: str
    problem: str


class Registry:
    """Plugins by kind and name. Imports only what is asked for.

    Raises:
        PluginError: two records have the same kind and name; both providers are told.
    """

    def __init__(self, records: Iterable[IPluginRecord]) -> None:
        self._records: dict[tuple[str, str], IPluginRecord] = {}
        self._loaded: dict[tuple[str, str], IXferPlugin] = {}
        for record in records:
            key = (record.kind, record.name)
            other = self._records.setdefault(key, record)
            if other is not record:
                providers = " and ".join(sorted((describe(other), describe(record))))
                raise PluginError(record.name, f"two {record.kind} plugins of this name: {providers}")

    @classmethod
    def discover(cls, package: ModuleType | None = None) -> Registry:
        """All records in ``package`` (``twisted.plugins`` unless told otherwise).

        Raises:
            PluginError: two records have the same kind and name.
        """
        return cls(getPlugins(IPluginRecord, package))

    def names(self, kind: PluginKind) -> list[str]:
        """The names of one kind, sorted."""
        return sorted(name for of, name in self._records if of == kind)

    @overload
    def get(self, kind: Literal["protocol"], name: str) -> IProtocolPlugin: ...
    @overload
    def get(self, kind: Literal["storage"], name: str) -> IStoragePlugin: ...
    @overload
    def get(self, kind: Literal["quota"], name: str) -> IQuotaPlugin: ...
    @overload
    def get(self, kind: Literal["listener"], name: str) -> IListenerPlugin: ...
    @overload
    def get(self, kind: Literal["command"], name: str) -> ICommandPlugin: ...
    def get(self, kind: PluginKind, name: str) -> IXferPlugin:
        """Import and verify the plugin ``name``; the same object each time.

        Raises:
            PluginError: there is none of that name, or it cannot be imported, or it is not what its
                kind promises.
        """
        key = (kind, name)
        if key not in self._records:
            raise PluginError(name, self._unknown(kind, name))
        if key not in self._loaded:
            plugin = _load(self._records[key])
            _verify(self._records[key], plugin)
            self._loaded[key] = plugin
        return self._loaded[key]

    def report(self) -> list[PluginReport]:
        """Every plugin there is, with what is wrong with it. Imports them all; raises nothing."""
        lines = []
        for (kind, name), record in sorted(self._records.items()):
            try:
                self.get(kind, name)  # type: ignore[call-overload]
                problem = ""
            except PluginError as error:
                problem = error.detail
            lines.append(PluginReport(kind, name, distribution_of(record.target), record.summary, problem))
        return lines

    def _unknown(self, kind: PluginKind, name: str) -> str:
        names = self.names(kind)
        near = difflib.get_close_matches(name, names, 1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        return f"no such {kind} plugin{hint} There are: {', '.join(names) or 'none'}"


def _load(record: IPluginRecord) -> Any:
    module, _, attribute = record.target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:  # a stranger's module may fail in any way
        raise PluginError(
            record.name, f"cannot import {record.target}: {type(error).__name__}: {_line(error)}"
        ) from error


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _verify(record: IPluginRecord, plugin: Any) -> None:
    """Refuse what would fail later, at a worse time."""
    interface = INTERFACES[record.kind]
    declared: bool = interface.providedBy(plugin)
    if not declared:
        what = f"{record.target} is no {interface.__name__}"
        raise PluginError(record.name, f"{what}: its class is not @implementer({interface.__name__})")
    try:
        verifyObject(interface, plugin)
    except Invalid as error:
        raise PluginError(
            record.name, f"{record.target} is no {interface.__name__}: {_line(error)}"
        ) from error
    if plugin.name != record.name:
        raise PluginError(record.name, f"{record.target} calls itself {plugin.name!r}")
    if plugin.api_version != API_VERSION:
        raise PluginError(
            record.name,
            f"{record.target} is written for plugin API {plugin.api_version}, this is {API_VERSION}",
        )
    if not is_frozen_with_defaults(plugin.options):
        raise PluginError(
            record.name, f"{record.target}: options is not a frozen attrs class with a default for each field"
        )


def is_frozen_with_defaults(options: object) -> bool:
    """Whether ``options`` is an attrs class whose instances need no argument and cannot be changed."""
    if not (isinstance(options, type) and attrs.has(options)):
        return False
    if any(field.init and field.default is attrs.NOTHING for field in attrs.fields(options)):
        return False
    instance = options()
    try:
        # attrs before 25.4 has no way to ask; any name will do, as it refuses before it looks.
        instance.frozen = True  # type: ignore[attr-defined]
    except attrs.exceptions.FrozenInstanceError:
        return True
    except AttributeError:
        return False
    return False
