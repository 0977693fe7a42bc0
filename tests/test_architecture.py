"""The rules of the house, held against the tree: layers, sizes, and what must not stand in the code."""

from __future__ import annotations

import ast
import importlib
import itertools
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from zope.interface import implementedBy
from zope.interface.interfaces import IInterface
from zope.interface.verify import verifyClass

import twisted_xfer
from twisted_xfer import errors

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = Path(twisted_xfer.__file__).resolve().parent
SOURCES = sorted(PACKAGE.rglob("*.py")) + sorted((ROOT / "twisted").rglob("*.py"))
MAX_LINES = 400
#: Only these may choose a reactor; everything else is given one.
REACTOR_USERS = ("app", "cli")
#: Dispatch by what a peer sent goes through tables; these are the ways around one.
BY_NAME = frozenset({"getattr", "setattr", "delattr", "eval", "exec", "compile", "__import__"})
#: Libraries that must not load because somebody asks twistd for help.
HEAVY = (
    "OpenSSL", "cryptography", "argon2", "blake3", "click", "tqdm",
    "twisted_xfer.protocols", "twisted_xfer.storage", "twisted_xfer.transfer", "twisted_xfer.app",
)  # fmt: skip

TREES = {path: ast.parse(path.read_text("utf-8"), str(path)) for path in SOURCES}


def nodes(
    kind: type[ast.AST] | tuple[type[ast.AST], ...], *, apart: tuple[str, ...] = ()
) -> Iterator[tuple[str, ast.AST]]:
    """Where and what: every node of a kind, but for the packages named."""
    for path, tree in TREES.items():
        if PACKAGE in path.parents and path.relative_to(PACKAGE).parts[0] in apart:
            continue
        for node in ast.walk(tree):
            if isinstance(node, kind):
                yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}", node


def test_the_import_contracts_are_kept() -> None:
    """Layers, independence of kernel packages and protocols, purity of the wires."""
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_long(path: Path) -> None:
    """What does not fit into 400 lines is two things."""
    assert len(path.read_text("utf-8").splitlines()) < MAX_LINES


@pytest.mark.parametrize("folder", ["tests", "docs", "bench"])
def test_no_file_beside_the_product_is_long(folder: str) -> None:
    """A test that nobody finds among others is not read: these are parted by subject too."""
    sizes = {path: len(path.read_text("utf-8").splitlines()) for path in (ROOT / folder).rglob("*.py")}
    assert sizes
    assert {str(path.relative_to(ROOT)): size for path, size in sizes.items() if size >= MAX_LINES} == {}


def test_every_module_can_be_imported() -> None:
    """In one process and without a reactor chosen on the way: no cycle, no missing name."""
    for module in pkgutil.walk_packages([str(PACKAGE)], "twisted_xfer."):
        if not module.name.startswith(("twisted_xfer.app", "twisted_xfer.cli")):
            importlib.import_module(module.name)


def test_no_assert_outside_the_test_kit() -> None:
    """`python -O` removes them, so they may not guard anything."""
    assert [where for where, _ in nodes(ast.Assert, apart=("testing",))] == []


def test_only_app_and_cli_choose_a_reactor() -> None:
    """Everywhere else it is an argument, so that tests can give another one."""

    def takes_it(node: ast.AST) -> bool:
        if isinstance(node, ast.ImportFrom):
            return node.module == "twisted.internet" and any(name.name == "reactor" for name in node.names)
        return isinstance(node, ast.Import) and any(
            name.name == "twisted.internet.reactor" for name in node.names
        )

    found = nodes((ast.Import, ast.ImportFrom), apart=REACTOR_USERS)
    assert [where for where, node in found if takes_it(node)] == []


def implementers() -> Iterator[tuple[type, IInterface]]:
    """Every class of ours with each interface that it says it implements."""
    for module in pkgutil.walk_packages([str(PACKAGE)], "twisted_xfer."):
        if module.name.endswith("__main__"):
            continue
        for value in vars(importlib.import_module(module.name)).values():
            if isinstance(value, type) and value.__module__ == module.name:
                yield from ((value, interface) for interface in implementedBy(value))


def test_every_class_keeps_the_interfaces_it_claims() -> None:
    """Each method is there and takes what its interface says; objects are asked in the tests of their own."""
    claims = list(implementers())
    assert claims
    for implementer, interface in claims:
        verifyClass(interface, implementer)


def test_drop_in_directories_are_no_packages() -> None:
    """An __init__.py there would hide Twisted's own plugins."""
    assert sorted(path.name for path in (ROOT / "twisted").rglob("__init__.py")) == []


