"""One server for the whole run, one account of it for each test."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from interop_servers import ACCOUNTS, Running, start_reference, start_xfer
from interop_support import Runner, Site

#: The server under test; `XFER_INTEROP_SERVER=pyftpdlib` tries the suite itself on another one.
SERVER = os.environ.get("XFER_INTEROP_SERVER", "twisted-xfer")
_numbers = itertools.count()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this directory starts processes."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.interop)


@pytest.fixture(scope="session", params=[SERVER])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The server, with as many accounts as there are tests."""
    root = tmp_path_factory.mktemp("homes")
    start = {"twisted-xfer": start_xfer, "pyftpdlib": start_reference}[request.param]
    with start(root) as server:
        yield server


@pytest.fixture
def site(running: Running) -> Site:
    """A fresh account with an empty home."""
    user = ACCOUNTS[next(_numbers)]
    home = running.root / user
    home.mkdir(exist_ok=True)
    return Site(home=home, user=user, port=running.port, port6=running.port6)


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    """Foreign programs start in a directory of their own."""
    cwd = tmp_path / "client"
    cwd.mkdir()
    return Runner(cwd)


@pytest.fixture
def gbk_site(running: Running) -> Site:
    """The account whose names are GBK on the wire."""
    if running.gbk_user is None:
        pytest.skip("the other server knows one charset only")
    home = running.root / running.gbk_user
    home.mkdir(exist_ok=True)
    return Site(home=home, user=running.gbk_user, port=running.port, port6=running.port6)
