"""A listener that keeps one line for each transfer: who, what, how many bytes."""

from pathlib import Path

import attrs
from zope.interface import implementer

from twisted_xfer.interfaces import API_VERSION, Event, IEventListener, IHoldsFile, IHost, IListenerPlugin

SIGNS = {"upload.complete": "+", "download.complete": "-"}


@attrs.frozen
class TallyOptions:
    """``path``: the file that lines are appended to."""

    path: str = "/dev/null"


@implementer(IEventListener, IHoldsFile)
class Tally:
    """Hears everything, and writes down what it has a sign for."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._file = self._path.open("ab")

    def on_event(self, event: Event) -> None:
        """One line. The path came from a peer: as bytes, and escaped."""
        sign = SIGNS.get(event.id)
        if sign is not None:
            path = event.fields["path"].decode("utf-8", "backslashreplace")
            line = f"{event.username!r} {sign}{event.fields['bytes']} {path!r}\n"
            self._file.write(line.encode("utf-8", "backslashreplace"))
            self._file.flush()

    def reopen(self) -> None:
        """Somebody has moved the file away."""
        self.close()
        self._file = self._path.open("ab")

    def close(self) -> None:
        """May be called twice."""
        self._file.close()


@implementer(IListenerPlugin)
class TallyPlugin:
    """What the daemon sees."""

    name = "tally"
    api_version = API_VERSION
    options = TallyOptions

    def describe(self) -> str:
        return "one line for each transfer"

    def open(self, options: TallyOptions, host: IHost) -> Tally:
        return Tally(options.path)


plugin = TallyPlugin()
