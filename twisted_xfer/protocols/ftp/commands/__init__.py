"""The FTP commands: one function each, found by table only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from twisted_xfer.errors import PluginError
from twisted_xfer.protocols.ftp.commands import (
    access,
    files,
    info,
    listing,
    navigation,
    parameters,
    quota,
    security,
    site,
    transfer,
)
from twisted_xfer.protocols.ftp.session import Handler

_MODULES: Final = (access, security, navigation, parameters, transfer, listing, files, info, quota, site)


def merge(tables: Iterable[Mapping[bytes, Handler]]) -> dict[bytes, Handler]:
    """All tables in one.

    Raises:
        PluginError: two of them name the same verb.
    """
    merged: dict[bytes, Handler] = {}
    for table in tables:
        for name, handler in table.items():
            if name in merged:
                raise PluginError(name, "two handlers for one FTP command")
            merged[name] = handler
    return merged


HANDLERS: Final[dict[bytes, Handler]] = merge(module.HANDLERS for module in _MODULES)
