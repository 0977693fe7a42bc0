"""Client certificates: what a verified one says."""

from __future__ import annotations

import attrs

from twisted_xfer.values import Value


@attrs.frozen(eq=False, repr=False)
class CertificateFacts(Value):
    """What a client's certificate says of whom it is for.

    There are facts only of a certificate that TLS has verified: signed by an authority of ours,
    valid today, not revoked, its key shown to be there. ``common_name`` is the subject's, empty
    unless there is exactly one. ``names`` are its alternative names: DNS names, e-mail addresses,
    URIs and IP addresses as text. ``fingerprint`` is SHA-256 of the whole, in lower-case hex.
    """

    common_name: str
    names: tuple[str, ...]
    fingerprint: str

    def __str__(self) -> str:
        """By what an operator knows it."""
        return repr(self.common_name or next(iter(self.names), "")) + f" (sha256:{self.fingerprint})"
