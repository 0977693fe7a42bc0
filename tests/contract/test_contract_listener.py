"""The listeners that come with the daemon keep the contract that strangers' must keep."""

import pytest

from twisted_xfer.events import plugin as plugins
from twisted_xfer.testing.contracts_listener import ListenerContract, events


class TestJson(ListenerContract):
    plugin = plugins.json

    def make_options(self, tmp_path):
        return plugins.JsonOptions(path=str(tmp_path / "log"))


class TestXferLog(ListenerContract):
    plugin = plugins.xferlog

    def make_options(self, tmp_path):
        return plugins.XferLogOptions(path=str(tmp_path / "log"))


class Fussy:
    """A listener that forgot names that are not UTF-8."""

    def on_event(self, event):
        for value in event.fields.values():
            if isinstance(value, bytes):
                value.decode("utf-8")


def test_the_suite_notices_a_listener_that_fails_on_a_name():
    """Awkward bytes reach the listener under test."""
    from twisted_xfer.testing.host import MemoryHost

    with pytest.raises(UnicodeDecodeError):
        ListenerContract().test_it_hears_every_event(Fussy(), MemoryHost())


def test_the_events_of_the_suite_cover_the_catalogue():
    """Each id, with each of its fields."""
    from twisted_xfer.interfaces.eventtypes import CATALOGUE

    assert {event.id: tuple(event.fields) for event in events()} == CATALOGUE
