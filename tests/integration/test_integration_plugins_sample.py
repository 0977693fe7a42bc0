"""The sample distribution from its wheel, next to ours from its wheel, in an environment of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "tests" / "sample_plugin"


def run(*argv: object, cwd: Path) -> str:
    """Run a program that must succeed, without what this environment adds to the module path."""
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYTEST"))
    }
    done = subprocess.run(
        [str(word) for word in argv],
        cwd=cwd, env=environment, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with both wheels; other libraries come from this one."""
    work = tmp_path_factory.mktemp("clean")
    # A build may leave files beside its sources: it gets a copy of the sample.
    shutil.copytree(SAMPLE, work / "sample", ignore=shutil.ignore_patterns("__pycache__", "dropin.cache"))
    for source in (ROOT, work / "sample"):
        run(
            sys.executable,
            "-m",
            "build",
            "--wheel",
            "--no-isolation",
            "--outdir",
            work / "dist",
            source,
            cwd=work,
        )
    wheels = sorted((work / "dist").glob("*.whl"))
    assert [wheel.name.partition("-")[0] for wheel in wheels] == ["acme_xfer", "twisted_xfer"]
    venv.create(work / "venv")
    python = work / "venv" / "bin" / "python"
    run(
        sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check",
        "--no-deps", "--no-index", *wheels, cwd=work,
    )  # fmt: skip
    # A line in a .pth adds the directory and reads none of its own .pth files, so the checkout stays out.
    (site,) = (work / "venv" / "lib").glob("python*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_both_come_from_their_wheels(clean: Path, tmp_path: Path) -> None:
    """Neither this checkout nor the sample's sources are what is imported."""
    said = run(
        clean, "-c", "import twisted_xfer as a, acme_xfer as b; print(a.__file__, b.__file__)", cwd=tmp_path
    )
    for file in said.split():
        assert Path(file).is_relative_to(clean.parent.parent)


def test_the_samples_own_tests_pass_there(clean: Path, tmp_path: Path) -> None:
    """Contract suites, and one daemon with a protocol, a checker, a storage, listeners and commands of its."""
    for name in ("tests", "pyproject.toml"):
        source = SAMPLE / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, tmp_path / name)
    said = run(clean, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=tmp_path)
    assert " passed" in said
    assert "skipped" not in said


def test_the_fixture_is_there_by_itself(clean: Path, tmp_path: Path) -> None:
    """A project that installed the package needs no conftest for it."""
    (tmp_path / "test_mine.py").write_text(
        "import pytest\n\n\n"
        "@pytest.mark.xfer_server(tls=True)\n"
        "def test_it(xfer_server):\n"
        "    assert xfer_server.port and xfer_server.ssl_context()\n"
    )
    assert "1 passed" in run(
        clean, "-m", "pytest", "-q", "--strict-markers", "-p", "no:cacheprovider", cwd=tmp_path
    )


def test_twistd_offers_the_samples_checker(clean: Path, tmp_path: Path) -> None:
    """--help-auth lists it with Twisted's own."""
    said = run(clean, clean.parent / "xfer", "--version", cwd=tmp_path)
    assert said.startswith("xfer ")
    script = "from twisted.scripts.twistd import run; run()"
    assert "token" in run(clean, "-c", script, "xfer", "--help-auth", cwd=tmp_path)


@pytest.mark.parametrize("kind", ["protocol", "command"])
def test_a_new_plugin_is_begun_from_the_wheel(clean: Path, tmp_path: Path, kind: str) -> None:
    """`xfer plugins new` writes a distribution whose test passes where only wheels are."""
    run(
        clean,
        "-c",
        f"from twisted_xfer.cli.main import main; main(['plugins', 'new', '{kind}', 'mine'])",
        cwd=tmp_path,
    )
    made = tmp_path / "xfer-mine"
    script = f"import sys, pytest; sys.path.insert(0, {str(made)!r}); sys.exit(pytest.main(['-q', 'tests']))"
    assert " passed" in run(clean, "-c", script, cwd=made)
