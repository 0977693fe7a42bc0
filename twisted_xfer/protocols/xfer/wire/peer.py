"""The sender's and the receiver's books: which entries are open, and what may happen to each.

Pure: content is counted, never hashed or stored, here.
"""

from __future__ import annotations

from typing import Final

import attrs

from twisted_xfer.errors import LocalProtocolError, RemoteProtocolError
from twisted_xfer.protocols.xfer.wire.frames import MAX_INLINE, Data, Inline, Packed, numbered
from twisted_xfer.protocols.xfer.wire.message import Message
from twisted_xfer.protocols.xfer.wire.messages import (
    Abort,
    Ack,
    Done,
    End,
    EndOfOffer,
    Entry,
    Error,
    Files,
    Hole,
    Refuse,
    Restart,
    Segment,
    Skip,
    Stored,
    Take,
)
from twisted_xfer.protocols.xfer.wire.states import ENTRY, Act, EntryState
from twisted_xfer.protocols.xfer.wire.together import check_files, entry_of

_ANSWERS: dict[type[Message], Act] = {
    Take: Act.TAKE,
    Skip: Act.SKIP,
    Refuse: Act.REFUSE,
    Error: Act.FAIL,
    Done: Act.DONE,
}


_SENT: dict[type[Message | Data | Inline | Packed], Act] = {
    Data: Act.DATA,
    Packed: Act.DATA,
    Hole: Act.HOLE,
    Inline: Act.INLINE,
    Restart: Act.RESTART,
    Segment: Act.SEGMENT,
    End: Act.END,
    Abort: Act.ABORT,
}
#: Members looked up in their enumeration cost five times as much, and these are for each entry.
_OFFERED: Final = EntryState.OFFERED
_INLINED: Final = EntryState.INLINED
_CLOSED: Final = EntryState.CLOSED
#: Of an entry behind which its content was sent.
_WHOLE: Final = ENTRY.after(EntryState.INLINED, Act.INLINE)


@attrs.define
class Open:
    """An entry that is not closed. ``position``: content bytes counted so far, prefix included."""

    entry: Entry
    state: EntryState
    position: int = 0


class _Books:
    """What both roles have in common: open entries by number, at most ``window`` of them."""

    __slots__ = ("_last", "ended", "open", "window")

    def __init__(self, window: int) -> None:
        self.window = window
        self.open: dict[int, Open] = {}
        self.ended = False
        self._last = 0

    @property
    def finished(self) -> bool:
        """The offer is over and every entry is closed."""
        return self.ended and not self.open

    def _begin(self, entry: Entry) -> None:
        self._last = entry.stream
        self.open[entry.stream] = Open(entry, _INLINED if entry.inline else _OFFERED)

    def single(self, files: Files, begin: int = 0) -> list[Entry]:
        """Count ``files`` one by one from now on, from number ``begin`` of them on; what each is as an entry."""
        entries = [entry_of(files, index) for index in range(begin, len(files.names))]
        for entry in entries:
            self.open[entry.stream] = Open(entry, _WHOLE)
        return entries

    def _act(self, stream: int, act: Act) -> Open:
        one = self.open[stream]
        one.state = state = ENTRY.after(one.state, act)
        if state is _CLOSED:
            del self.open[stream]
        return one


def check_entry(entry: Entry) -> None:
    """What the fields of an offer must be together.

    Raises:
        RemoteProtocolError: a directory with a size, a link without a target, INLINE without a digest...
    """
    file = entry.type == "file"
    if not entry.stream:
        raise RemoteProtocolError(detail="an entry without a number")
    if not file and (entry.size is not None or entry.inline):
        raise RemoteProtocolError(detail="content of what is no file")
    if (entry.type == "symlink") != (entry.target is not None):
        raise RemoteProtocolError(detail="a target belongs to a symlink")
    if entry.inline and (entry.size is None or entry.digest is None):
        raise RemoteProtocolError(detail="INLINE needs size and digest")
    if entry.inline and entry.dry_run:
        raise RemoteProtocolError(detail="content of what is only asked about")


