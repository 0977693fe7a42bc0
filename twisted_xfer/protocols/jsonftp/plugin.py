"""The protocol plugin ``jsonftp``: what the daemon asks for, and nothing else."""

from __future__ import annotations

from typing import Any, Final, Literal

import attrs
from zope.interface import implementer

from twisted_xfer.interfaces import API_VERSION, IHost, IProtocolPlugin
from twisted_xfer.protocols.jsonftp.server import make_factory
from twisted_xfer.protocols.jsonftp.wire import DialectName
from twisted_xfer.streams import ServedFactory

_BEGINS: Final = b'{"action"'


@attrs.frozen
class JSONFTPOptions:
    """What the configuration may say.

    ``dialect`` is ``article``, or ``wide`` for codes that the article does not have. ``idle``
    closes a connection on which nothing moved for so many seconds (0: never).
    """

    dialect: DialectName = "article"
    idle: float = attrs.field(default=300.0, validator=attrs.validators.ge(0))


@implementer(IProtocolPlugin)
class JSONFTPPlugin:
    """The server of the JSON "FTP" tutorial."""

    name = "jsonftp"
    api_version = API_VERSION
    needs_account = False
    options: type[attrs.AttrsInstance] = JSONFTPOptions

    def describe(self) -> str:
        """See IXferPlugin."""
        return "The FTP of a socketserver tutorial: JSON commands with status codes."

    def stream_factory(self, options: Any, host: IHost) -> ServedFactory:
        """See IProtocolPlugin."""
        return make_factory(host, options.idle, options.dialect)

    def datagram(self, options: object, host: IHost) -> None:
        """See IProtocolPlugin. There is no such thing."""

    def sniff(self, prefix: bytes) -> Literal["yes", "no", "more"]:
        """See IProtocolPlugin. Other protocols begin with the same object: only the first action tells."""
        if prefix.startswith(_BEGINS):
            said = prefix[len(_BEGINS) :].replace(b" ", b"")[:7]
            return "yes" if said == b':"auth"' else "more" if b':"auth"'.startswith(said) else "no"
        return "more" if _BEGINS.startswith(prefix) else "no"


jsonftp: Final = JSONFTPPlugin()
