"""Events: the bus, and the listeners that come with it."""

from twisted_xfer.events.bus import EventBus
from twisted_xfer.events.json_lines import JsonLines, json_line
from twisted_xfer.events.line_file import LineFile
from twisted_xfer.events.metrics import Counters
from twisted_xfer.events.xferlog import XferLog, xferlog_line

__all__ = ["Counters", "EventBus", "JsonLines", "LineFile", "XferLog", "json_line", "xferlog_line"]
