"""Push: sender.py and receiver.py of a socket tutorial. One connection carries one file, unanswered."""

from twisted_xfer.protocols.push.client import send
from twisted_xfer.protocols.push.plugin import PushOptions, push

__all__ = ["PushOptions", "push", "send"]
