"""What an administrator can set for an FTP listener."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

import attrs

from twisted_xfer.errors import ConfigError
from twisted_xfer.protocols.ftp.charset import is_utf8
from twisted_xfer.protocols.ftp.wire.server import MAX_LINE

#: A login with a short name fits; with less, nobody gets in.
LEAST_LINE: Final = 64
#: A megabyte, many times the longest path: more only costs memory.
MOST_LINE: Final = 1 << 20
#: Counts beyond it are typing errors.
MOST: Final = 1_000_000
#: One day, as for the daemon's own deadlines.
MOST_IDLE: Final = 86_400


def _charset(_options: object, _attribute: object, value: str) -> None:
    """A validator: a codec for names. Raises ValueError."""
    try:
        is_utf8(value)
    except ConfigError as error:
        raise ValueError(error.remedy) from None


def _from_to(low: int, high: int, what: str) -> Callable[[Any, Any, float], None]:
    """A validator: a number from ``low`` to ``high``, both included. Raises ValueError."""

    def check(_options: object, _attribute: object, value: float) -> None:
        if not low <= value <= high:
            raise ValueError(f"must be from {low} to {high} {what}")

    return check


@attrs.frozen
class FTPOptions:
    """The ``[protocols.ftp]`` table. Seconds, bytes and counts as the names say.

    ``banner`` is the greeting; empty, it is made of the server's name. ``if_exists`` is what STOR does to a name that is taken, for accounts that have no such setting.
    ``charset`` is the codec of names on the wire for accounts that name none themselves. ``active``
    allows PORT and EPRT at all. ``status_entries`` bounds STAT of a directory, which travels over
    the control connection. ``bad_commands`` is how many refused lines in a row end the connection.

    ``require_tls`` is what must not be in clear; true means both. ``tls_resumption``: whether a data
    connection must resume the TLS session of its control connection, which proves that it is the
    same client: ``off`` takes every one, ``prefer`` as well but reports it, ``auto`` refuses the
    others once a client has resumed, ``require`` always. ``tls_no_close_notify`` are patterns of
    client addresses and CLNT names whose uploads may end without close_notify, which anybody on the
    network can fake. ``ccc`` allows CCC, which takes the control connection out of TLS after the
    login, for firewalls that read it.

    ``commands`` are the command plugins whose commands are added: each a name, or a table with
    ``plugin`` and the options of that plugin.
    """

    if_exists: Literal["overwrite", "refuse", "rename"] = "overwrite"
    banner: str = ""
    charset: str = attrs.field(default="utf-8", validator=_charset)
    active: bool = True
    max_line: int = attrs.field(default=MAX_LINE, validator=_from_to(LEAST_LINE, MOST_LINE, "bytes"))
    max_idle: float = attrs.field(default=7200.0, validator=_from_to(1, MOST_IDLE, "seconds"))
    status_entries: int = attrs.field(default=1000, validator=_from_to(1, MOST, "entries"))
    bad_commands: int = attrs.field(default=30, validator=_from_to(1, MOST, "lines"))
    require_tls: Literal["none", "control", "data", "both"] | bool = "none"
    tls_resumption: Literal["off", "prefer", "auto", "require"] = "auto"
    tls_no_close_notify: tuple[str, ...] = ()
    ccc: bool = False
    commands: tuple[str | dict[str, Any], ...] = ()
