"""Directory entries to bytes: LIST as ``ls -l`` does, MLSD and MLST by RFC 3659, NLST.

Names are bytes and stay so, whatever their charset. The one exception: CR, LF and NUL cannot
stand in a line, so they are shown as ``?``; such a file is seen, but only a client that knows its
name can ask for it. Times are UTC. Nothing depends on a locale or on the server's user database:
owners are numbers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Final, Protocol

from twisted_xfer.protocols.ftp.wire.timestamps import format_column, format_time

_LINE: Final = bytes.maketrans(b"\r\n\0", b"???")
#: Nor may a fact's value hold what ends it.
_FACT: Final = bytes.maketrans(b"\r\n\0; ", b"_____")


class Entry(Protocol):
    """What is known of one entry: the shape of ``interfaces.FileInfo``.

    ``kind`` is ``file``, ``dir``, ``symlink``, ``fifo``, ``socket``, ``block``, ``char`` or ``other``; ``mode`` holds permission bits;
    ``mtime_ns`` is Unix time in nanoseconds.
    """

    @property
    def name(self) -> bytes:
        """Its own name."""
        ...

    @property
    def kind(self) -> str:
        """What it is."""
        ...

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    @property
    def mtime_ns(self) -> int:
        """Modification time."""
        ...

    @property
    def mode(self) -> int:
        """Permission bits."""
        ...

    @property
    def links(self) -> int:
        """Hard links."""
        ...

    @property
    def uid(self) -> int:
        """Owner."""
        ...

    @property
    def gid(self) -> int:
        """Group."""
        ...

    @property
    def unique(self) -> str:
        """Identity, or empty."""
        ...

    @property
    def target(self) -> bytes | None:
        """Text of a symlink."""
        ...


#: As ``ls`` has them.
_KIND_LETTERS: Final = {
    "file": b"-", "dir": b"d", "symlink": b"l", "fifo": b"p", "socket": b"s", "block": b"b", "char": b"c"
}  # fmt: skip


@lru_cache(maxsize=1024)
def mode_string(kind: str, mode: int) -> bytes:
    """``drwxr-xr-x``; set-id and sticky bits as ls shows them."""
    out = bytearray(_KIND_LETTERS.get(kind, b"?"))
    for shift, special, letter in ((6, 0o4000, b"s"), (3, 0o2000, b"s"), (0, 0o1000, b"t")):
        bits = mode >> shift
        out += b"r" if bits & 4 else b"-"
        out += b"w" if bits & 2 else b"-"
        if mode & special:
            out += letter if bits & 1 else letter.upper()
        else:
            out += b"x" if bits & 1 else b"-"
    return bytes(out)


@lru_cache(maxsize=1024)
def _columns(kind: str, mode: int, links: int, uid: int, gid: int) -> bytes:
    """Everything in front of the size: a directory has few different ones."""
    return b"%b %3d %-8d %-8d " % (mode_string(kind, mode), links, uid, gid)


def list_line(entry: Entry, now_s: int) -> bytes:
    """One line of LIST, CRLF included; ``now_s`` is Unix time in seconds."""
    return list_lines((entry,), now_s)


def list_lines(entries: Iterable[Entry], now_s: int) -> bytes:
    """The lines of LIST for a batch; ``now_s`` decides between time of day and year."""
    out: list[bytes] = []
    for entry in entries:
        name = entry.name
        if entry.target is not None and entry.kind == "symlink":
            name = b"%b -> %b" % (name, entry.target)
        out.append(
            b"%b%12d %b %b\r\n"
            % (
                _columns(entry.kind, entry.mode, entry.links, entry.uid, entry.gid),
                entry.size,
                format_column(entry.mtime_ns, now_s),
                name.translate(_LINE),
            )
        )
    return b"".join(out)


def nlst_line(name: bytes) -> bytes:
    """One line of NLST; ``name`` with the prefix that the client gave."""
    return name.translate(_LINE) + b"\r\n"


def nlst_lines(entries: Iterable[Entry], prefix: bytes = b"") -> bytes:
    """The lines of NLST for a batch, each behind ``prefix`` (``dir/`` when NLST named a directory)."""
    return b"".join([nlst_line(prefix + entry.name) for entry in entries])


#: Every fact that can be had, in the order in which it is sent.
MLST_FACTS: Final = ("type", "size", "modify", "perm", "unique", "UNIX.mode", "UNIX.uid", "UNIX.gid")
#: Those that are on before OPTS MLST: what clients use. The rest costs bytes.
DEFAULT_FACTS: Final = ("type", "size", "modify", "perm", "unique", "UNIX.mode")


def mlst_feature(facts: Collection[str] = DEFAULT_FACTS) -> bytes:
    """What FEAT says behind MLST: all facts, a star at those that are on (RFC 3659 section 7.8)."""
    return b"".join(b"%b%b;" % (fact.encode("ascii"), b"*" if fact in facts else b"") for fact in MLST_FACTS)


@lru_cache(maxsize=256)
def perm_facts(rights: frozenset[str]) -> tuple[bytes, bytes]:
    """The perm fact of a file and of a directory for an account's rights (RFC 3659 section 7.5.5).

    Rights are those of ``interfaces.Right``, as text. Entering a directory needs none.
    """
    file_letters = (("append", b"a"), ("delete", b"d"), ("rename", b"f"), ("read", b"r"), ("overwrite", b"w"))
    directory_letters = (
        *(("write", b"c"), ("rmdir", b"d"), ("", b"e"), ("rename", b"f")),
        *(("list", b"l"), ("mkdir", b"m"), ("delete", b"p")),
    )
    return (
        b"".join(letter for right, letter in file_letters if right in rights),
        b"".join(letter for right, letter in directory_letters if not right or right in rights),
    )


#: Beside the two that have names of their own, RFC 3659 section 7.5.1.5.
_TYPE_FACTS: Final = {
    "file": b"type=file;",
    "dir": b"type=dir;",
    "symlink": b"type=OS.unix=symlink;",
    "fifo": b"type=OS.unix=fifo;",
    "socket": b"type=OS.unix=socket;",
    "block": b"type=OS.unix=blk;",
    "char": b"type=OS.unix=chr;",
}
_OTHER: Final = b"type=OS.unix=other;"
#: Neither RETR nor STOR nor APPE takes them, which is what these letters of ``perm`` would promise.
_NO_FILES: Final = frozenset({"fifo", "socket", "block", "char"})
_TRANSFERS: Final = b"arw"


def facts_of(entry: Entry, facts: Collection[str], perm: tuple[bytes, bytes], kind: bytes = b"") -> bytes:
    """``fact=value;...`` of one entry, without the space and the name.

    ``perm`` is perm_facts() of the account; ``kind`` replaces the type by ``cdir`` or ``pdir``,
    which are right only for the listed directory itself and its parent within an MLSD.
    A directory has no size fact: what it would be is nobody's business.
    """
    directory = entry.kind == "dir"
    out: list[bytes] = []
    if "type" in facts:
        out.append(b"type=%b;" % kind if kind else _TYPE_FACTS.get(entry.kind, _OTHER))
    if "size" in facts and not directory:
        out.append(b"size=%d;" % entry.size)
    if "modify" in facts:
        out.append(b"modify=%b;" % format_time(entry.mtime_ns))
    if "perm" in facts:
        letters = perm[directory]
        out.append(
            b"perm=%b;" % (letters.translate(None, _TRANSFERS) if entry.kind in _NO_FILES else letters)
        )
    if "unique" in facts and entry.unique:
        out.append(b"unique=%b;" % entry.unique.encode("utf-8", "replace").translate(_FACT))
    if "UNIX.mode" in facts:
        out.append(b"UNIX.mode=0%o;" % entry.mode)
    if "UNIX.uid" in facts:
        out.append(b"UNIX.uid=%d;" % entry.uid)
    if "UNIX.gid" in facts:
        out.append(b"UNIX.gid=%d;" % entry.gid)
    return b"".join(out)


def mlsd_line(entry: Entry, facts: Collection[str], perm: tuple[bytes, bytes], kind: bytes = b"") -> bytes:
    """One line of MLSD, CRLF included: facts, one space, the name."""
    return b"%b %b\r\n" % (facts_of(entry, facts, perm, kind), entry.name.translate(_LINE))


def mlsd_lines(entries: Iterable[Entry], facts: Collection[str], perm: tuple[bytes, bytes]) -> bytes:
    """The lines of MLSD for a batch."""
    return b"".join([mlsd_line(entry, facts, perm) for entry in entries])


def mlst_text(entry: Entry, path: bytes, facts: Collection[str], perm: tuple[bytes, bytes]) -> bytes:
    """The middle line of MLST's 250 reply, without its leading space: facts, a space, the full path."""
    return b"%b %b" % (facts_of(entry, facts, perm), path.translate(_LINE))
