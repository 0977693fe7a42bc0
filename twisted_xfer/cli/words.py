"""Errors of a transfer for people: a sentence, with the name that scripts and the manual know it by."""

from __future__ import annotations

from typing import Final

from twisted_xfer.errors import NoSpace, ReadOnly, StorageFailure, XferError
from twisted_xfer.protocols.xfer.wire.paths import printable

_WORDS: Final = {
    "aborted": "given up by the other end",
    "banned": "this address is banned there",
    "busy": "something else is at it there just now",
    "connection_lost": "the connection broke",
    "digest_mismatch": "damaged on the way; nothing of it was published",
    "exists": "is there already",
    "forbidden_path": "no path that is allowed",
    "io": "cannot be read or written there",
    "is_a_directory": "is a directory",
    "limit_reached": "too many connections there just now",
    "login_refused": "the account may not log in now",
    "name_invalid": "no name that is allowed",
    "no_space": "no space left there",
    "not_a_directory": "is no directory",
    "not_a_file": "is no file or directory that can be sent",
    "not_empty": "is not empty",
    "not_found": "is not there",
    "permission_denied": "permission denied",
    "prefix_mismatch": "what is there is no beginning of it",
    "quota": "no quota left there",
    "read_only": "can only be read there",
    "remote_protocol": "the other end does not keep to the protocol",
    "right_missing": "is not allowed there",
    "shutting_down": "the other end is stopping",
    "source_changed": "was changed while it was sent",
    "timeout": "no answer",
    "tls_required": "speaks TLS only: leave out --plain",
    "too_big": "is too big there",
    "truncated": "ended early",
    "vetoed": "was refused there",
}
#: What happened at our end, not at the other.
_HERE: Final = {
    "io": "cannot be read or written here",
    "no_space": "no space left here",
    "read_only": "can only be read here",
}


def code_text(error: Exception | None) -> str:
    """An error for scripts: its name and the other end's words, nothing in it that a terminal would obey."""
    if isinstance(error, XferError):
        from twisted_xfer.protocols.xfer.errormap import PeerError

        words = (
            str(error) if isinstance(error, PeerError) else f"{error.code}: {error.detail}".removesuffix(": ")
        )
        return printable(words.encode("utf-8", "backslashreplace"))
    return "unknown error"


def error_text(error: Exception | None) -> str:
    """An error for people: ``is there already (exists)``."""
    text = code_text(error)
    name = text.partition(" ")[0].rstrip(":")
    words = _WORDS.get(name)
    if isinstance(error, StorageFailure | NoSpace | ReadOnly):
        words = _HERE[error.code]
    return f"{words} ({text})" if words else text
