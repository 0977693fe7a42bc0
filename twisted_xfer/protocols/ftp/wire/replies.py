"""Replies to bytes (RFC 959 section 4.2). No text given here can add a line or a Telnet command."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from twisted_xfer.errors import LocalProtocolError
from twisted_xfer.protocols.ftp.wire.verbs import Verb

_CONTROLS: Final = bytes(range(32)) + b"\x7f"
#: Control bytes are shown as ``?``: names come from peers, and a CR LF in one would be a second reply.
_FILTER: Final = bytes.maketrans(_CONTROLS, b"?" * len(_CONTROLS))
_DIGITS: Final = frozenset(b"0123456789")


def clean(text: str | bytes) -> bytes:
    """``text`` as one line for the control connection: control bytes as ``?``, 255 doubled (RFC 854)."""
    raw = text.encode("utf-8", "replace") if isinstance(text, str) else text
    raw = raw.translate(_FILTER)
    return raw.replace(b"\xff", b"\xff\xff") if 0xFF in raw else raw


def reply(code: int, text: str | bytes) -> bytes:
    """A reply of one line, CRLF included."""
    return b"%d %b\r\n" % (code, clean(text))


def multiline(
    code: int,
    first: str | bytes,
    lines: Iterable[str | bytes],
    last: str | bytes = "End.",
    indent: bytes = b" ",
) -> bytes:
    """A reply of many lines.

    FEAT and MLST want exactly one space before each line in the middle (RFC 2389 section 3.2,
    3659 section 7.2). With ``indent`` empty (STAT of a path), only a line that begins with a
    digit gets one, so that no client takes it for the end.
    """
    out = [b"%d-%b\r\n" % (code, clean(first))]
    for line in lines:
        raw = clean(line)
        pad = indent or (b" " if raw and raw[0] in _DIGITS else b"")
        out.append(b"%b%b\r\n" % (pad, raw))
    out.append(b"%d %b\r\n" % (code, clean(last)))
    return b"".join(out)


def quote_path(raw: bytes) -> bytes:
    """A path for a 257 reply: in double quotes, those within doubled (RFC 959 appendix II).

    Give the result to reply(), which filters it.
    """
    return b'"%b"' % raw.replace(b'"', b'""')


def path_reply(raw: bytes, text: bytes = b"is the current directory.") -> bytes:
    """257 for PWD and MKD."""
    return reply(257, b"%b %b" % (quote_path(raw), text))


def feat_lines(
    verbs: Mapping[bytes, Verb], mlst: bytes = b"", extra: Iterable[bytes] = (), *, tls: bool = False
) -> list[bytes]:
    """What FEAT lists, sorted: the verbs' own lines, ``extra`` ones, and the facts after MLST.

    ``mlst`` is listing.mlst_feature() for this session; rows of TLS count only with ``tls``.
    """
    found = {verb.feat for verb in verbs.values() if verb.feat and (tls or not verb.tls)}
    found.update((b"UTF8", b"TVFS"))
    found.update(extra)
    if mlst and b"MLST" in found:
        found.remove(b"MLST")
        found.add(b"MLST " + mlst)
    return sorted(found)


def feat_reply(
    verbs: Mapping[bytes, Verb], mlst: bytes = b"", extra: Iterable[bytes] = (), *, tls: bool = False
) -> bytes:
    """211 for FEAT (RFC 2389 section 3.2)."""
    return multiline(211, "Extensions supported:", feat_lines(verbs, mlst, extra, tls=tls), "End.")


DEFAULT_TEXTS: Final[Mapping[int, str]] = MappingProxyType(
    {
        110: "Restart marker.",
        125: "Data connection is open; transfer starts.",
        150: "Opening the data connection.",
        200: "OK.",
        202: "Not needed here.",
        211: "System status.",
        212: "Directory status.",
        213: "File status.",
        214: "Help.",
        215: "UNIX Type: L8",
        220: "Ready.",
        221: "Goodbye.",
        225: "Data connection is open; no transfer runs.",
        226: "Transfer complete.",
        230: "Logged in.",
        234: "Proceed with the TLS handshake.",
        250: "Done.",
        331: "Password, please.",
        332: "Account, please.",
        350: "More, please.",
        421: "Closing the connection.",
        425: "Cannot open the data connection.",
        426: "Data connection closed; transfer aborted.",
        431: "Security is not available.",
        450: "File is not available now.",
        451: "Local error.",
        452: "No space.",
        500: "Unknown command.",
        501: "Wrong argument.",
        502: "Not implemented.",
        503: "Wrong order of commands.",
        504: "Not implemented for that argument.",
        521: "Data connection must be protected.",
        522: "Network protocol not supported; use (1,2).",
        530: "Please log in with USER and PASS.",
        532: "Account needed.",
        533: "Protection level refused.",
        534: "Refused by policy.",
        536: "Protection level not supported.",
        550: "Not available.",
        551: "Page type unknown.",
        552: "Over quota.",
        553: "File name not allowed.",
    }
)


class ReplyTable:
    """Default replies by code, encoded once; ``texts`` of a site replace single ones."""

    __slots__ = ("_lines",)

    def __init__(self, texts: Mapping[int, str | bytes] | None = None) -> None:
        self._lines = {code: reply(code, text) for code, text in {**DEFAULT_TEXTS, **(texts or {})}.items()}

    def __getitem__(self, code: int) -> bytes:
        """The whole reply for ``code``.

        Raises:
            LocalProtocolError: no such code.
        """
        try:
            return self._lines[code]
        except KeyError:
            raise LocalProtocolError(str(code), "no such reply code") from None

    def __contains__(self, code: object) -> bool:
        return code in self._lines


REPLIES: Final = ReplyTable()

# Made once: these are most of what a session says.
NOOP_OK: Final = reply(200, "NOOP ok.")
TYPE_ASCII: Final = reply(200, "Type set to A.")
TYPE_IMAGE: Final = reply(200, "Type set to I.")
MODE_STREAM: Final = reply(200, "Mode set to S.")
STRUCTURE_FILE: Final = reply(200, "Structure set to F.")
PORT_OK: Final = reply(200, "Address taken.")
EPSV_ALL_OK: Final = reply(200, "EPSV ALL ok.")
ALLO_OK: Final = reply(200, "Size noted.")
ACCT_SUPERFLUOUS: Final = reply(202, "No account needed.")
SYSTEM: Final = REPLIES[215]
GOODBYE: Final = REPLIES[221]
TRANSFER_COMPLETE: Final = REPLIES[226]
ABORT_OK: Final = reply(226, "ABOR done.")
NOTHING_TO_ABORT: Final = reply(225, "No transfer to abort.")
LOGGED_IN: Final = REPLIES[230]
LOGGED_IN_BY_CERTIFICATE: Final = reply(232, "Logged in by certificate.")
DELETED: Final = reply(250, "Deleted.")
RENAMED: Final = reply(250, "Renamed.")
DIRECTORY_REMOVED: Final = reply(250, "Directory removed.")
NEED_PASSWORD: Final = REPLIES[331]
RENAME_READY: Final = reply(350, "Ready for RNTO.")
UNKNOWN_COMMAND: Final = REPLIES[500]
LINE_TOO_LONG: Final = reply(500, "Line too long.")
BAD_BYTES: Final = reply(501, "Control bytes are not allowed there.")
NO_ARGUMENT: Final = reply(501, "This command needs an argument.")
SURPLUS_ARGUMENT: Final = reply(501, "This command takes no argument.")
NOT_IMPLEMENTED: Final = REPLIES[502]


def restart_reply(offset: int) -> bytes:
    """350 for REST."""
    return b"350 Restarting at %d.\r\n" % offset


def unknown_reply(verb: bytes) -> bytes:
    """500 with the word that is no command."""
    return reply(500, b"%b: unknown command." % verb) if verb else UNKNOWN_COMMAND
