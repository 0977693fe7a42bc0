"""The package of seams: every name is there, and a client loads those of a daemon not."""

import subprocess
import sys

import pytest

from twisted_xfer import interfaces


def test_every_name_is_there():
    """Wherever it comes from."""
    for name in interfaces.__all__:
        assert getattr(interfaces, name) is not None
        assert name in vars(interfaces)


def test_another_name_is_none():
    """As of any module."""
    with pytest.raises(AttributeError, match="IWhatever"):
        interfaces.IWhatever
    with pytest.raises(ImportError, match="IWhatever"):
        from twisted_xfer.interfaces import IWhatever  # noqa: F401 - it is not there


def test_all_of_it_can_be_had_at_once():
    """As by ``from twisted_xfer.interfaces import *``, in a process where nothing was asked for yet."""
    script = "from twisted_xfer.interfaces import *\nprint(IHost.__name__, IXferPlugin.__name__, Account('a').username)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "IHost IXferPlugin a\n"


def test_what_is_a_clients_too_loads_nothing_of_a_daemon():
    """Nor what that stands on."""
    script = "import sys\nfrom twisted_xfer.interfaces import IBlocking, ILimiter, IStorage, RandomBytes\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = set(done.stdout.split())
    assert "twisted_xfer.interfaces._storage" in loaded
    assert not loaded & {"twisted.plugin", "twisted.cred", "twisted_xfer.interfaces._host"}
