"""What is installed, and what is wrong with it: for ``xfer plugins``.

A daemon stops at the first thing that is wrong; who looks for what is wrong wants to see all of it. So
this reads the drop-ins itself: Twisted's own reader shows a traceback for each that cannot be imported,
and no more of it afterwards.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections import defaultdict
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Final

import attrs
from twisted.cred.strcred import ICheckerFactory
from twisted.plugin import IPlugin

from twisted_xfer.interfaces import IPluginRecord
from twisted_xfer.plugins.origin import describe, distribution_of
from twisted_xfer.plugins.registry import PluginReport, Registry

#: The kind, in a report, of a file that holds records and cannot be read.
DROP_IN: Final = "drop-in"
_TWICE_CHECKER: Final = "another checker has this name, and one of the two is not used"


@attrs.define
class _Found:
    """What stands in the drop-ins."""

    records: list[IPluginRecord] = attrs.field(factory=list)
    checkers: list[Any] = attrs.field(factory=list)
    broken: list[PluginReport] = attrs.field(factory=list)


def survey(package: ModuleType | None = None) -> list[PluginReport]:
    """Every plugin in ``package`` (``twisted.plugins`` unless told otherwise), checkers and unreadable files last.

    Imports them all; raises nothing, whatever they do.
    """
    found = _scan(package or importlib.import_module("twisted.plugins"))
    return [*_records(found.records), *_checkers(found.checkers), *found.broken]


def provider(kind: str, name: str) -> str | None:
    """Where the plugin ``name`` of one kind (checkers too) comes from, or None when there is none."""
    found = _scan(importlib.import_module("twisted.plugins"))
    for record in found.records:
        if (record.kind, record.name) == (kind, name):
            return describe(record)
    for factory in found.checkers:
        if (kind, factory.authType) == ("checker", name):
            return distribution_of(type(factory).__module__) or type(factory).__module__
    return None


def _scan(package: ModuleType) -> _Found:
    found = _Found()
    for entry in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        try:
            module = importlib.import_module(entry.name)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's module may fail in any way
            name = entry.name.rpartition(".")[2]
            problem = " ".join(f"{type(error).__name__}: {error}".split())
            found.broken.append(PluginReport(DROP_IN, name, distribution_of(entry.name), "", problem))
            continue
        for value in vars(module).values():
            if isinstance(value, type) or not IPlugin.providedBy(value):
                continue
            if IPluginRecord.providedBy(value):
                found.records.append(value)
            if ICheckerFactory.providedBy(value):
                found.checkers.append(value)
    return found


def _records(records: list[IPluginRecord]) -> Iterator[PluginReport]:
    by_name: dict[tuple[str, str], list[IPluginRecord]] = defaultdict(list)
    for record in records:
        of_a_name = by_name[(record.kind, record.name)]
        if not any(record is other for other in of_a_name):
            of_a_name.append(record)
    for _, of_a_name in sorted(by_name.items()):
        for record in of_a_name:
            (line,) = Registry([record]).report()
            others = [describe(other) for other in of_a_name if other is not record]
            if others:
                twice = f"no daemon starts with two of this name; the other is {' and '.join(others)}"
                line = line._replace(problem=f"{line.problem}; {twice}" if line.problem else twice)
            yield line


def _checkers(factories: list[Any]) -> Iterator[PluginReport]:
    """The checkers for ``--auth``, which are Twisted's kind of plugin; twistd takes the first of a name."""
    seen: set[str] = set()
    for factory in sorted(factories, key=lambda factory: str(factory.authType)):
        name = str(factory.authType)
        summary = " ".join(str(factory.authHelp).split()).partition(". ")[0].rstrip(".")
        problem = _TWICE_CHECKER if name in seen else ""
        seen.add(name)
        yield PluginReport("checker", name, distribution_of(type(factory).__module__), summary, problem)
