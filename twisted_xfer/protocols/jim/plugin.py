"""The protocol plugin ``jim``: what the daemon asks for, and nothing else."""

from __future__ import annotations

from typing import Any, Final, Literal

import attrs
from zope.interface import implementer

from twisted_xfer.interfaces import API_VERSION, IHost, IProtocolPlugin
from twisted_xfer.protocols.jim.server import make_factory
from twisted_xfer.streams import ServedFactory

#: An object that begins as one of ours does so within this, with blanks where Python writes them.
SNIFFED: Final = 64


@attrs.frozen
class JIMOptions:
    """What the configuration may say.

    ``guests`` lets people take a name by presence, without a password. ``probe`` asks members for
    their presence every so many seconds (0: never), ``idle`` closes a connection from which nothing
    came for so many (0: never).
    """

    guests: bool = False
    probe: float = attrs.field(default=120.0, validator=attrs.validators.ge(0))
    idle: float = attrs.field(default=300.0, validator=attrs.validators.ge(0))


@implementer(IProtocolPlugin)
class JIMPlugin:
    """The chat of the JIM course."""

    name = "jim"
    api_version = API_VERSION
    needs_account = False
    options: type[attrs.AttrsInstance] = JIMOptions

    def describe(self) -> str:
        """See IXferPlugin."""
        return "JSON instant messaging: users, rooms and contacts."

    def stream_factory(self, options: Any, host: IHost) -> ServedFactory:
        """See IProtocolPlugin."""
        return make_factory(host, options)

    def datagram(self, options: object, host: IHost) -> None:
        """See IProtocolPlugin. There is no such thing."""

    def sniff(self, prefix: bytes) -> Literal["yes", "no", "more"]:
        """See IProtocolPlugin: an object that begins with an action that only JIM has first."""
        text = prefix[:SNIFFED].replace(b" ", b"").replace(b"'", b'"')
        for begin in (b'{"action":"presence"', b'{"action":"authenticate"'):
            if text.startswith(begin):
                return "yes"
            if len(prefix) < SNIFFED and begin.startswith(text):
                return "more"
        return "no"


jim: Final = JIMPlugin()
