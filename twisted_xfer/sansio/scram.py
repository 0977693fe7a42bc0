"""SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677): the arithmetic and both sides' messages.

Pure: nonces and channel bindings are arguments, and the slow derivation (``salted_password``) is the
caller's to run where it may take its time. Messages are strict ASCII and UTF-8 of at most
MAX_MESSAGE bytes; whatever else is in them is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from typing import Final, NamedTuple

from twisted_xfer.errors import ChannelBindingFailed, LoginFailed, RemoteProtocolError, Unsupported
from twisted_xfer.sansio.saslprep import prepared_password

PLAIN_NAME: Final = "SCRAM-SHA-256"
PLUS_NAME: Final = "SCRAM-SHA-256-PLUS"
#: RFC 9266: what both ends of one TLS session derive from it, and nobody else can.
BINDING_TYPE: Final = b"tls-exporter"
#: RFC 7677 section 4: fewer rounds are not worth the name.
LEAST_ITERATIONS: Final = 4096
#: A listener may ask a caller for so much work and no more: some seconds of a slow processor.
MOST_ITERATIONS: Final = 4_000_000
#: For new verifiers: OWASP's figure for PBKDF2-HMAC-SHA256, a fifth of a second at the caller.
ITERATIONS: Final = 600_000
SALT_BYTES: Final = 16
NONCE_BYTES: Final = 18
KEY_BYTES: Final = 32
#: The longest message that fits into the frames of a login, and the longest parts that are meant.
MAX_MESSAGE: Final = 1024
MAX_NONCE: Final = 128
MAX_SALT: Final = 64
_NONCE: Final = re.compile(rb"[\x21-\x2b\x2d-\x7e]{1,%d}\Z" % MAX_NONCE)
_COUNT: Final = re.compile(rb"[1-9][0-9]{0,8}\Z")
_VERIFIER: Final = re.compile(
    r"SCRAM-SHA-256\$([1-9][0-9]{0,8}):([A-Za-z0-9+/=]{1,88})\$([A-Za-z0-9+/=]{44}):([A-Za-z0-9+/=]{44})\Z"
)


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def salted_password(password: str, salt: bytes, iterations: int) -> bytes:
    """RFC 5802's SaltedPassword. Takes up to seconds: never on the reactor."""
    return hashlib.pbkdf2_hmac("sha256", prepared_password(password), salt, iterations)


class Verifier(NamedTuple):
    """What a server keeps of a password: it checks proofs and makes none."""

    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes

    @classmethod
    def of(cls, password: str, salt: bytes, iterations: int = ITERATIONS) -> Verifier:
        """For a new password. As slow as ``salted_password``."""
        return cls.from_salted(salted_password(password, salt, iterations), salt, iterations)

    @classmethod
    def from_salted(cls, salted: bytes, salt: bytes, iterations: int) -> Verifier:
        """From SaltedPassword."""
        client_key = _hmac(salted, b"Client Key")
        return cls(iterations, salt, hashlib.sha256(client_key).digest(), _hmac(salted, b"Server Key"))

    @classmethod
    def parse(cls, text: str) -> Verifier:
        """From the text that RFC 5803 defines and PostgreSQL uses: ``SCRAM-SHA-256$4096:salt$stored:server``.

        Raises:
            ValueError: it is none, or its count is out of bounds. The text is not repeated.
        """
        match = _VERIFIER.match(text)
        if match is None:
            raise ValueError("not a SCRAM-SHA-256 verifier")
        count, *coded = match.groups()
        salt, stored, server = (_decoded(part.encode()) for part in coded)
        if not LEAST_ITERATIONS <= int(count) <= MOST_ITERATIONS or not 0 < len(salt) <= MAX_SALT:
            raise ValueError("a count or a salt out of bounds")
        if len(stored) != KEY_BYTES or len(server) != KEY_BYTES:
            raise ValueError("keys of a wrong length")
        return cls(int(count), salt, stored, server)

    def text(self) -> str:
        """As ``parse`` takes it."""
        salt, stored, server = (base64.b64encode(part).decode() for part in self[1:])
        return f"{PLAIN_NAME}${self.iterations}:{salt}${stored}:{server}"

    def __repr__(self) -> str:
        return f"<Verifier of {self.iterations} iterations>"


def stranger(key: bytes, username: bytes, iterations: int = ITERATIONS) -> Verifier:
    """A verifier for somebody who does not exist: the same at each call, and good for no password.

    ``key`` is the server's secret, so that nobody can tell its salts from random ones.
    """
    salt = _hmac(key, b"salt" + username)[:SALT_BYTES]
    return Verifier(iterations, salt, _hmac(key, b"stored" + username), _hmac(key, b"server" + username))


