"""SASLprep (RFC 4013): names and passwords that look the same become the same bytes."""

from __future__ import annotations

import stringprep as tables
from typing import Final
from unicodedata import ucd_3_2_0 as unicode

#: RFC 4013 section 2.3, and the unassigned code points of Unicode 3.2 (section 2.5).
_PROHIBITED: Final = (
    tables.in_table_c12,
    tables.in_table_c21_c22,
    tables.in_table_c3,
    tables.in_table_c4,
    tables.in_table_c5,
    tables.in_table_c6,
    tables.in_table_c7,
    tables.in_table_c8,
    tables.in_table_c9,
    tables.in_table_a1,
)


def saslprep(text: str) -> str:
    """``text`` as a stored string of RFC 4013; linear in its length.

    Raises:
        ValueError: characters that it prohibits, or a mixture of directions.
    """
    mapped = "".join(
        " " if tables.in_table_c12(character) else character
        for character in text
        if not tables.in_table_b1(character)
    )
    normal: str = unicode.normalize("NFKC", mapped)
    if any(check(character) for character in normal for check in _PROHIBITED):
        raise ValueError("a character that RFC 4013 prohibits")
    if any(map(tables.in_table_d1, normal)) and not (
        tables.in_table_d1(normal[0])
        and tables.in_table_d1(normal[-1])
        and not any(map(tables.in_table_d2, normal))
    ):
        raise ValueError("a mixture of directions that RFC 3454 prohibits")
    return normal


def prepared_password(password: str) -> bytes:
    """A password as both ends put it into SCRAM: prepared, or as it is where that cannot be.

    The second is for emoji and the like, which are younger than the tables of RFC 4013; PostgreSQL
    does the same.

    Raises:
        UnicodeEncodeError: it is no text, but bytes in disguise.
    """
    try:
        return saslprep(password).encode("utf-8")
    except ValueError:
        return password.encode("utf-8")
