"""``xfer://user@host:port/dir/#sha256=...``: places, as people write them."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, unquote_to_bytes, urlsplit

import click

if TYPE_CHECKING:
    from twisted_xfer.protocols.xfer.caller import Target

DEFAULT_PORT: Final = 5001
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_PIN: Final = re.compile(r"sha256=([0-9a-fA-F]{64})\Z")


def parse_target(url: str) -> Target:
    """The place that ``url`` names; without a scheme it is xfer's.

    Raises:
        click.UsageError: another scheme, a password in it, or something that is no place.
    """
    from twisted_xfer.errors import RemoteProtocolError
    from twisted_xfer.protocols.xfer.caller import Target
    from twisted_xfer.protocols.xfer.wire.paths import split_path

    if _CONTROL.search(url):
        # urlsplit would leave some of them out, and so name something else.
        raise click.UsageError(f"{url!r}: no control characters")
    try:
        split = urlsplit(url if "://" in url else f"xfer://{url}")
        port = split.port if split.port is not None else DEFAULT_PORT
        host = split.hostname or ""
    except ValueError as error:
        raise click.UsageError(f"{url}: {error}") from error
    if split.scheme != "xfer":
        raise click.UsageError(f"{split.scheme}: is not a scheme of this command; use xfer://")
    if not host:
        raise click.UsageError(f"{url}: no host; write xfer://HOST:PORT/DIR/")
    if split.password is not None:
        raise click.UsageError(
            "no password in the URL, which everybody on this machine can read: use XFER_PASSWORD, "
            "--password-file, or wait to be asked"
        )
    if split.query:
        raise click.UsageError(f"{url}: write ? in a name as %3F")
    pin = _PIN.match(split.fragment) if split.fragment else None
    if split.fragment and pin is None:
        raise click.UsageError(f"{url}: after # only sha256= and 64 hexadecimal digits")
    path = unquote_to_bytes(os.fsencode(split.path)).strip(b"/")
    try:
        split_path(path, root=True)
    except RemoteProtocolError as error:
        raise click.UsageError(f"{url}: {error.detail}") from error
    return Target(host, port, path, unquote(split.username or ""), pin[1].lower() if pin else "")