class Receiver(_Books):
    """The side that stores: checks what the sender does, keeps count of what was answered."""

    __slots__ = ("_moving", "awaited")

    def __init__(self, window: int) -> None:
        super().__init__(window)
        self._moving = 0
        #: Whose content is next. Nobody counts them after that: they are answered at once, or are ``single``.
        self.awaited: Files | None = None

    def received(self, event: Message | Data | Inline | Packed) -> Open | None:
        """Take one event of the sender; the entry it is about, if any.

        Raises:
            RemoteProtocolError: it is not allowed now; nothing was changed by it.
        """
        if self.awaited is not None:
            self._content_of_files(self.awaited, event)
            return None
        if isinstance(event, Files):
            self._offered_files(event)
            return None
        if isinstance(event, Entry):
            return self._offered(event)
        if isinstance(event, EndOfOffer):
            if self.ended:
                raise RemoteProtocolError(detail="the offer is over")
            self.ended = True
            return None
        if event.stream not in self.open:
            raise RemoteProtocolError(detail="no such entry", stream=event.stream)
        one = self.open[event.stream]
        if isinstance(event, Inline):
            if len(event.data) != one.entry.size:
                raise RemoteProtocolError(detail="INLINE is not of the size announced")
            return self._act(event.stream, Act.INLINE)
        if isinstance(event, Data):
            return self._content(one, len(event.data), Act.DATA)
        if isinstance(event, Packed) and one.entry.inline:
            if event.size != one.entry.size or event.size > MAX_INLINE:
                raise RemoteProtocolError(detail="INLINE is not of the size announced, or too large")
            return self._act(event.stream, Act.INLINE)
        if isinstance(event, Packed):
            return self._content(one, event.size, Act.DATA)
        if isinstance(event, Hole):
            if one.entry.size is None:
                raise RemoteProtocolError(detail="a hole in what has no size")
            return self._content(one, event.size, Act.HOLE)
        if isinstance(event, Segment):
            if one.state is not EntryState.FAILED and event.offset != one.position:
                raise RemoteProtocolError(detail="SEGMENT elsewhere", at=one.position)
            return self._act(event.stream, Act.SEGMENT)
        if isinstance(event, Restart):
            self._act(event.stream, Act.RESTART)
            one.position = 0
            return one
        if isinstance(event, End):
            if one.state is not EntryState.FAILED and not event.changed and event.size != one.position:
                raise RemoteProtocolError(detail="END with another size", at=one.position)
            self._moving = 0
            return self._act(event.stream, Act.END)
        if isinstance(event, Abort):
            self._moving = 0
            return self._act(event.stream, Act.ABORT)
        raise RemoteProtocolError(detail="not for a sender to say", event=event.TYPE.name)

    def _may_come(self, stream: int, count: int) -> None:
        if self.ended:
            raise RemoteProtocolError(detail="the offer is over")
        if stream <= self._last:
            raise RemoteProtocolError(detail="entries are numbered upwards")
        if len(self.open) + count > self.window:
            raise RemoteProtocolError(detail="more entries than the window", limit=self.window)

    def _offered(self, entry: Entry) -> Open:
        check_entry(entry)
        self._may_come(entry.stream, 1)
        self._begin(entry)
        return self.open[entry.stream]

    def _offered_files(self, files: Files) -> None:
        check_files(files)
        count = len(files.names)
        self._may_come(files.stream, count)
        self._last = files.stream + count - 1
        self.awaited = files

    def _content_of_files(self, files: Files, event: Message | Data | Inline | Packed) -> None:
        if not isinstance(event, Inline) or event.stream != files.stream:
            raise RemoteProtocolError(detail="FILES without their content")
        if len(event.data) != sum(files.sizes):
            raise RemoteProtocolError(detail="INLINE is not of the size announced")
        self.awaited = None

    def _content(self, one: Open, count: int, act: Act) -> Open:
        stream = one.entry.stream
        if self._moving not in {0, stream}:
            raise RemoteProtocolError(detail="DATA of two entries at once")
        size = one.entry.size
        after = one.position + count
        if size is not None and after > size and one.state is not EntryState.FAILED:
            raise RemoteProtocolError(detail="more than was announced", limit=size)
        self._act(stream, act)
        self._moving = stream
        one.position = after
        return one

    def answer(self, message: Message) -> None:
        """Keep count of an answer that is about to be sent.

        Raises:
            LocalProtocolError: the entry is closed. RemoteProtocolError: the table forbids it.
        """
        act = _ANSWERS.get(type(message))
        if act is None or message.stream not in self.open:
            raise LocalProtocolError(None, "no such answer now")
        one = self._act(message.stream, act)
        if isinstance(message, Take):
            one.position = message.offset


