"""Which reactor the process runs on."""

from __future__ import annotations

import select
import sys
from typing import Any


def chosen_reactor() -> Any:
    """The one that is installed, as by ``twistd --reactor``; else ours, where the system has epoll."""
    if "twisted.internet.reactor" not in sys.modules and hasattr(select, "epoll"):
        from twisted_xfer.runtime.reactor import install

        install()
    from twisted.internet import reactor

    return reactor