# --- messages ------------------------------------------------------------------------------------


def _wrong(what: str) -> RemoteProtocolError:
    return RemoteProtocolError(detail=f"SCRAM: {what}")


def _decoded(text: bytes) -> bytes:
    """Strict base64: one text for each value. Raises ValueError."""
    raw = binascii.a2b_base64(text, strict_mode=True)
    if base64.b64encode(raw) != text:
        raise ValueError("not canonical")
    return raw


def _b64(text: bytes, what: str) -> bytes:
    try:
        return _decoded(text)
    except ValueError:
        raise _wrong(f"{what} is no base64") from None


def _fields(text: bytes, names: bytes) -> dict[int, bytes]:
    """Attributes in order: those of ``names`` first, all of them; then extensions, each once."""
    found: dict[int, bytes] = {}
    for at, part in enumerate(text.split(b",")):
        letter = part[:1]
        if not letter.isalpha() or part[1:2] != b"=" or letter[0] in found:
            raise _wrong("not a list of attributes")
        if at < len(names) and letter[0] != names[at]:
            raise _wrong("attributes out of order" if letter != b"m" else "an extension that is not known")
        found[letter[0]] = part[2:]
    if len(found) < len(names):
        raise _wrong("an attribute is missing")
    if ord("m") in found:
        raise _wrong("an extension that is not known")
    return found


def _check(message: bytes) -> bytes:
    if not 0 < len(message) <= MAX_MESSAGE or b"\0" in message:
        raise _wrong("a message of a wrong length, or with NUL")
    return message


def _nonce(text: bytes) -> bytes:
    if not _NONCE.match(text):
        raise _wrong("not a nonce")
    return text


def escaped(name: bytes) -> bytes:
    """A name as SCRAM writes it."""
    return name.replace(b"=", b"=3D").replace(b",", b"=2C")


def unescaped(text: bytes) -> bytes:
    """A name as it was meant.

    Raises:
        RemoteProtocolError: an equals sign that begins nothing, no UTF-8, or no name at all.
    """
    name = text.replace(b"=2C", b",").replace(b"=3D", b"=")
    if not text or escaped(name) != text:
        raise _wrong("not a name")
    try:
        name.decode("utf-8")
    except UnicodeDecodeError:
        raise _wrong("a name that is not UTF-8") from None
    return name


class _Side:
    """What both sides know once the first messages have gone."""

    def __init__(self, header: bytes, channel: bytes) -> None:
        self._bound = base64.b64encode(header + channel)
        self._bare = b""
        self._first = b""

    def _signed(self, without_proof: bytes) -> bytes:
        """RFC 5802's AuthMessage."""
        return b",".join((self._bare, self._first, without_proof))


class Client(_Side):
    """The caller's side of one exchange.

    Args:
        username: UTF-8, prepared or not.
        nonce: printable ASCII without a comma; fresh.
        channel: the TLS exporter for -PLUS, else empty.
        could_bind: there is TLS, but the listener did not offer -PLUS: said with the flag ``y``, so
            that a listener that did offer it knows of somebody in between.
        transcript: a digest of what was negotiated before, which both sides must have seen alike;
            it goes as the extension ``h`` and so into the proof.
    """

    def __init__(
        self, username: bytes, nonce: bytes, *, channel: bytes = b"", could_bind: bool = False,
        transcript: bytes = b"",
    ) -> None:  # fmt: skip
        flag = b"p=" + BINDING_TYPE if channel else b"y" if could_bind else b"n"
        header = flag + b",,"
        super().__init__(header, channel)
        self._nonce = nonce
        self._bare = b"n=" + escaped(username) + b",r=" + nonce
        if transcript:
            self._bare += b",h=" + base64.b64encode(transcript)
        self.first = header + self._bare
        self._whole = b""
        self._server_signature = b""

    def challenged(self, message: bytes) -> tuple[bytes, int]:
        """Salt and count out of the listener's challenge, for ``salted_password``.

        Raises:
            RemoteProtocolError: it is none, a nonce that does not go on from ours, or a count out of bounds.
        """
        found = _fields(_check(message), b"rsi")
        whole, salt = _nonce(found[ord("r")]), _b64(found[ord("s")], "the salt")
        if not whole.startswith(self._nonce) or len(whole) == len(self._nonce):
            raise _wrong("a nonce that does not go on from ours")
        if not 0 < len(salt) <= MAX_SALT:
            raise _wrong("a salt of a wrong length")
        count = int(found[ord("i")]) if _COUNT.match(found[ord("i")]) else 0
        if not LEAST_ITERATIONS <= count <= MOST_ITERATIONS:
            raise _wrong(f"a count that is not from {LEAST_ITERATIONS} to {MOST_ITERATIONS}")
        self._first, self._whole = message, whole
        return salt, count

    def proof(self, salted: bytes) -> bytes:
        """The answer to the challenge."""
        client_key = _hmac(salted, b"Client Key")
        without = b"c=" + self._bound + b",r=" + self._whole
        signed = self._signed(without)
        signature = _hmac(hashlib.sha256(client_key).digest(), signed)
        self._server_signature = _hmac(_hmac(salted, b"Server Key"), signed)
        proof = bytes(one ^ other for one, other in zip(client_key, signature, strict=True))
        return without + b",p=" + base64.b64encode(proof)

    def check(self, message: bytes) -> None:
        """The listener's own proof that it knows the password's keys.

        Raises:
            RemoteProtocolError: it is none. LoginFailed: it is wrong.
        """
        found = _fields(_check(message), b"v")
        signature = _b64(found[ord("v")], "the signature")
        if not self._server_signature or not hmac.compare_digest(signature, self._server_signature):
            raise LoginFailed(None, "the listener does not know the password")


