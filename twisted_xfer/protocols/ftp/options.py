"""What an administrator can set for an FTP listener."""

from __future__ import annotations

import attrs


@attrs.frozen
class FTPOptions:
    """The ``[protocols.ftp]`` table. Seconds, bytes and counts as the names say.

    ``charset`` is the codec of names on the wire for accounts that name none themselves. ``active``
    allows PORT and EPRT at all. ``status_entries`` bounds STAT of a directory, which travels over
    the control connection. ``bad_commands`` is how many refused lines in a row end the connection.
    """

    banner: str = "twisted-xfer ready."
    charset: str = "utf-8"
    active: bool = True
    max_line: int = 4096
    max_idle: float = 7200.0
    status_entries: int = 1000
    bad_commands: int = 30
