"""Diagnostics: twisted.logger observers that write text or JSON lines.

Events (who did what to which file) are another matter: they go to listeners.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
from typing import IO, Any, Final

from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    eventAsText,
    formatEventAsClassicLogText,
    globalLogBeginner,
)
from twisted.python.logfile import LogFile
from zope.interface import implementer

from twisted_xfer.app.config import Log
from twisted_xfer.errors import ConfigError

#: A line of a log is cut here: a traceback fits, what a peer repeats does not.
MAX_LINE: Final = 16_384
#: Where twistd writes when it goes into the background.
DETACHED_FILE: Final = "twistd.log"
#: Whoever reads the log reads what the daemon wrote, not escape sequences that peers sent.
_UNSAFE: Final = {code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), *range(127, 160))}


#: What Twisted says of each port that it opens and closes; the daemon says itself where it listens.
_OF_PORTS: Final = re.compile(r"\S+( \(TLS\))? starting on ('.*'|\d+)|\(\w+ Port \S+ Closed\)")


def _is_noise(event: LogEvent) -> bool:
    return event.get("log_namespace") == "log_legacy" and bool(_OF_PORTS.fullmatch(event.get("log_text", "")))


def text_line(event: LogEvent) -> str | None:
    """``event`` as twistd writes it, tracebacks included; None when there is nothing to say."""
    line = formatEventAsClassicLogText(event)
    return None if line is None else _cut(line.rstrip("\n").translate(_UNSAFE)) + "\n"


def json_line(event: LogEvent) -> str | None:
    """``event`` as one JSON object: time, level, namespace, message."""
    message = eventAsText(event, includeTimestamp=False, includeSystem=False)
    if not message:
        return None
    when = dt.datetime.fromtimestamp(event.get("log_time", 0.0), tz=dt.UTC)
    level = event.get("log_level")
    entry = {
        "time": when.isoformat(timespec="milliseconds"),
        "level": getattr(level, "name", "info"),
        "namespace": str(event.get("log_namespace", "")),
        "message": _cut(message),
    }
    return json.dumps(entry, ensure_ascii=True) + "\n"


def _cut(text: str) -> str:
    return text if len(text) <= MAX_LINE else text[:MAX_LINE] + "..."


_FORMATS: Final = {"text": text_line, "json": json_line}


@implementer(ILogObserver)
class LineObserver:
    """Writes each event as a line to a file that can be reopened after rotation."""

    def __init__(self, log: Log, stream: IO[str]) -> None:
        self._format = _FORMATS[log.format]
        self._path = log.file
        self._stream = stream
        self._owned = False
        if self._path:
            self.reopen()

    def __call__(self, event: LogEvent) -> None:
        """Write ``event``. A full disk or a closed pipe loses the line, not the daemon."""
        line = None if _is_noise(event) else self._format(event)
        if line is None:
            return
        try:
            self._stream.write(line)
            self._stream.flush()
        except (OSError, ValueError):
            return

    def reopen(self) -> None:
        """Open the file anew (logrotate moved the old one); a plain stream stays.

        Raises:
            ConfigError: it cannot be opened; the old one stays in use.
        """
        if not self._path:
            return
        try:
            # Line by line and for appending, so that worker processes may share it.
            stream = open(self._path, "a", encoding="utf-8", errors="backslashreplace", buffering=1)  # noqa: SIM115 - it stays open
        except OSError as error:
            remedy = f"{error.strerror}: give a file that can be written"
            raise ConfigError("log.file", value=self._path, remedy=remedy) from error
        if self._owned:
            self._stream.close()
        self._stream, self._owned = stream, True


def begin(log: Log, *, verbose: bool) -> None:
    """Log to standard error, without twistd: everything, or what somebody should look at.

    Raises:
        ConfigError: the file cannot be opened.
    """
    observer: Any = LineObserver(log, sys.stderr)
    if not verbose:
        serious = LogLevelFilterPredicate(LogLevel.warn)
        observer = FilteringLogObserver(observer, [serious])
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)


class _Chosen:
    """What makeService chose, kept for twistd, which asks for an observer by a name and no argument."""

    def __init__(self) -> None:
        self.observer: Any = None


CHOSEN: Final = _Chosen()
#: How twistd is told of chosen_observer().
CHOSEN_NAME: Final = f"{__name__}.chosen_observer"


def make_observer(log: Log, *, detached: bool) -> LineObserver:
    """The observer for ``log``; without a file it writes to standard output, detached to twistd.log.

    Raises:
        ConfigError: the file cannot be opened.
    """
    open_log: Any = LogFile.fromFullPath
    stream: Any = open_log(DETACHED_FILE) if detached and not log.file else sys.stdout
    return LineObserver(log, stream)


def chosen_observer() -> Any:
    """The observer that makeService made."""
    if CHOSEN.observer is None:
        CHOSEN.observer = make_observer(Log(), detached=False)
    return CHOSEN.observer
