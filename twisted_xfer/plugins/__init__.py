"""Plugins: light records in drop-ins, the registry that imports what is named, and options.

A drop-in imports ``twisted_xfer.plugins.records`` and nothing else of ours.
"""

from twisted_xfer.plugins.options import options_from_table
from twisted_xfer.plugins.records import PluginRecord
from twisted_xfer.plugins.registry import PluginReport, Registry, is_frozen_with_defaults

__all__ = ["PluginRecord", "PluginReport", "Registry", "is_frozen_with_defaults", "options_from_table"]
