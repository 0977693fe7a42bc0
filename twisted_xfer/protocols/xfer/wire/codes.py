"""Error codes: the number on the wire for each stable name."""

from __future__ import annotations

from typing import Final

PROTOCOL: Final = 100
UNSUPPORTED: Final = 102
AUTHENTICATION: Final = 200

#: Name to number. The hundreds: protocol, authentication, policy, storage, integrity, transient.
CODES: Final[dict[str, int]] = {
    "protocol": PROTOCOL,
    "unsupported": UNSUPPORTED,
    "login_failed": AUTHENTICATION,
    "login_refused": 201,
    "tls_required": 202,
    "banned": 203,
    "channel_binding": 204,
    "exists": 300,
    "quota": 301,
    "too_big": 302,
    "forbidden_path": 303,
    "right_missing": 304,
    "name_invalid": 305,
    "vetoed": 306,
    "not_found": 307,
    "not_a_directory": 308,
    "is_a_directory": 309,
    "not_a_file": 310,
    "not_empty": 311,
    "refused": 312,
    "io": 400,
    "no_space": 401,
    "read_only": 402,
    "permission_denied": 403,
    "digest_mismatch": 500,
    "source_changed": 501,
    "prefix_mismatch": 502,
    "truncated": 503,
    "busy": 600,
    "timeout": 601,
    "shutting_down": 602,
    "limit_reached": 603,
    "aborted": 604,
}
TRANSIENT: Final = range(600, 700)
#: For what has no name here.
OTHER: Final = ("io", CODES["io"])


def code_of(name: str) -> tuple[str, int]:
    """The name and number to send for an error named ``name``."""
    number = CODES.get(name)
    return OTHER if number is None else (name, number)
