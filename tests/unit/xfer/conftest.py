"""What most tests of whole transfers begin with."""

import pytest
from xfer_pipes import local_net


@pytest.fixture
def net(tmp_path):
    """A daemon over ``root``, with alice in it, and clients on a network in memory; nothing may be left of them."""
    made = local_net(tmp_path / "root")
    yield made
    made.close_clean()
