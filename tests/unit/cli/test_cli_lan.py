"""Looking for receivers: how long, whatever is announced."""

import types

import pytest

from twisted_xfer.cli import lan


class Network:
    """As much of zeroconf as ``browse`` knows. ``heard``: names, and the seconds that their details take."""

    Error = RuntimeError

    def __init__(self, heard):
        self.heard, self.now = heard, 0.0
        self.InterfaceChoice = types.SimpleNamespace(All=None)

    def Zeroconf(self, interfaces):
        return self

    def ServiceBrowser(self, _zeroconf, kind, listener):
        for name in self.heard:
            listener.add_service(self, kind, f"{name}.{kind}")
        return types.SimpleNamespace(cancel=lambda: None)

    def get_service_info(self, _kind, name, timeout):
        takes = self.heard[name.partition(".")[0]]
        self.now += min(takes, timeout / 1000)
        if takes > timeout / 1000:
            return None
        return types.SimpleNamespace(parsed_scoped_addresses=lambda: ["192.0.2.7"], port=7)

    def close(self):
        pass


@pytest.fixture
def browse(monkeypatch):
    def browse(heard, seconds, wanted=""):
        network = Network(heard)
        monkeypatch.setattr(lan, "zeroconf_library", lambda: network)
        monkeypatch.setattr(lan.time, "monotonic", lambda: network.now)
        return [one.name for one in lan.browse(seconds, wanted)], network.now

    return browse


def test_names_without_details_take_no_time_of_others(browse):
    """However many are announced: listening ends a moment after its time, and who answers at once is found."""
    dead = {f"dead{number}": 60.0 for number in range(lan.MAX_HEARD - 1)}
    found, seconds = browse({**dead, "good": 0.0}, 2.0)
    assert found == ["good"]
    assert 2.0 < seconds < 5.0


def test_who_is_heard_last_is_asked_too(browse):
    """One that takes half a second is found in the last moment, and the wanted one ends it."""
    assert browse({"slow": 1.9, "late": 0.5}, 1.0) == (["late"], 1.5)
    assert browse({"other": 0.0, "wanted": 0.5, "more": 0.5}, 1.0, "wanted") == (["wanted"], 0.5)
