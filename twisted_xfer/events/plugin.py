"""The listener plugins that come with the daemon: ``json`` and ``xferlog``."""

from __future__ import annotations

from typing import Any, Final

import attrs
from zope.interface import implementer

from twisted_xfer.events.json_lines import JsonLines
from twisted_xfer.events.line_file import LineFile
from twisted_xfer.events.xferlog import XferLog
from twisted_xfer.interfaces import API_VERSION, IHost, IListenerPlugin
from twisted_xfer.interfaces.eventtypes import CATALOGUE


def _known(_options: object, _attribute: object, ids: tuple[str, ...]) -> None:
    unknown = [event_id for event_id in ids if event_id not in CATALOGUE]
    if unknown:
        raise ValueError(f"there is no event {unknown[0]!r}; there are: {', '.join(CATALOGUE)}")


@attrs.frozen
class JsonOptions:
    """``path`` of the file, ``-`` for standard output; ``only`` these event ids, all if empty."""

    path: str = attrs.field(default="-", validator=attrs.validators.min_len(1))
    only: tuple[str, ...] = attrs.field(default=(), validator=_known)


@attrs.frozen
class XferLogOptions:
    """``path`` of the file, ``-`` for standard output."""

    path: str = attrs.field(default="-", validator=attrs.validators.min_len(1))


@implementer(IListenerPlugin)
class JsonPlugin:
    """Events as lines of JSON."""

    name = "json"
    api_version = API_VERSION
    options: type[attrs.AttrsInstance] = JsonOptions

    def describe(self) -> str:
        """See IXferPlugin."""
        return "Every event as one line of JSON."

    def open(self, options: Any, host: IHost) -> JsonLines:
        """See IListenerPlugin. Raises OSError when the file cannot be opened."""
        return JsonLines(LineFile(options.path), frozenset(options.only))


@implementer(IListenerPlugin)
class XferLogPlugin:
    """Transfers in the format of xferlog(5)."""

    name = "xferlog"
    api_version = API_VERSION
    options: type[attrs.AttrsInstance] = XferLogOptions

    def describe(self) -> str:
        """See IXferPlugin."""
        return "Transfers in the xferlog(5) format of wu-ftpd."

    def open(self, options: Any, host: IHost) -> XferLog:
        """See IListenerPlugin. Raises OSError when the file cannot be opened."""
        return XferLog(LineFile(options.path))


json: Final = JsonPlugin()
xferlog: Final = XferLogPlugin()
