"""The protocol plugin ``push``: what the daemon asks for, and nothing else."""

from __future__ import annotations

from typing import Any, Final, Literal

import attrs
from zope.interface import implementer

from twisted_xfer.interfaces import API_VERSION, IHost, IProtocolPlugin
from twisted_xfer.protocols.push.server import IfExists, make_factory
from twisted_xfer.protocols.push.wire import MAX_HEADER, SEPARATOR
from twisted_xfer.streams import ServedFactory


@attrs.frozen
class PushOptions:
    """What the configuration may say.

    ``account`` is who files belong to, from ``push@ACCOUNT=``; ``directory`` is where in its home
    they go, ``if_exists`` what happens to a name that is taken. ``idle`` closes a connection on
    which nothing came for so many seconds (0: never).
    """

    account: str = ""
    directory: str = "/"
    if_exists: IfExists = "rename"
    idle: float = attrs.field(default=120.0, validator=attrs.validators.ge(0))


@implementer(IProtocolPlugin)
class PushPlugin:
    """The receiver of the sender.py and receiver.py tutorial."""

    name = "push"
    api_version = API_VERSION
    needs_account = True
    options: type[attrs.AttrsInstance] = PushOptions

    def describe(self) -> str:
        """See IXferPlugin."""
        return "Takes files from sender.py scripts: NAME<SEPARATOR>SIZE, then the bytes."

    def stream_factory(self, options: Any, host: IHost) -> ServedFactory:
        """See IProtocolPlugin."""
        return make_factory(host, options.idle, options.account, options.directory, options.if_exists)

    def datagram(self, options: object, host: IHost) -> None:
        """See IProtocolPlugin. There is no such thing."""

    def sniff(self, prefix: bytes) -> Literal["yes", "no", "more"]:
        """See IProtocolPlugin: text, the separator, a digit."""
        at = prefix.find(SEPARATOR)
        text = prefix if at < 0 else prefix[:at]
        if len(text) > MAX_HEADER or any(byte < 0x20 for byte in text):
            return "no"
        after = b"" if at < 0 else prefix[at + len(SEPARATOR) :]
        if not after:
            return "more"
        return "yes" if after[:1].isdigit() else "no"


push: Final = PushPlugin()
