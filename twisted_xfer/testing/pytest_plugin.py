"""The pytest fixture ``xfer_server``; installed with the package, so a test need only name it.

::

    def test_upload(xfer_server):
        my_program.upload(xfer_server.url("a.txt"))
        assert (xfer_server.home / "a.txt").read_bytes() == b"hello"

    @pytest.mark.xfer_server(tls=True, faults={"download_cut_at": 1000, "times": 1})
    def test_resume(xfer_server): ...

The arguments of the marker are those of ``server.XferServer``. Light on purpose: every run of pytest
imports this, wherever the package is installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from twisted_xfer.testing.server import XferServer


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "xfer_server(users, tls, faults, protocols, config): how the server of the fixture is to be",
    )


@pytest.fixture
def xfer_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[XferServer]:
    """A server of the test's own, stopped at its end; see ``twisted_xfer.testing.server.XferServer``."""
    from twisted_xfer.testing.server import XferServer

    marker = request.node.get_closest_marker("xfer_server")
    if marker is not None and marker.args:
        raise TypeError("xfer_server takes keywords only, as in faults={...}")
    arguments = {} if marker is None else dict(marker.kwargs)
    arguments.setdefault("directory", tmp_path / "xfer-server")
    Path(arguments["directory"]).mkdir(exist_ok=True)
    with XferServer(**arguments) as server:
        yield server
