"""``--limit-rate``: so many bytes a second, as people write them."""

from __future__ import annotations

import re
from typing import Final

import click

_UNITS: Final = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3}
_RATE: Final = re.compile(r"(\d{1,12})([kmg]?)\Z", re.IGNORECASE)


def rate(text: str) -> int:
    """Bytes a second, out of a number with k, M or G behind it for thousands. Raises click.BadParameter."""
    match = _RATE.match(text)
    found = int(match[1]) * _UNITS[match[2].lower()] if match else 0
    if not found:
        raise click.BadParameter(f"{text!r}: write bytes a second, such as 500k or 2M")
    return found
