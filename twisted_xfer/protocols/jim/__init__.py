"""JIM, JSON instant messaging: a chat with rooms beside the transfers."""

from twisted_xfer.protocols.jim.client import Chat, Heard, log_in
from twisted_xfer.protocols.jim.plugin import JIMOptions, jim

__all__ = ["Chat", "Heard", "JIMOptions", "jim", "log_in"]
