"""The protocol plugin ``fetch``: what the daemon asks for, and nothing else."""

from __future__ import annotations

from typing import Any, Final, Literal

import attrs
from zope.interface import implementer

from twisted_xfer.interfaces import API_VERSION, IHost, IProtocolPlugin
from twisted_xfer.protocols.fetch.server import make_factory
from twisted_xfer.streams import ServedFactory


@attrs.frozen
class FetchOptions:
    """What the configuration may say.

    ``account`` is whose files are served, from ``fetch@ACCOUNT=``, and ``directory`` below which of
    its places. ``md5`` sends the digest after the file, as the second version of the scripts has it.
    ``idle`` closes a connection on which nothing moved for so many seconds (0: never).
    """

    account: str = ""
    directory: str = "/"
    md5: bool = True
    idle: float = attrs.field(default=120.0, validator=attrs.validators.ge(0))


@implementer(IProtocolPlugin)
class FetchPlugin:
    """The server of the get and get+md5 tutorial."""

    name = "fetch"
    api_version = API_VERSION
    needs_account = True
    options: type[attrs.AttrsInstance] = FetchOptions

    def describe(self) -> str:
        """See IXferPlugin."""
        return "Gives files to tutorial clients: get NAME, size, file, MD5."

    def stream_factory(self, options: Any, host: IHost) -> ServedFactory:
        """See IProtocolPlugin."""
        return make_factory(host, options.idle, options.account, options.directory, options.md5)

    def datagram(self, options: object, host: IHost) -> None:
        """See IProtocolPlugin. There is no such thing."""

    def sniff(self, prefix: bytes) -> Literal["yes", "no", "more"]:
        """See IProtocolPlugin: ``get `` in small letters, which HTTP is not."""
        if prefix[:4] == b"get ":
            return "yes"
        return "more" if b"get ".startswith(prefix) else "no"


fetch: Final = FetchPlugin()
