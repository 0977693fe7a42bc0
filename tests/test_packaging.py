"""What is installed: the wheel and the editable tree both give twistd its plugin, and cheaply."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
#: Asking for help must not load what only serving needs.
HEAVY = (
    "OpenSSL",
    "twisted_xfer.protocols",
    "twisted_xfer.storage",
    "twisted_xfer.transfer",
    "argon2",
    "blake3",
)
HELP = (
    "import sys; sys.argv = ['twistd', '--help']\n"
    "from twisted.scripts.twistd import run\n"
    "try:\n    run()\n"
    "finally:\n    print('LOADED', *sorted(sys.modules))"
)


def python(*argv: str, path: Path | None = None, cwd: Path) -> str:
    """Run this interpreter; with ``path``, the package comes from there and not from this tree."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    options: tuple[str, ...] = ()
    if path is not None:
        # -S keeps the editable install's .pth away; the libraries come by path.
        options = ("-S",)
        environment["PYTHONPATH"] = os.pathsep.join([str(path), *site_packages()])
    done = subprocess.run(
        [sys.executable, *options, *argv],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def site_packages() -> list[str]:
    """Where this environment's libraries are."""
    return [entry for entry in sys.path if Path(entry).name in {"site-packages", "dist-packages"}]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree, built without a network."""
    out = tmp_path_factory.mktemp("dist")
    python("-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT), cwd=out)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, installed into a directory of its own."""
    target = tmp_path_factory.mktemp("installed")
    python(
        "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-index",
        "--target", str(target), str(wheel), cwd=target,
    )  # fmt: skip
    return target


def test_the_wheel_holds_the_package_and_every_drop_in(wheel: Path) -> None:
    """Each source file, the typing marker, and the drop-ins without an __init__.py beside them."""
    names = set(zipfile.ZipFile(wheel).namelist())
    expected = {str(path.relative_to(ROOT)) for path in (ROOT / "twisted_xfer").rglob("*.py")}
    expected |= {str(path.relative_to(ROOT)) for path in (ROOT / "twisted/plugins").glob("*.py")}
    assert expected | {"twisted_xfer/py.typed"} <= names
    assert {name for name in names if name.startswith("twisted/")} == {
        n for n in expected if n.startswith("twisted/")
    }
    assert not [name for name in names if name.startswith(("tests/", "docs/", "bench/"))]


def test_the_wheel_has_its_command_and_licence(wheel: Path) -> None:
    """`xfer` is installed, and the licence travels with it."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (points,) = [name for name in names if name.endswith("entry_points.txt")]
        assert "xfer = twisted_xfer.cli.main:main" in archive.read(points).decode()
    assert any(name.endswith("LICENSE") for name in names)


def test_every_library_has_an_oldest_version(tmp_path: Path) -> None:
    """What `make test-oldest` installs: each requirement of the project once, at its own lower bound."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = set(project["dependencies"]).union(*project["optional-dependencies"].values())
    pinned = python(str(ROOT / "tests/oldest"), cwd=tmp_path).split()
    assert len(pinned) == len(wanted)
    for pin in pinned:
        name, _, version = pin.partition("==")
        assert [
            line
            for line in wanted
            if re.match(rf"{re.escape(name)}(\[\w+\])?>={re.escape(version)}(;|$)", line)
        ]


def check_help(said: str) -> None:
    """twistd lists the plugin, and did not load the heavy parts for it."""
    listing, _, loaded = said.partition("LOADED")
    assert any(line.split()[:1] == ["xfer"] for line in listing.splitlines()), listing
    assert [name for name in loaded.split() if name.startswith(HEAVY)] == []


def test_twistd_lists_xfer_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    """From an installed wheel, with this tree out of sight."""
    where = python("-c", "import twisted_xfer; print(twisted_xfer.__file__)", path=installed, cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed)
    check_help(python("-c", HELP, path=installed, cwd=tmp_path))


def test_twistd_lists_xfer_from_the_editable_install(tmp_path: Path) -> None:
    """From this environment, in which the tree is installed as it stands."""
    check_help(python("-c", HELP, cwd=tmp_path))


def test_the_editable_install_has_no_copy_of_the_drop_ins(tmp_path: Path) -> None:
    """twistd sees the records as they stand in the tree, not as they were when it was installed."""
    where = python("-c", "import twisted.plugins.xfer_plugin as p; print(p.__file__)", cwd=tmp_path)
    assert Path(where.strip()) == ROOT / "twisted/plugins/xfer_plugin.py"


def test_the_wheel_knows_its_plugins(installed: Path, tmp_path: Path) -> None:
    """The `users` checker is among twistd's own, from the wheel alone."""
    script = "from twisted.cred.strcred import findCheckerFactories as f; print(*[x.authType for x in f()])"
    assert "users" in python("-c", script, path=installed, cwd=tmp_path).split()
