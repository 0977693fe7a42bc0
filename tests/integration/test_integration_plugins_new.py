"""What `xfer plugins new` writes is as good as what stands here: its own tests pass, warnings being errors."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from twisted_xfer.cli.cmd_plugins_new import KINDS
from twisted_xfer.cli.commands import xfer

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("kind", KINDS)
def test_a_skeleton_works_and_passes_its_test(kind, tmp_path):
    """What is written is found by the registry, keeps its contract, and is as tidy as this tree."""
    target = tmp_path / "made"
    done = CliRunner().invoke(xfer, ["plugins", "new", kind, f"my_{kind}", "--directory", str(target)])
    assert done.exit_code == 0, done.output
    assert (target / "pyproject.toml").exists()
    assert not list(target.rglob("twisted/**/__init__.py"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(target), str(ROOT)])}
    tests = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"],
        cwd=target, env=environment, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert tests.returncode == 0, tests.stdout + tests.stderr
    lint = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "E4,E7,E9,F,W,B", str(target)],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert lint.returncode == 0 or "No module named ruff" in lint.stderr, lint.stdout
