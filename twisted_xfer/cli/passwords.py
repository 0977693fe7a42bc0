"""Where a password comes from: a file, the environment, netrc, the keyring, or whoever sits there.

Never from an argument, which everybody on the machine can read.
"""

from __future__ import annotations

import os
import stat
from typing import IO, Final

import click

#: A line is read to this length: a file without one is no password file.
MAX_PASSWORD: Final = 1024


def password_of(username: str, place: str, file: IO[bytes] | None) -> str:
    """The password of ``username`` at ``place`` (host and port), from the first of them that has it.

    Raises:
        click.UsageError: nobody has it, and nobody can be asked.
    """
    if file is not None:
        return _first_line(file)
    given = os.environ.get("XFER_PASSWORD")
    if given is not None:
        return given
    found = of_netrc(username, _host(place))
    if found is None:
        found = _of_keyring(username, place)
    if found is not None:
        return found
    if not _is_somebody_there():
        raise click.UsageError(
            f"no password of {username} at {place}: set XFER_PASSWORD, give --password-file, or write it to ~/.netrc"
        )
    return str(click.prompt(f"Password of {username} at {place}", hide_input=True, err=True))


def _first_line(file: IO[bytes]) -> str:
    line = file.readline(MAX_PASSWORD + 2).rstrip(b"\r\n")
    if len(line) > MAX_PASSWORD:
        raise click.UsageError(f"the first line of the password file has more than {MAX_PASSWORD} bytes")
    return line.decode("utf-8", "surrogateescape")


def _host(place: str) -> str:
    return place.rpartition(":")[0].strip("[]")


def of_netrc(username: str, host: str) -> str | None:
    """The password in the file that NETRC names, or in ~/.netrc; None when it says nothing of them.

    Raises:
        click.UsageError: it is broken, or others may read it.
    """
    import netrc

    path = os.environ.get("NETRC") or os.path.expanduser("~/.netrc")
    try:
        mode = os.stat(path).st_mode
        entries = netrc.netrc(path)
    except FileNotFoundError:
        return None
    except (OSError, netrc.NetrcParseError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path}: {getattr(error, 'strerror', None) or error}") from error
    found = entries.authenticators(host)
    if found is None or not found[2] or found[0] not in {username, ""}:
        return None
    if stat.S_IMODE(mode) & 0o077:
        raise click.UsageError(
            f"{path}: others may read it, so that it is no place for passwords: chmod 600 {path}"
        )
    return found[2]


def _of_keyring(username: str, place: str) -> str | None:
    """What the keyring holds under ``xfer://PLACE``; None without the extra, or when it cannot be asked."""
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return None
    try:
        return keyring.get_password(f"xfer://{place}", username)
    except (KeyringError, OSError, RuntimeError):
        return None


def _is_somebody_there() -> bool:
    """Whether there is a terminal to ask at; standard input may be what is sent."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
