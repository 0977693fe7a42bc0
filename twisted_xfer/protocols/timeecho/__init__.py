"""The time and echo services of socket tutorials: the smallest protocol, and the example to copy.

``wire`` has the bytes and no I/O, ``server`` and ``client`` put them on connections, ``plugin`` is
what the daemon sees.
"""

from twisted_xfer.protocols.timeecho.client import ask
from twisted_xfer.protocols.timeecho.plugin import TimeEchoOptions, timeecho
from twisted_xfer.protocols.timeecho.wire import SERVICES, ServiceName

__all__ = ["SERVICES", "ServiceName", "TimeEchoOptions", "ask", "timeecho"]
