"""The ledger that the configuration names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from twisted_xfer.app.explain import explain
from twisted_xfer.app.rules import thaw
from twisted_xfer.errors import ConfigError, PluginError, XferError
from twisted_xfer.interfaces import IHost, IQuotaLedger
from twisted_xfer.plugins.options import options_from_table
from twisted_xfer.plugins.registry import Registry

#: The ledger of a daemon that was not told.
DEFAULT_LEDGER: Final = "sqlite"


def make_ledger(table: Mapping[str, Any], root: str, registry: Registry, host: IHost) -> IQuotaLedger | None:
    """What ``[quota]`` asks for. Nothing is opened or written before an account with a quota logs in.

    Raises:
        ConfigError: a wrong option. PluginError: it is missing, or does not open.
    """
    options_table = thaw(table)
    name = options_table.pop("plugin", DEFAULT_LEDGER)
    if not isinstance(name, str):
        raise ConfigError("quota.plugin", value=name, remedy="must be the name of a quota plugin")
    if not table and name not in registry.names("quota"):
        return None
    plugin = registry.get("quota", name)
    if "root" in {field.name for field in plugin.options.__attrs_attrs__}:
        options_table.setdefault("root", root)
    options = options_from_table(plugin.options, options_table, where="quota")
    try:
        return plugin.open(options, host)
    except XferError:
        raise
    except Exception as error:
        raise PluginError(name, f"the quota ledger does not open: {explain(error)}") from error
