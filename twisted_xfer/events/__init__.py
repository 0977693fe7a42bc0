"""Events: the bus, and the listeners that come with it."""

from twisted_xfer.events.bus import EventBus

__all__ = ["EventBus"]
