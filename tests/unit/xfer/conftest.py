"""What most tests begin with: a whole network, or a listener to log in to."""

import pytest
from xfer_logins import Site
from xfer_pipes import Net, local_net
from xfer_raw import Raw

from twisted_xfer.protocols.xfer import secure as secure_module
from twisted_xfer.protocols.xfer import server as server_module
from twisted_xfer.runtime.blocking import InlineBlocking
from twisted_xfer.storage.threaded import ThreadedStorage
from twisted_xfer.testing.host import MemoryHost


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


@pytest.fixture(params=["at once", "the long way"])
def way(request):
    """How a storage takes small files: the same is to be seen of both."""
    return request.param


@pytest.fixture
def sender(tmp_path, way):
    """Alice as a sender who says what a test wants, logged in to a storage that takes small files either way."""
    net = local_net(tmp_path)
    if way == "the long way":
        storage = ThreadedStorage(net.host.storage, InlineBlocking())
        net = Net(MemoryHost({"alice": "secret"}, storage=storage))
    made = Raw(net).log_in()
    made.heard()
    yield made
    net.close_clean()
