"""What commands import, and what becomes of the garbage collector meanwhile."""

import gc
import subprocess
import sys

import pytest

from twisted_xfer.cli import lean

SECONDS = 60
SCRIPT = """
import sys
from twisted_xfer.cli.main import main
try:
    main({arguments!r})
except SystemExit:
    pass
print(*sys.modules)
"""


def loaded(*arguments: str) -> set[str]:
    """Modules that are there when the command is over."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(arguments=list(arguments))],
        capture_output=True, text=True, timeout=SECONDS, check=True,
    )  # fmt: skip
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("name", ["send", "get", "ls", "rm"])
def test_the_options_of_a_command_cost_no_twisted(name):
    """Help, completion and a mistake in the options need nothing that moves bytes."""
    modules = loaded(name, "--help")
    assert f"twisted_xfer.cli.cmd_{name}" in modules
    assert not modules & {"twisted", "OpenSSL", "zope.interface", "twisted_xfer.cli.tutorial_files", "tqdm"}


def test_garbage_is_not_looked_for_while_modules_are_imported(monkeypatch):
    """In the command's own process: what came is kept from the collector, and that goes on."""
    frozen = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(gc.isenabled()))
    with lean.process():
        with lean.imports():
            assert not gc.isenabled()
            with lean.imports():
                assert not gc.isenabled()
            assert not gc.isenabled()
        assert gc.isenabled()
        assert frozen == [False]
    assert frozen == [False, True]


def test_an_import_that_fails_leaves_the_collector_on(monkeypatch):
    """It is back whatever happened."""
    monkeypatch.setattr(gc, "freeze", lambda: None)
    with lean.process(), pytest.raises(ImportError), lean.imports():
        raise ImportError
    assert gc.isenabled()


def test_in_a_process_of_somebody_else_nothing_changes(monkeypatch):
    """A program that calls the command's own functions keeps its collector as it is."""
    monkeypatch.setattr(gc, "freeze", lambda: pytest.fail("frozen"))
    with lean.imports():
        assert gc.isenabled()
