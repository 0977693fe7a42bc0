"""How to transfer: TYPE, MODE, STRU, PASV, EPSV, PORT, EPRT, REST, ALLO, OPTS.

RFC 959 section 4.1.2, RFC 2428 (EPSV, EPRT), RFC 2640 (UTF8), RFC 3659 (REST, OPTS MLST).
"""

from __future__ import annotations

from typing import Final

from twisted_xfer.interfaces import TransferMode
from twisted_xfer.protocols.ftp.charset import UTF8, NameCodec
from twisted_xfer.protocols.ftp.session import FTPSession, Handler
from twisted_xfer.protocols.ftp.wire import grammar, replies
from twisted_xfer.protocols.ftp.wire.listing import MLST_FACTS
from twisted_xfer.protocols.ftp.wire.replies import reply

#: Ports below are other people's services: dialling them on a client's word is the bounce attack
#: (RFC 2577 section 3).
LOWEST_ACTIVE_PORT: Final = 1024

_EPSV_ONLY: Final = reply(501, "Only EPSV after EPSV ALL.")
_NOWHERE: Final = reply(425, "No data connections here: this connection has no IP address.")


def representation(session: FTPSession, argument: bytes) -> bytes:
    """TYPE."""
    kind = grammar.parse_type(argument)
    if kind is None:
        return reply(504, "Only TYPE A, A N, I and L 8.")
    if kind == "A":
        session.mode = TransferMode.ASCII
        return replies.TYPE_ASCII
    session.mode = TransferMode.IMAGE
    return replies.TYPE_IMAGE


def transfer_mode(session: FTPSession, argument: bytes) -> bytes:
    """MODE."""
    return replies.MODE_STREAM if grammar.parse_mode(argument) else reply(504, "Only MODE S.")


def structure(session: FTPSession, argument: bytes) -> bytes:
    """STRU."""
    return replies.STRUCTURE_FILE if grammar.parse_structure(argument) else reply(504, "Only STRU F.")


def passive(session: FTPSession, argument: bytes) -> bytes:
    """PASV, for IPv4 only: its reply has no room for more."""
    if session.epsv_all:
        return _EPSV_ONLY
    if not session.local:
        return _NOWHERE
    address = session.host.data_ports.advertised(session.local, session.peer)
    if ":" in address:
        return reply(425, "PASV needs IPv4; use EPSV.")
    return grammar.format_227(address, session.data.listen())


def extended_passive(session: FTPSession, argument: bytes) -> bytes:
    """EPSV."""
    if not session.local:
        return _NOWHERE
    wanted = grammar.parse_epsv(argument)
    if wanted == "ALL":
        session.epsv_all = True
        return replies.EPSV_ALL_OK
    if wanted in {1, 2}:
        have = 2 if ":" in session.local else 1
        if wanted != have:
            return reply(522, f"Network protocol not supported, use ({have})")
    elif wanted is not None:
        return reply(522, "Network protocol not supported, use (1,2)")
    return grammar.format_229(session.data.listen())


def port(session: FTPSession, argument: bytes) -> bytes:
    """PORT."""
    host, number = grammar.parse_host_port(argument)
    return _dial(session, host, number, b"PORT")


def extended_port(session: FTPSession, argument: bytes) -> bytes:
    """EPRT."""
    host, number = grammar.parse_eprt(argument)
    return _dial(session, host, number, b"EPRT")


def _dial(session: FTPSession, host: str, number: int, verb: bytes) -> bytes:
    """Only the client's own address and no privileged port: nobody is attacked through us."""
    if session.epsv_all:
        return _EPSV_ONLY
    if not session.options.active:
        return reply(502, "Active mode is switched off; use EPSV or PASV.")
    if not grammar.same_address(host, session.peer) or number < LOWEST_ACTIVE_PORT:
        session.emit("data.peer_refused", intruder=f"{host}:{number}")
        # 501 rather than 425: nothing was tried, the argument itself is unacceptable.
        return reply(
            501, f"{verb.decode()} must name your own address and a port from {LOWEST_ACTIVE_PORT} up."
        )
    session.data.dial(number)
    return replies.PORT_OK


def restart(session: FTPSession, argument: bytes) -> bytes:
    """REST (RFC 3659 section 5): an octet count, and so for TYPE I only."""
    offset = grammar.parse_rest(argument)
    if offset and session.mode is TransferMode.ASCII:
        return reply(501, "Restart needs TYPE I.")
    session.sequence.restart = offset
    return replies.restart_reply(offset)


def allocate(session: FTPSession, argument: bytes) -> bytes:
    """ALLO: the size is a hint for the next upload. 200, because some cameras loop on 202."""
    session.size_hint = grammar.parse_allo(argument)
    return replies.ALLO_OK


def options(session: FTPSession, argument: bytes) -> bytes:
    """OPTS UTF8 and OPTS MLST."""
    name, _, value = argument.partition(b" ")
    word = name.upper()
    if word in {b"UTF8", b"UTF-8"}:
        if grammar.parse_utf8(value):
            session.codec = UTF8
        else:
            account = session.avatar.account.charset if session.avatar is not None else ""
            session.codec = NameCodec(account or session.options.charset)
        session.codec_chosen = True
        return reply(200, f"Names are in {session.codec.charset}.")
    if word == b"MLST":
        session.facts = grammar.parse_facts(value, MLST_FACTS)
        shown = "".join(f"{fact};" for fact in session.facts)
        return reply(200, f"MLST OPTS {shown}" if shown else "MLST OPTS")
    return reply(501, "Options for UTF8 and MLST only.")


HANDLERS: Final[dict[bytes, Handler]] = {
    b"TYPE": representation,
    b"MODE": transfer_mode,
    b"STRU": structure,
    b"PASV": passive,
    b"EPSV": extended_passive,
    b"PORT": port,
    b"EPRT": extended_port,
    b"REST": restart,
    b"ALLO": allocate,
    b"OPTS": options,
}