class Sender(_Books):
    """The side that offers: keeps count of what it sends, checks what the receiver answers."""

    __slots__ = ("_held", "files")

    def __init__(self, window: int) -> None:
        super().__init__(window)
        #: Sent together, by their first number, and not answered yet.
        self.files: dict[int, Files] = {}
        self._held = 0

    @property
    def room(self) -> int:
        """How many more entries the window has room for."""
        return 0 if self.ended else self.window - len(self.open) - self._held

    @property
    def finished(self) -> bool:
        """The offer is over and every entry is closed."""
        return super().finished and not self.files

    def next_number(self) -> int:
        """The number for the next entry. Raises LocalProtocolError when they are used up."""
        return numbered(self._last + 1)

    def offer(self, entry: Entry) -> None:
        """Keep count of an entry that is about to be offered. Raises LocalProtocolError."""
        self._may_begin(entry)
        self._begin(entry)

    def _may_begin(self, entry: Entry) -> None:
        if self.room < 1 or entry.stream <= self._last:
            raise LocalProtocolError(None, "no room for this entry")
        check_entry(entry)

    def offer_whole(self, entry: Entry, content: Inline | Packed) -> None:
        """As ``offer`` and ``sent`` one after the other, for a small file. Raises LocalProtocolError."""
        stream = entry.stream
        if not entry.inline or content.stream != stream:
            raise LocalProtocolError(None, "no content of this entry")
        self._may_begin(entry)
        self._last = stream
        self.open[stream] = Open(entry, _WHOLE)

    def offer_files(self, files: Files) -> None:
        """Keep count of several that are about to be sent together, content and all. Raises LocalProtocolError."""
        count = len(files.names)
        if self.room < count or files.stream <= self._last:
            raise LocalProtocolError(None, "no room for these files")
        self._last = numbered(files.stream + count - 1)
        self.files[files.stream] = files
        self._held += count

    def _answered(self, first: int) -> Files:
        files = self.files.pop(first)
        self._held -= len(files.names)
        return files

    def end(self) -> None:
        """The last entry was offered."""
        self.ended = True

    def sent(self, event: Message | Data | Inline | Packed) -> None:
        """Keep count of what is about to be sent for an entry.

        Raises:
            LocalProtocolError: no such entry is open. RemoteProtocolError: the table forbids it.
        """
        act = _SENT.get(type(event))
        if act is None or event.stream not in self.open:
            raise LocalProtocolError(None, "no such entry")
        if isinstance(event, Packed) and self.open[event.stream].entry.inline:
            act = Act.INLINE
        one = self._act(event.stream, act)
        if isinstance(event, Data):
            one.position += len(event.data)
        elif isinstance(event, Hole | Packed):
            one.position += event.size
        elif isinstance(event, Restart):
            one.position = 0

    def received(self, message: Message) -> Open | None:
        """Take an answer; None when the entry was given up, or the number says nothing (ACK).

        Raises:
            RemoteProtocolError: the receiver may not say that now.
        """
        if isinstance(message, Stored):
            self._stored(message)
            return None
        act = _ANSWERS.get(type(message))
        if act is None and not isinstance(message, Ack):
            raise RemoteProtocolError(detail="not for a receiver to say", event=message.TYPE.name)
        stream = message.stream
        if not 1 <= stream <= self._last:
            raise RemoteProtocolError(detail="no such entry", stream=stream)
        one = self.open.get(stream)
        if one is None and act is not None and self.files:
            # An answer for one of them makes each of them one by itself.
            for first, files in self.files.items():
                if first <= stream < first + len(files.names):
                    self.single(self._answered(first))
                    one = self.open[stream]
                    break
        if one is None or act is None:
            return one
        if isinstance(message, Take):
            return self._taken(one, message)
        content = one.state is _OFFERED and (one.entry.type == "file" or one.entry.dry_run)
        if content and isinstance(message, Done):
            raise RemoteProtocolError(detail="DONE of what was not sent")
        return self._act(stream, act)

    def _stored(self, message: Stored) -> None:
        files = self.files.get(message.stream)
        if files is None or message.count > len(files.names):
            raise RemoteProtocolError(detail="STORED of what was not sent together", stream=message.stream)
        if len(message.digests) * len(files.names) != message.count * len(files.digests):
            raise RemoteProtocolError(detail="STORED without a digest for each", stream=message.stream)
        self.single(self._answered(message.stream), message.count)

    def _taken(self, one: Open, take: Take) -> Open:
        size = one.entry.size
        if take.offset and (size is None or take.offset > size or take.prefix_digest is None):
            raise RemoteProtocolError(detail="TAKE from where nothing is")
        if one.entry.type != "file" or one.entry.dry_run:
            raise RemoteProtocolError(detail="TAKE of what has no content")
        self._act(take.stream, Act.TAKE)
        one.position = take.offset
        return one
