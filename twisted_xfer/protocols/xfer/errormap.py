"""The one table between the error family and the codes of the wire, both ways."""

from __future__ import annotations

from typing import Final

from twisted.internet import error as reasons

from twisted_xfer import errors as e
from twisted_xfer.protocols.xfer.wire.codes import CODES, OTHER, PROTOCOL, TRANSIENT, code_of
from twisted_xfer.protocols.xfer.wire.messages import Error, Refuse

_SHOWN_DETAIL: Final = (
    e.RemoteProtocolError,
    e.StorageFailure,
    e.ForbiddenPath,
    e.NameInvalid,
    e.RightMissing,
    e.Unsupported,
)


class PeerError(e.XferError):
    """What the peer reported; ``number`` and ``name`` are of the table of codes."""

    code = "peer"

    def __init__(self, number: int, name: str, text: str = "", *, retry: bool = False) -> None:
        super().__init__(name, text, number=number)
        self.number = number
        self.name = name
        self.retry = retry or number in TRANSIENT

    def __str__(self) -> str:
        """The name, and the peer's words with everything escaped that a terminal would obey."""
        text = "".join(c if c.isprintable() else "?" for c in self.detail)
        return f"{self.name}: {text}" if text else self.name


def number_for(error: BaseException) -> tuple[str, int]:
    """Name and number for ``error``; nothing of an unknown error leaks."""
    if isinstance(error, PeerError):
        return error.name, error.number
    if isinstance(error, e.WireError):
        return "protocol", PROTOCOL
    for kind in type(error).__mro__:
        name = getattr(kind, "code", None)
        if name in CODES:
            return code_of(name)
    return OTHER


def _text(error: BaseException) -> str:
    return str(error.detail)[:200] if isinstance(error, _SHOWN_DETAIL) else ""


def error_message(error: BaseException, stream: int = 0) -> Error:
    """ERROR for the connection or one entry."""
    name, number = number_for(error)
    return Error(stream=stream, code=number, name=name, retry=number in TRANSIENT, text=_text(error))


def refusal(error: BaseException, stream: int) -> Refuse:
    """REFUSE of one entry."""
    name, number = number_for(error)
    return Refuse(stream=stream, code=number, name=name, text=_text(error))


def from_peer(message: Error | Refuse) -> PeerError:
    """What a peer's ERROR or REFUSE is here."""
    retry = isinstance(message, Error) and message.retry
    return PeerError(message.code, message.name, message.text, retry=retry)


def no_connection(error: Exception) -> str:
    """Why there is none, in fewer words than Twisted's."""
    # A name with a part too long, or empty, is no name for IDNA.
    if isinstance(error, reasons.DNSLookupError | UnicodeError):
        return "no such host"
    if isinstance(error, reasons.ConnectionRefusedError):
        return "nobody listens there"
    if isinstance(error, reasons.UserError | reasons.TimeoutError):
        return "no answer"
    system = getattr(error, "osError", None)
    return getattr(system, "strerror", None) or str(error) or type(error).__name__


def is_transient(error: BaseException) -> bool:
    """Whether trying again later makes sense."""
    if isinstance(error, PeerError):
        return error.retry
    if isinstance(error, e.ConnectionLost | e.TimedOut | e.Truncated):
        return True
    return number_for(error)[1] in TRANSIENT