def test_nothing_is_left_for_later() -> None:
    """No markers of unfinished work, and none of conflicts."""
    marker = re.compile(r"\b(TODO|FIXME|XXX|HACK|NotImplemented)\b|^(<<<<<<<|>>>>>>>)", re.MULTILINE)
    found = {str(path.relative_to(ROOT)): marker.findall(path.read_text("utf-8")) for path in SOURCES}
    # NotImplemented is also what comparisons answer.
    left = {name: [word for word, _ in words if word != "NotImplemented"] for name, words in found.items()}
    assert {name: words for name, words in left.items() if words} == {}


@pytest.mark.parametrize("folder", ["twisted_xfer", "twisted", "tests", "docs", "bench"])
def test_every_waiver_says_why(folder: str) -> None:
    """Where a rule of ruff's is not kept, its code and the reason stand beside it."""
    waiver, reasoned = re.compile(r"# (ruff: )?noqa"), re.compile(r"noqa: [A-Z]+\d+(, [A-Z]+\d+)* - \S")
    left = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if waiver.search(line) and not reasoned.search(line)
    ]
    assert left == []


def test_every_rule_that_is_off_has_its_reason_above_it() -> None:
    """A line of codes in ruff's part of the project file follows a comment."""
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    rules = text.partition("\nignore = [\n")[2].partition("[tool.ruff.lint.flake8")[0]
    assert '"COM812"' in rules
    lines = [line.strip() for line in rules.splitlines()]
    bare = [line for above, line in itertools.pairwise(lines) if line[:1] == '"' and above[:1] != "#"]
    assert bare == []


def test_no_attribute_is_looked_up_by_a_name_from_outside() -> None:
    """getattr and its kin take a literal, or stand in code that no peer's text reaches."""

    def suspect(node: ast.AST) -> bool:
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BY_NAME):
            return False
        names = node.args[1:2] if node.func.id.endswith("attr") else node.args[:1]
        return not all(isinstance(name, ast.Constant) for name in names)

    # No peer's text gets there: configuration and plugins are named by the operator, events by our emitters.
    found = nodes(ast.Call, apart=("app", "cli", "plugins", "events", "testing"))
    assert [where for where, node in found if suspect(node) and not of_own_fields(node)] == []


def of_own_fields(node: ast.AST) -> bool:
    """Whether the name comes from attrs' own list of a class's fields: ``getattr(x, field.name)``."""
    return (
        isinstance(node, ast.Call)
        and len(node.args) > 1
        and isinstance(node.args[1], ast.Attribute)
        and node.args[1].attr == "name"
    )


def test_drop_ins_import_light_modules_only() -> None:
    """Asking twistd for its plugins costs no TLS, no protocol and no storage."""
    script = "import sys; before = set(sys.modules); import twisted.plugins.xfer_plugin; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    loaded = done.stdout.split()
    assert "twisted.plugins.xfer_plugin" in loaded
    assert [name for name in loaded if name.startswith(HEAVY)] == []


def family(error: type[errors.XferError] = errors.XferError) -> Iterator[type[errors.XferError]]:
    """An error class and all below it that the family's own module defines."""
    yield error
    for below in error.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from family(below)


def test_error_codes_are_distinct() -> None:
    """Logs, events and scripts tell errors apart by their code."""
    codes = [error.code for error in family()]
    assert sorted(codes) == sorted(set(codes))


def test_every_error_has_an_ftp_reply() -> None:
    """One table turns errors into replies, and no error falls through it."""
    from twisted_xfer.protocols.ftp.errormap import TABLE

    assert [error.__name__ for error in family() if error not in TABLE] == []


def test_every_error_is_listed_in_the_manual() -> None:
    """The reference names each code that logs and events may carry."""
    page = (ROOT / "docs/reference/errors.rst").read_text("utf-8")
    assert [error.code for error in family() if f"``{error.code}``" not in page] == []


def test_every_flag_and_key_is_in_the_manual() -> None:
    """The configuration reference is whole."""
    from twisted_xfer.app.config import TLS, Config, Deadlines, Limits, Log
    from twisted_xfer.app.load import FLAG_KEYS

    page = (ROOT / "docs/operate/configuration.rst").read_text("utf-8")
    sections = {"tls": TLS, "timeouts": Deadlines, "limits": Limits, "log": Log}
    keys = {field.name for field in attrs.fields(Config)} - set(sections)
    keys |= {f"{name}.{field.name}" for name, cls in sections.items() for field in attrs.fields(cls)}
    words = {f"``--{flag}``" for flag in FLAG_KEYS} | {f"``{key}``" for key in keys}
    assert sorted(word for word in words if word not in page) == []
