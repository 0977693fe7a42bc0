"""A listener that may refuse: uploads whose names end in what nobody wants."""

import attrs
from zope.interface import implementer

from twisted_xfer.errors import Vetoed
from twisted_xfer.interfaces import API_VERSION, Event, IHost, IListenerPlugin, IVetoListener


@attrs.frozen
class SuffixesOptions:
    """``refused``: suffixes, in lower case."""

    refused: tuple[str, ...] = (".exe", ".scr")


@implementer(IVetoListener)
class Suffixes:
    """Asked before an upload appears under its name."""

    def __init__(self, refused: tuple[str, ...]) -> None:
        self._refused = tuple(suffix.encode() for suffix in refused)

    def on_event(self, event: Event) -> None:
        """What has happened is of no interest here."""

    def before(self, event: Event) -> None:
        """Refuse by raising Vetoed. A coroutine or a Deferred may take its time."""
        if event.fields["path"].lower().endswith(self._refused):
            raise Vetoed(event.fields["path"], "files of this kind are not taken")


@implementer(IListenerPlugin)
class SuffixesPlugin:
    """What the daemon sees: a veto listener is a listener."""

    name = "suffixes"
    api_version = API_VERSION
    options = SuffixesOptions

    def describe(self) -> str:
        return "refuses uploads by the suffix of their names"

    def open(self, options: SuffixesOptions, host: IHost) -> Suffixes:
        return Suffixes(options.refused)


plugin = SuffixesPlugin()
