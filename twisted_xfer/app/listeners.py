"""The event listeners that the configuration names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted_xfer.app.config import Config
from twisted_xfer.app.explain import explain
from twisted_xfer.app.host import Host
from twisted_xfer.app.rules import thaw
from twisted_xfer.app.verify import about
from twisted_xfer.errors import ConfigError
from twisted_xfer.plugins.options import options_from_table
from twisted_xfer.plugins.registry import Registry


def open_listeners(config: Config, registry: Registry, host: Host) -> list[ConfigError]:
    """Open them; one that fails is logged, counted and told in the answer, and the others go on.

    Raises:
        ConfigError: a wrong option, or a listener failed that says it is ``required``.
        PluginError: there is none of such a name.
    """
    troubles: list[ConfigError] = []
    bus: Any = host.events
    for where, table in _tables(config):
        name = table.pop("plugin")
        with about(where):
            plugin = registry.get("listener", name)
        options = options_from_table(plugin.options, table, where=where)
        try:
            bus.add(plugin.open(options, host), name)
        except Exception as error:
            trouble = _not_opened(where, name, table, error)
            if getattr(plugin, "required", False):
                raise trouble from error
            troubles.append(trouble)
            host.log.error("xfer: listener {name} does not open: {reason}", name=name, reason=explain(error))
            bus.emit("listener.failed", listener=name, error=type(error).__name__, failures=1)
    return troubles


def _tables(config: Config) -> list[tuple[str, dict[str, Any]]]:
    """Where each stands in the configuration, and its table with the plugin's name."""
    tables = [(f"listeners[{index}]", thaw(table)) for index, table in enumerate(config.listeners)]
    tables += [(f"events.{name}", {"plugin": name, **thaw(table)}) for name, table in config.events.items()]
    if config.xferlog:
        tables.append(("xferlog", {"plugin": "xferlog", "path": config.xferlog}))
    return tables


def _not_opened(where: str, name: str, table: Mapping[str, Any], error: Exception) -> ConfigError:
    """What to tell of a listener that failed to open."""
    if isinstance(error, ConfigError):
        key = where if error.key == name else f"{where}.{error.key}"
        return ConfigError(key, value=error.value, remedy=error.remedy, file=error.file)
    path = table.get("path")
    if path is None:
        return ConfigError(where, value=name, remedy=f"listener {name} does not open: {explain(error)}")
    remedy = f"listener {name} does not open ({explain(error)}): give a path that can be written"
    return ConfigError(where if where == "xferlog" else f"{where}.path", value=path, remedy=remedy)
