"""What a caller has instead of a password: a token, or a certificate of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import IO, Any, Final, TypeVar

import attrs
import click

from twisted_xfer.values import Value

F = TypeVar("F", bound=Callable[..., Any])
#: Tokens are shorter, certificates with their chains too.
MAX_TOKEN_LINE: Final = 1024
MAX_PEM: Final = 1024 * 1024
_META: Final = "twisted_xfer.proofs"


def _keep(context: click.Context, option: click.Parameter, value: Any) -> Any:
    context.meta.setdefault(_META, {})[option.name] = value
    return value


def proof_options(command: F) -> F:
    """``--token-file``, ``--cert`` and ``--key``: kept for Proofs.given, as every command hands them on unseen."""
    for name, mode, text in (
        ("--key", "r", "PEM file of its key, if that is not in the same file."),
        ("--cert", "r", "PEM file of our own certificate: logs in without a password."),
        ("--token-file", "rb", "Its first line is a token; also XFER_TOKEN."),
    ):
        option = click.option(name, type=click.File(mode), expose_value=False, callback=_keep, help=text)
        command = option(command)
    return command


@attrs.frozen(eq=False, repr=False)
class Proofs(Value):
    """What those options were."""

    token_file: IO[bytes] | None = None
    cert: IO[str] | None = None
    key: IO[str] | None = None

    @classmethod
    def given(cls) -> Proofs:
        """To the command that runs now."""
        context = click.get_current_context(silent=True)
        return cls(**context.meta.get(_META, {})) if context is not None else cls()

    def token(self, *, environment: bool) -> str:
        """The token, or empty; ``environment``: XFER_TOKEN counts too."""
        if self.token_file is not None:
            line = self.token_file.readline(MAX_TOKEN_LINE).strip()
            return line.decode("ascii", "replace")
        return os.environ.get("XFER_TOKEN", "").strip() if environment else ""

    def certificate(self) -> tuple[str, str]:
        """Texts of the certificate and its key, or empty ones."""
        if self.key is not None and self.cert is None:
            raise click.UsageError("--key is for --cert")
        return (
            self.cert.read(MAX_PEM) if self.cert is not None else "",
            self.key.read(MAX_PEM) if self.key is not None else "",
        )
