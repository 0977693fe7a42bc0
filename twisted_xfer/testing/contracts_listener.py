"""The contract of a listener plugin, as a class of tests to inherit from.

::

    class TestAcme(ListenerContract):
        plugin = acme.plugin

        def make_options(self, tmp_path):
            return acme.Options(path=str(tmp_path / "log"))
"""

from __future__ import annotations

import gc
import os
import pathlib
from collections.abc import Iterator
from typing import Any, Final

import pytest
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from twisted_xfer.errors import Vetoed
from twisted_xfer.interfaces import (
    API_VERSION,
    Event,
    IEventListener,
    IHoldsFile,
    IListenerPlugin,
    IVetoListener,
)
from twisted_xfer.interfaces.eventtypes import CATALOGUE
from twisted_xfer.plugins import is_frozen_with_defaults
from twisted_xfer.testing.host import MemoryHost

#: Values that are awkward to write down: each turns up in each field of each event.
AWKWARD: Final[tuple[Any, ...]] = (
    b"/plain",
    b"/caf\xe9 \xff\n\r\0\x1b[2J\"'\\",
    "/caf\xe9 \udcff\n\r\0\x1b[2J\"'\\",
    "",
    0,
    -1,
    2**63,
    0.5,
    True,
    None,
)
_NUMBERS: Final = frozenset({"bytes", "size", "seconds", "failures", "listeners", "left"})
_PATHS: Final = frozenset({"path", "target"})


def events() -> Iterator[Event]:
    """Every event of the catalogue, with awkward names in all fields that a peer can fill."""
    for event_id, names in CATALOGUE.items():
        for value in AWKWARD:
            text = value if isinstance(value, str) else "alice"
            fields = {name: _fitting(name, value) for name in names}
            yield Event(event_id, 1e9, "ftp", "s1", text, "192.0.2.1", "t1", fields)


def _fitting(name: str, value: Any) -> Any:
    """``value`` where the field may have it, else something plain of the right type."""
    if name in _PATHS:
        return value if isinstance(value, bytes) else b"/path"
    if name in _NUMBERS:
        return value if isinstance(value, int | float) and not isinstance(value, bool) else 1
    return "text" if isinstance(value, bytes) else value


class ListenerContract:
    """What every listener plugin keeps. Inherit, and set ``plugin``."""

    plugin: Any

    def make_options(self, tmp_path: pathlib.Path) -> Any:
        """Options for one test; the plugin's defaults unless overridden."""
        return self.plugin.options()

    @pytest.fixture
    def host(self) -> MemoryHost:
        """The host of one test."""
        return MemoryHost()

    @pytest.fixture
    def listener(self, host: MemoryHost, tmp_path: pathlib.Path) -> Iterator[Any]:
        """An open listener, closed at the end."""
        opened = self.plugin.open(self.make_options(tmp_path), host)
        yield opened
        if IHoldsFile.providedBy(opened):
            opened.close()

    def test_it_provides_its_interface(self) -> None:
        """The daemon can ask it everything that it asks listener plugins."""
        verifyObject(IListenerPlugin, self.plugin)
        assert self.plugin.api_version == API_VERSION
        assert len(self.plugin.describe().splitlines()) == 1

    def test_options_are_frozen_and_have_defaults(self) -> None:
        """A configuration that only names the plugin is enough, and nothing changes it later."""
        assert is_frozen_with_defaults(self.plugin.options)

    def test_it_opens_a_listener(self, listener: Any) -> None:
        """What it opens hears events."""
        verifyObject(IEventListener, listener)

    def test_it_hears_every_event(self, listener: Any, host: MemoryHost) -> None:
        """No event of the catalogue and no name that a peer may choose is a surprise."""
        for event in events():
            outcome: list[Any] = []
            maybeDeferred(listener.on_event, event).addBoth(outcome.append)
            host.reactor.settle()
            if outcome and isinstance(outcome[0], Failure):
                outcome[0].raiseException()

    def test_a_veto_listener_answers(self, listener: Any, host: MemoryHost) -> None:
        """If it may refuse, it says yes or no, and nothing else goes wrong."""
        if not IVetoListener.providedBy(listener):
            return
        verifyObject(IVetoListener, listener)
        answer = maybeDeferred(
            listener.before, Event("upload.publish", 1e9, fields={"path": b"/a", "size": 1})
        )
        assert isinstance(answer, Deferred)
        outcome: list[Any] = []
        answer.addBoth(outcome.append)
        host.reactor.settle()
        if outcome and isinstance(outcome[0], Failure):
            assert isinstance(outcome[0].value, Vetoed)

    def test_files_are_reopened_and_let_go(self, host: MemoryHost, tmp_path: pathlib.Path) -> None:
        """What it opens is closed once and for all; reopening costs no descriptor."""
        gc.collect()
        before = _descriptors()
        opened = self.plugin.open(self.make_options(tmp_path), host)
        if not IHoldsFile.providedBy(opened):
            return
        verifyObject(IHoldsFile, opened)
        held = _descriptors()
        opened.reopen()
        opened.reopen()
        assert len(_descriptors()) == len(held)
        opened.close()
        opened.close()
        assert _descriptors() == before


def _descriptors() -> set[str]:
    """The open descriptors of this process."""
    return set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
