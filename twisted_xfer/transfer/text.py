"""TYPE A (RFC 959 section 3.1.1.1): CRLF on the wire, LF in files. Incremental and pure.

A bare CR is kept in both directions: it is no line end in either form, and dropping it would
change files that only look like text.
"""

from __future__ import annotations


def to_wire(data: bytes) -> bytes:
    """LF becomes CRLF. A line end that is CRLF in the file already becomes CR CRLF, and comes back as it was."""
    return data.replace(b"\n", b"\r\n")


class FromWire:
    """CRLF becomes LF, however the chunks fall."""

    __slots__ = ("_cr",)

    def __init__(self) -> None:
        #: The last chunk ended with a CR that is still to be judged by what follows.
        self._cr = False

    def feed(self, data: bytes | memoryview) -> bytes:
        """What ``data`` adds to the file."""
        chunk = b"\r" + bytes(data) if self._cr else bytes(data)
        self._cr = chunk.endswith(b"\r")
        if self._cr:
            chunk = chunk[:-1]
        return chunk.replace(b"\r\n", b"\n")

    def end(self) -> bytes:
        """What is left at the end: the CR that no LF followed."""
        rest, self._cr = (b"\r" if self._cr else b""), False
        return rest