class Server(_Side):
    """The listener's side of one exchange, from the caller's first message on.

    Args:
        message: it.
        nonce: our part of the nonce; fresh.
        plus: whether the mechanism was -PLUS.
        channel: the TLS exporter; empty where -PLUS was not offered.
        transcript: see Client; demanded when it is not empty.

    Raises:
        RemoteProtocolError: the message is none.
        Unsupported: another kind of binding than ours.
        ChannelBindingFailed: the caller could bind and was not offered to, or saw another transcript.
    """

    def __init__(
        self, message: bytes, nonce: bytes, *, plus: bool, channel: bytes = b"", transcript: bytes = b""
    ) -> None:
        flag, _, rest = _check(message).partition(b",")
        identity, _, bare = rest.partition(b",")
        if identity:
            raise Unsupported(None, "SCRAM: to act as another than who logs in")
        if flag.startswith(b"p=") and flag != b"p=" + BINDING_TYPE:
            raise Unsupported(None, "SCRAM: a channel binding other than tls-exporter")
        if flag.startswith(b"p=") is not plus or (not plus and flag not in {b"n", b"y"}):
            raise _wrong("a flag that is not the mechanism's")
        if (plus and not channel) or (flag == b"y" and channel):
            raise ChannelBindingFailed
        super().__init__(flag + b",,", channel if plus else b"")
        found = _fields(bare, b"nr")
        self.username = unescaped(found[ord("n")])
        self._bare = bare
        self._nonce = _nonce(found[ord("r")]) + _nonce(nonce)
        if transcript:
            seen = _b64(found.get(ord("h"), b""), "the transcript")
            if not hmac.compare_digest(seen, transcript):
                raise ChannelBindingFailed
        self._verifier: Verifier | None = None

    def challenge(self, verifier: Verifier) -> bytes:
        """What to ask of whoever claims to know the password behind ``verifier``."""
        self._verifier = verifier
        salt = base64.b64encode(verifier.salt)
        self._first = b"r=" + self._nonce + b",s=" + salt + b",i=%d" % verifier.iterations
        return self._first

    def finish(self, message: bytes) -> bytes:
        """Our own proof, once the caller's was right.

        Raises:
            RemoteProtocolError: the message is none.
            LoginFailed: another exchange's nonce, or a wrong proof.
            ChannelBindingFailed: the caller is bound to another TLS session than ours.
        """
        verifier, self._verifier = self._verifier, None
        if verifier is None:
            raise _wrong("out of order")
        without, sign, coded = _check(message).rpartition(b",p=")
        if not sign:
            raise _wrong("an attribute is missing")
        found = _fields(without, b"cr")
        bound, proof = _b64(found[ord("c")], "the binding"), _b64(coded, "the proof")
        if len(proof) != KEY_BYTES:
            raise _wrong("a proof of a wrong length")
        if not hmac.compare_digest(_nonce(found[ord("r")]), self._nonce):
            raise LoginFailed(None, "the nonce of another exchange")
        if not hmac.compare_digest(bound, base64.b64decode(self._bound)):
            raise ChannelBindingFailed
        signed = self._signed(without)
        signature = _hmac(verifier.stored_key, signed)
        client_key = bytes(one ^ other for one, other in zip(proof, signature, strict=True))
        if not hmac.compare_digest(hashlib.sha256(client_key).digest(), verifier.stored_key):
            raise LoginFailed
        return b"v=" + base64.b64encode(_hmac(verifier.server_key, signed))
