"""A file-transfer daemon and library on Twisted.

What a program needs to send and to receive is here; each name is loaded when it is first used:

from twisted_xfer import Login, Target, get, receive, send
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from twisted_xfer.app.receiver import Receiver, receive
    from twisted_xfer.protocols.xfer.client import (
        Login,
        Summary,
        Target,
        Work,
        get,
        ls,
        rm,
        send,
        send_stream,
    )
    from twisted_xfer.protocols.xfer.report import TransferEvent

__version__ = "0.1.0"

__all__ = [
    "Login",
    "Receiver",
    "Summary",
    "Target",
    "TransferEvent",
    "Work",
    "get",
    "ls",
    "receive",
    "rm",
    "send",
    "send_stream",
]

_CLIENT: Final = "twisted_xfer.protocols.xfer.client"
_ELSEWHERE: Final = {
    "Receiver": "twisted_xfer.app.receiver",
    "TransferEvent": "twisted_xfer.protocols.xfer.report",
    "receive": "twisted_xfer.app.receiver",
}


def __getattr__(name: str) -> Any:
    """Load what is asked for: whoever wants an error class or a plugin record pays for no TLS."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = vars(import_module(_ELSEWHERE.get(name, _CLIENT)))[name]
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """What there is, loaded or not."""
    return sorted({*globals(), *__all__})
