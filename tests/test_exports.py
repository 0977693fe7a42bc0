"""What each package shows, and that nobody reaches behind it."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

import twisted_xfer

PACKAGE = Path(twisted_xfer.__file__).resolve().parent
PACKAGES = ["twisted_xfer"] + [
    module.name for module in pkgutil.walk_packages([str(PACKAGE)], "twisted_xfer.") if module.ispkg
]
MODULES = sorted(PACKAGE.rglob("*.py"))


def bound(package: str) -> tuple[set[str], set[str]]:
    """Public names that the package's own file imports from ours, and those it defines."""
    file = PACKAGE.parent.joinpath(*package.split(".")) / "__init__.py"
    imported: set[str] = set()
    defined: set[str] = set()
    body = ast.parse(file.read_text("utf-8")).body
    # What is loaded when it is asked for stands where type checkers see it.
    late = [
        inner
        for node in body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in node.body
    ]
    for node in [*body, *late]:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("twisted_xfer"):
            imported |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            defined |= {target.id for target in targets if isinstance(target, ast.Name)}
    module = importlib.import_module(package)
    imported = {name for name in imported if not isinstance(getattr(module, name), types.ModuleType)}
    return tuple({name for name in names if not name.startswith("_")} for names in (imported, defined))


def package_of(file: Path) -> str:
    """The dotted package that a file is in."""
    return ".".join(file.relative_to(PACKAGE.parent).parent.parts)


def imports() -> list[tuple[str, str, str]]:
    """(importing package, module, name) of each import of ours from ours, relative ones resolved."""
    found = []
    for file in MODULES:
        package = package_of(file)
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(node, ast.ImportFrom):
                continue
            module = node.module or ""
            if node.level:
                base = package.split(".")[: len(package.split(".")) - node.level + 1]
                module = ".".join([*base, *filter(None, [module])])
            if module.split(".")[0] == "twisted_xfer":
                found += [(package, module, alias.name) for alias in node.names]
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_exports_what_it_shows(package: str) -> None:
    """``__all__`` is exactly what the package binds, each once; without one, nobody takes from it what it took."""
    module = importlib.import_module(package)
    imported, defined = bound(package)
    if not hasattr(module, "__all__"):
        assert [name for _, source, name in imports() if source == package and name in imported] == []
        return
    assert set(module.__all__) == imported | defined
    assert len(module.__all__) == len(set(module.__all__))


@pytest.mark.parametrize("package", PACKAGES)
def test_exports_are_ours_and_documented(package: str) -> None:
    """A public name is no stray import of somebody else's, and says what it is for."""
    module = importlib.import_module(package)
    for name in getattr(module, "__all__", []):
        value = getattr(module, name)
        assert not isinstance(value, types.ModuleType), f"{package}.{name} is a module"
        if isinstance(value, type | types.FunctionType):
            assert value.__module__.startswith("twisted_xfer."), (
                f"{package}.{name} is from {value.__module__}"
            )
            assert value.__doc__, f"{package}.{name} has no docstring"


def test_private_modules_stay_in_their_package() -> None:
    """``package._module`` is imported by its own package only."""
    reached = [
        (package, module)
        for package, module, _ in imports()
        for depth, part in enumerate(module.split("."))
        if part.startswith("_") and not f"{package}.".startswith(".".join(module.split(".")[:depth]) + ".")
    ]
    assert reached == []


def test_private_names_stay_in_their_package() -> None:
    """``from module import _name`` does not cross packages."""
    reached = [
        (package, module, name)
        for package, module, name in imports()
        if name.startswith("_")
        and not name.startswith("__")
        and f"{module}.".partition(f"{package}.")[0] != ""
    ]
    assert reached == []


def test_no_import_takes_everything() -> None:
    """Star imports hide where a name comes from."""
    assert [(package, module) for package, module, name in imports() if name == "*"] == []


def test_what_the_package_shows_is_loaded_late() -> None:
    """Importing the package loads none of it; each name then is the one that type checkers see."""
    script = "import sys, twisted_xfer; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert [name for name in done.stdout.split() if name.startswith(("twisted.", "twisted_xfer."))] == []
    assert set(twisted_xfer.__all__) <= set(dir(twisted_xfer))
    with pytest.raises(AttributeError, match="no attribute 'sned'"):
        twisted_xfer.sned
