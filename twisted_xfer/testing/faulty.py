"""What the servers that misbehave have in common: options, and a host whose files fail on demand.

``faulty_ftp``, ``faulty_xfer`` and ``faulty_streams`` are the daemon's own protocols with such a host around
them. ``server.XferServer(faults={...})`` installs and listens with them; no installation has them otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
from twisted.python.components import proxyForInterface

from twisted_xfer.errors import ConnectionLost
from twisted_xfer.interfaces import Eventually, IAvatar, IHost, ILogin, LoginContext, WriteIntent
from twisted_xfer.interfaces.answers import then
from twisted_xfer.paths import VirtualPath
from twisted_xfer.testing.faults import Faults, FaultyAvatar


@attrs.frozen
class FaultOptions:
    """What goes wrong; None, false and 0 mean nothing. Offsets are bytes of the file.

    Attributes:
        download_cut_at: the connection of a download ends there.
        upload_cut_at: that of an upload, the part being kept.
        download_stalls_at: from there on nothing more is sent.
        upload_stalls_at: from there on nothing more is read.
        no_close_notify: a connection in TLS ends without close_notify: in FTP the data connection.
        times: only the first so many files that are opened go wrong; 0 means all of them.
    """

    download_cut_at: int | None = None
    upload_cut_at: int | None = None
    download_stalls_at: int | None = None
    upload_stalls_at: int | None = None
    no_close_notify: bool = False
    times: int = 0

    def faults(self) -> Faults:
        """The faults of one file."""
        return Faults(
            read_fails_at=self.download_cut_at,
            write_fails_at=self.upload_cut_at,
            read_stalls_at=self.download_stalls_at,
            write_stalls_at=self.upload_stalls_at,
            error=ConnectionLost(None, "cut by a fault"),
        )


class Counter:
    """How many files may still go wrong, of one listener."""

    def __init__(self, options: FaultOptions) -> None:
        self._options = options
        self._left: Iterator[int] = iter(range(options.times))

    def next_faults(self) -> Faults | None:
        """The faults of the next file, or None."""
        if self._options.times and next(self._left, None) is None:
            return None
        return self._options.faults()


class _Avatar(FaultyAvatar):
    """A user some of whose files go wrong."""

    def __init__(self, inner: IAvatar, counter: Counter, on_error: Callable[[], object] | None) -> None:
        super().__init__(inner, Faults())
        self._counter = counter
        self._on_error = on_error

    def _next(self) -> IAvatar:
        """Whoever opens the next file: where nothing goes wrong it has its descriptor, and so can be resumed."""
        faults = self._counter.next_faults()
        if faults is None:
            inner: IAvatar = self.inner
            return inner
        faults.on_error = self._on_error
        avatar: IAvatar = FaultyAvatar(self.inner, faults)
        return avatar

    def open_read(self, path: VirtualPath, offset: int = 0) -> Any:
        """With the faults of this file."""
        return self._next().open_read(path, offset)

    def open_write(self, path: VirtualPath, intent: WriteIntent) -> Any:
        """With the faults of this file."""
        return self._next().open_write(path, intent)


class _Login(proxyForInterface(ILogin, "inner")):  # type: ignore[misc]
    inner: Any

    def __init__(self, inner: ILogin, counter: Counter, on_error: Callable[[], object] | None) -> None:
        super().__init__(inner)
        self._counter = counter
        self._on_error = on_error

    def login(self, credentials: object, context: LoginContext) -> Eventually[_Avatar]:
        return then(self.inner.login(credentials, context), self._faulty)

    def trusted(self, username: str, context: LoginContext) -> Eventually[_Avatar]:
        return then(self.inner.trusted(username, context), self._faulty)

    def by_certificate(self, username: str, context: LoginContext) -> Eventually[_Avatar | None]:
        answer = self.inner.by_certificate(username, context)
        return then(answer, lambda avatar: None if avatar is None else self._faulty(avatar))

    def _faulty(self, avatar: IAvatar) -> _Avatar:
        return _Avatar(avatar, self._counter, self._on_error)


class FaultyHost(proxyForInterface(IHost, "inner")):  # type: ignore[misc]
    """The daemon, with other logins. ``on_error`` is called when a file is cut, before that is raised."""

    inner: Any

    def __init__(self, inner: IHost, counter: Counter, on_error: Callable[[], object] | None = None) -> None:
        super().__init__(inner)
        self._login = _Login(inner.login, counter, on_error)

    @property
    def login(self) -> Any:
        """With faults."""
        return self._login
