"""What people and scripts see of a transfer: a bar, plain lines, or JSON lines."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any, Final

from twisted_xfer.cli.output import OutputLost, result, say
from twisted_xfer.cli.words import code_text, error_text
from twisted_xfer.protocols.xfer.report import Summary, TransferEvent
from twisted_xfer.protocols.xfer.wire.paths import printable

#: A file that takes long gets a line for each so many bytes where there is no bar.
LINE_EVERY: Final = 256 * 1024 * 1024


def size_text(size: int) -> str:
    """A size for people: 40.0 MB."""
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def _is_watched() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _knows_its_width() -> bool:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns > 0
    except (OSError, ValueError):
        return False


class Progress:
    """Hears the events of one command.

    Args:
        as_json: JSON lines on standard output, nothing else there.
        bar: a bar on standard error; None asks whether that is a terminal.
        dry_run: whether it only asks.
        words: an error for people.
        directory: where it is stored, if that is here: final paths are below it then.
    """

    def __init__(
        self,
        *,
        as_json: bool = False,
        bar: bool | None = None,
        dry_run: bool = False,
        words: Callable[[Exception | None], str] = error_text,
        directory: str = "",
    ) -> None:
        self._here = os.fsencode(os.path.join(os.path.normpath(directory), "")) if directory else b""
        self._words = words
        self._json = as_json
        self._dry = dry_run
        self._wanted = not as_json and (_is_watched() if bar is None else bar)
        self._bar: Any = None
        self._over = self._known = False
        #: Bytes of the whole that are not to be moved: there already, or gone on behind.
        self._less = 0
        #: Of what moves: how much of it is shown, and its size.
        self._shown: dict[bytes, tuple[int, int]] = {}
        self._named = b""
        self._lost: OutputLost | None = None

    def _show(self) -> None:
        """The bar, from the first byte on: somebody who waits for a sender has nothing to look at."""
        if not self._wanted or self._bar is not None:
            return
        from tqdm import tqdm

        # A terminal that does not know its size says 0, which would leave no room for anything.
        known = _knows_its_width()
        width: dict[str, Any] = {"dynamic_ncols": True} if known else {"ncols": 80, "nrows": 24}
        self._bar = tqdm(unit="B", unit_scale=True, file=sys.stderr, leave=False, total=0, **width)

    def __call__(self, event: TransferEvent) -> None:
        """One event."""
        kind = event.kind
        if kind == "reconnecting" and self._over:
            return
        if self._json:
            self._line(event)
        elif kind == "done":
            if event.type == "file":
                self._done(event)
        elif kind == "failed":
            self._drop(event.path)
            about = f"{printable(event.path)}: " if event.path else ""
            self._say(f"xfer: {about}{error_text(event.error)}")
        elif kind == "reconnecting":
            self._say(f"xfer: {self._words(event.error)}; trying again in {event.seconds:.0f} s")
        elif kind == "would":
            self.result(f"{event.why} {printable(event.path)}{'/' if event.type == 'dir' else ''}")
        elif kind == "skipped" and self._dry:
            self.result(f"skip {printable(event.path)} ({event.why})")
        elif kind == "skipped" and event.type == "file":
            self._spare(event.size or 0)
        elif kind in {"started", "progress"}:
            self._moving(event)

    def result(self, text: str) -> None:
        """A line on standard output: who cannot take it stops no transfer."""
        try:
            result(text)
        except OutputLost as lost:
            self._lost = lost

    def check(self) -> None:
        """When all is over. Raises OutputLost when not all that was said could be."""
        if self._lost is not None:
            raise self._lost

    @property
    def has_bar(self) -> bool:
        """Whether somebody watches a bar."""
        return self._wanted

    def expect(self, size: int) -> None:
        """So many bytes are to come in all, as far as the source says."""
        self._show()
        if self._bar is not None:
            self._known = True
            self._bar.total = max(size - self._less, self._bar.n)

    def _spare(self, size: int) -> None:
        self._less += size
        if self._known and self._bar is not None:
            self._bar.total -= size

    def _drop(self, path: bytes) -> None:
        """What is left of it is not to come."""
        shown, size = self._shown.pop(path, (0, 0))
        rest = max(0, size - shown)
        self._less += rest
        if self._bar is not None:
            self._bar.total -= rest

    def interrupted(self) -> None:
        """Connections that end from now on end by our own doing, and are no news. What is said is said below the bar's line."""
        self._over = True
        self._wanted = False
        self.close()

    def close(self) -> None:
        """Take the bar away."""
        bar, self._bar = self._bar, None
        self._known, self._less, self._named = False, 0, b""
        self._shown.clear()
        if bar is not None:
            bar.close()

    def summary(self, summary: Summary) -> None:
        """The last words."""
        self.close()
        if self._json:
            self.result(
                json.dumps(
                    {
                        "event": "summary",
                        "files": summary.files,
                        "directories": summary.directories,
                        "links": summary.links,
                        "skipped": summary.skipped,
                        "would": summary.would,
                        "failed": summary.failed,
                        "moved": summary.moved,
                        "verified": summary.verified,
                    }
                )
            )
            return
        if self._dry:
            text = f"would store or replace {summary.would}, {size_text(summary.moved)}"
            text += f", skip {summary.skipped}" + (f", refused {summary.failed}" if summary.failed else "")
            say(text + "; nothing was written")
            return
        text = f"{summary.files} file{'' if summary.files == 1 else 's'}, {size_text(summary.verified)}"
        if summary.moved != summary.verified:
            text += f" ({size_text(summary.moved)} moved)"
        if summary.skipped:
            text += f", {summary.skipped} there already"
        if summary.failed:
            text += f", {summary.failed} failed"
        if summary.files == 1 and summary.digest:
            text += f", verified {summary.hash}:{summary.digest.hex()}"
        elif summary.files:
            text += f", all verified by {summary.hash}"
        say(text)

    # --- for people --------------------------------------------------------------------------

    def _say(self, text: str) -> None:
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            say(text)

    def _moving(self, event: TransferEvent) -> None:
        self._show()
        shown, size = self._shown.get(event.path, (-1, event.size or 0))
        at = event.resumed if event.kind == "started" else event.position
        if shown < 0:
            shown = event.resumed if event.kind == "started" else 0
            self._shown[event.path] = shown, size
            if event.resumed:
                self._spare(event.resumed)
            if self._bar is not None:
                self._bar.total += 0 if self._known else size - event.resumed
        if self._bar is not None:
            if event.path != self._named:
                self._named = event.path
                self._bar.set_postfix_str(printable(event.path)[-40:], refresh=False)
            self._bar.update(max(0, at - shown))
            self._shown[event.path] = at, size
        elif at - shown >= LINE_EVERY:
            self._shown[event.path] = at, size
            of = f" of {size_text(event.size)}" if event.size else ""
            say(f"{printable(event.path)}: {size_text(at)}{of}")

    def _done(self, event: TransferEvent) -> None:
        self._show()
        shown, _ = self._shown.pop(event.path, (-1, 0))
        if self._bar is None:
            self.result(printable(self._final(event)))
            return
        if shown < 0:
            self._bar.total += 0 if self._known else event.position
            shown = 0
        self._bar.update(max(0, event.position - shown))
        with self._bar.external_write_mode(file=sys.stdout):
            self.result(printable(self._final(event)))

    def _final(self, event: TransferEvent) -> bytes:
        path = event.stored_as or event.path
        return self._here + path.removeprefix(b"/") if self._here else path

    # --- for scripts -------------------------------------------------------------------------

    def _line(self, event: TransferEvent) -> None:
        line: dict[str, object] = {"event": event.kind}
        if event.path:
            line["path"] = event.path.decode("utf-8", "surrogateescape")
        if event.type != "file":
            line["type"] = event.type
        if event.size is not None:
            line["size"] = event.size
        if event.kind in {"progress", "done"}:
            line["position"] = event.position
        if event.kind in {"started", "done"} and event.resumed:
            line["resumed"] = event.resumed
        if event.why:
            line["why"] = event.why
        if event.digest:
            line["digest"] = f"{event.hash}:{event.digest.hex()}"
        if event.stored_as:
            line["stored_as"] = self._final(event).decode("utf-8", "surrogateescape")
        if event.error is not None:
            line["error"] = code_text(event.error)
        if event.kind == "reconnecting":
            line["seconds"] = event.seconds
        self.result(json.dumps(line))
