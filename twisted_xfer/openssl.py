"""The library below pyOpenSSL, for what pyOpenSSL does not offer, or only at length.

It stands behind private names, which another version may not have. So whoever needs some of them asks
``has`` when it is imported, and has another way, often slower, where they are missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from OpenSSL import SSL

#: Functions and constants of OpenSSL; None where pyOpenSSL does not show them.
LIB: Final[Any] = getattr(SSL, "_lib", None)
#: What makes their arguments.
FFI: Final[Any] = getattr(SSL, "_ffi", None)

_context: Final = SSL.Context(SSL.TLS_METHOD)
_connection: Final = SSL.Connection(_context, None)


def has(
    *names: str, ffi: Iterable[str] = (), connection: Iterable[str] = (), context: Iterable[str] = ()
) -> bool:
    """Whether all that is there: ``names`` in LIB, and attributes of FFI, of a connection over memory, of a context."""
    return (
        all(hasattr(LIB, name) for name in names)
        and all(hasattr(FFI, name) for name in ffi)
        and all(hasattr(_connection, name) for name in connection)
        and all(hasattr(_context, name) for name in context)
    )
