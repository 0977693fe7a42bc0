"""What send, get, ls and rm are asked in common: where the password is, and whom to trust."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any, Final, TypeVar

import attrs
import click

from twisted_xfer.cli.proofs import MAX_PEM, Proofs, proof_options
from twisted_xfer.values import Value

if TYPE_CHECKING:
    from twisted_xfer.protocols.xfer.caller import Login, Target

F = TypeVar("F", bound=Callable[..., Any])
#: What Python calls it, and so does click's ``-``.
_STDIN: Final = "<stdin>"


def login_options(command: F) -> F:
    """The options of every command that calls somebody."""
    for option in reversed(
        (
            click.option("--user", default="", help="Account; also as USER@ in the URL."),
            click.option("--password-file", type=click.File("rb"), help="First line; - is standard input."),
            click.option("--code", default="", help="The pairing code that `xfer receive` shows."),
            click.option("--plain", is_flag=True, help="No TLS: whoever is on the way can read it all."),
            click.option("--ca", type=click.File("r"), help="PEM file of authorities to trust."),
            click.option("--accept-new", is_flag=True, help="Trust a key that was never met, and keep it."),
            click.option("--json", "as_json", is_flag=True, help="One JSON object a line."),
        )
    ):
        command = option(command)
    return proof_options(command)


def _is_known(place: str, digest: str) -> bool:
    """Whether that key was met there before."""
    from twisted_xfer.cli.trust import KnownKeys

    return KnownKeys().trusts(place, digest)


@attrs.frozen(eq=False, repr=False)
class Asked(Value):
    """What those options were."""

    user: str
    password_file: IO[bytes] | None
    code: str
    plain: bool
    ca: IO[str] | None
    accept_new: bool
    proofs: Proofs = attrs.field(factory=Proofs.given)

    def login(self, target: Target) -> Login:
        """How to log in there; asks for a password if one is needed."""
        from twisted_xfer.protocols.xfer.caller import Login

        username = self.user or target.username
        certificate, key = self.proofs.certificate()
        # What was asked for in so many words comes before what the environment has.
        explicit = certificate or self.password_file or self.plain
        token = "" if self.code else self.proofs.token(environment=not explicit)
        if self.plain and (token or certificate):
            raise click.UsageError("a token or a certificate needs TLS: leave --plain out")
        password = ""
        asked_for = self.password_file is not None or "XFER_PASSWORD" in os.environ
        if username and not self.code and not token and (asked_for or not certificate):
            password = self.password_of(username, target.place)
        for what, text in (("user", username), ("password", password)):
            try:
                text.encode("utf-8")
            except UnicodeEncodeError:
                raise click.UsageError(f"the {what} is no UTF-8, which xfer:// needs") from None
        return Login(
            username=username,
            password=password,
            code=self.code,
            token=token,
            certificate=certificate,
            key=key,
            plain=self.plain,
            ca=self.authorities(),
            trust=_is_known,
        )

    @property
    def reads_stdin(self) -> bool:
        """Whether one of its files is standard input."""
        files = (self.password_file, self.ca, self.proofs.token_file, self.proofs.cert, self.proofs.key)
        return any(getattr(file, "name", "") == _STDIN for file in files)

    def authorities(self) -> str:
        """The PEM text of ``--ca``. Raises click.UsageError when there is no certificate in it."""
        text = self.ca.read(MAX_PEM) if self.ca is not None else ""
        if self.ca is not None and "-----BEGIN CERTIFICATE-----" not in text:
            raise click.UsageError(f"{self.ca.name}: there is no certificate in it")
        return text

    def password_of(self, username: str, place: str) -> str:
        """The password, from wherever there is one."""
        from twisted_xfer.cli.passwords import password_of

        return password_of(username, place, self.password_file)
