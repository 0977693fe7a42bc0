"""What an administrator can set for an FTP listener."""

from __future__ import annotations

from typing import Any, Literal

import attrs


@attrs.frozen
class FTPOptions:
    """The ``[protocols.ftp]`` table. Seconds, bytes and counts as the names say.

    ``if_exists`` is what STOR does to a name that is taken, for accounts that have no such setting.
    ``charset`` is the codec of names on the wire for accounts that name none themselves. ``active``
    allows PORT and EPRT at all. ``status_entries`` bounds STAT of a directory, which travels over
    the control connection. ``bad_commands`` is how many refused lines in a row end the connection.

    ``require_tls`` is what must not be in clear; true means both. ``tls_resumption``: whether a data
    connection must resume the TLS session of its control connection, which proves that it is the
    same client: ``off`` takes every one, ``prefer`` as well but reports it, ``auto`` refuses the
    others once a client has resumed, ``require`` always. ``tls_no_close_notify`` are patterns of
    client addresses and CLNT names whose uploads may end without close_notify, which anybody on the
    network can fake.

    ``commands`` are the command plugins whose commands are added: each a name, or a table with
    ``plugin`` and the options of that plugin.
    """

    if_exists: Literal["overwrite", "refuse", "rename"] = "overwrite"
    banner: str = "twisted-xfer ready."
    charset: str = "utf-8"
    active: bool = True
    max_line: int = 4096
    max_idle: float = 7200.0
    status_entries: int = 1000
    bad_commands: int = 30
    require_tls: Literal["none", "control", "data", "both"] | bool = "none"
    tls_resumption: Literal["off", "prefer", "auto", "require"] = "auto"
    tls_no_close_notify: tuple[str, ...] = ()
    commands: tuple[str | dict[str, Any], ...] = ()
