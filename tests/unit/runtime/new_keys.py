"""A client of TLS 1.3 that asks for new keys as often as it likes, which no library lets it do."""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

#: The one suite that it knows.
SUITE = b"TLS_AES_128_GCM_SHA256"
#: Inner types of records (RFC 8446 section 5.1).
HANDSHAKE, DATA = b"\x16", b"\x17"
#: "I go on with new keys, keep yours" (RFC 8446 section 4.6.3).
KEY_UPDATE = b"\x18\0\0\1\0"


def secret_in(keylog: str) -> bytes:
    """The client's first secret for data, from the last connection in a key log."""
    lines = [line.split() for line in keylog.splitlines()]
    return bytes.fromhex([line[2] for line in lines if line[0] == "CLIENT_TRAFFIC_SECRET_0"][-1])


class Sealer:
    """Seals records of a client that has sent none since its handshake."""

    def __init__(self, secret: bytes) -> None:
        self._use(secret)

    def _use(self, secret: bytes) -> None:
        self._secret, self._number = secret, 0
        self._key = AESGCM(self._derived(b"key", 16))
        self._start = int.from_bytes(self._derived(b"iv", 12), "big")

    def _derived(self, label: bytes, size: int) -> bytes:
        """HKDF-Expand-Label (RFC 8446 section 7.1)."""
        label = b"tls13 " + label
        info = b"%b%c%b\0" % (size.to_bytes(2, "big"), len(label), label)
        return HKDFExpand(SHA256(), size, info).derive(self._secret)

    def seal(self, content: bytes, kind: bytes = DATA) -> bytes:
        """One record."""
        inner = content + kind
        header = b"\x17\x03\x03" + (len(inner) + 16).to_bytes(2, "big")
        nonce = (self._start ^ self._number).to_bytes(12, "big")
        self._number += 1
        return header + self._key.encrypt(nonce, inner, header)

    def new_keys(self, count: int) -> bytes:
        """So many key updates."""
        records = []
        for _ in range(count):
            records.append(self.seal(KEY_UPDATE, HANDSHAKE))
            self._use(self._derived(b"traffic upd", 32))
        return b"".join(records)
