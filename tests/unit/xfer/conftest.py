"""What most tests begin with: a whole network, or a listener to log in to."""

import pytest
from xfer_logins import Site
from xfer_pipes import local_net

from twisted_xfer.protocols.xfer import secure as secure_module
from twisted_xfer.protocols.xfer import server as server_module


@pytest.fixture
def net(tmp_path):
    """A daemon over ``root``, with alice in it, and clients on a network in memory; nothing may be left of them."""
    made = local_net(tmp_path / "root")
    yield made
    made.close_clean()


@pytest.fixture
def site(tmp_path, monkeypatch):
    for module, name in (
        (server_module, "channel_of"),
        (server_module, "exporter_of"),
        (secure_module, "exporter_of"),
    ):
        monkeypatch.setattr(module, name, lambda transport: getattr(transport, "exporter", b""))
    made = Site(tmp_path)
    yield made
    made.clean()
