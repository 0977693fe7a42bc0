"""Where a plugin comes from: the file of its drop-in and the distribution that installed it.

Slow (reads the metadata of everything installed), so only asked for reports and for errors.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import metadata

from twisted_xfer.interfaces import IPluginRecord


def drop_in_file(record: IPluginRecord) -> str:
    """The file of the loaded module that holds ``record``; empty when it is in none."""
    for name, module in list(sys.modules.items()):
        if name == "__main__" or not isinstance(getattr(module, "__file__", None), str):
            continue
        if any(value is record for value in vars(module).values()):
            return str(module.__file__)
    return ""


@lru_cache(maxsize=1)
def _by_package(
    _path: tuple[str, ...], ask: Callable[[], Mapping[str, list[str]]]
) -> Mapping[str, list[str]]:
    """What is installed does not change while a report is made, and reading it takes a tenth of a second."""
    return ask()


def distribution_of(target: str) -> str:
    """``"name version"`` of the distribution that holds the plugin, or empty if it is not installed.

    Asked by the top package of the target, and by its module where several have a part of that
    package, as every distribution with a drop-in has one of ``twisted``. An editable install lists
    no files, so its distribution is looked for under the name of the package as well.
    """
    module = target.partition(":")[0]
    top = module.partition(".")[0]
    names = _by_package(tuple(sys.path), metadata.packages_distributions).get(top, [])
    if len(set(names)) > 1:
        names = [name for name in names if _has_module(name, module)]
    for name in [*names, top]:
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        return f"{found.metadata['Name']} {found.version}"
    return ""


def _has_module(distribution: str, module: str) -> bool:
    """Whether one of the distribution's files is the module."""
    path = module.replace(".", "/")
    files = {str(file) for file in metadata.files(distribution) or ()}
    return not files.isdisjoint({f"{path}.py", f"{path}/__init__.py"})


def describe(record: IPluginRecord) -> str:
    """One provider for an error message: distribution, file and target, as far as they are known."""
    known = [part for part in (distribution_of(record.target), drop_in_file(record)) if part]
    return f"{record.target} ({', '.join(known)})" if known else record.target
