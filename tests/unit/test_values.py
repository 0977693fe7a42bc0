"""Values compare, hash and show themselves as attrs would have made them."""

import ast
from pathlib import Path

import attrs
import pytest

import twisted_xfer
from twisted_xfer.protocols.xfer.wire.messages import MESSAGES, Message
from twisted_xfer.values import Shown, Value


@attrs.frozen(eq=False, repr=False)
class Point(Value):
    x: int
    secret: str = attrs.field(default="s", repr=False)
    kept: int = attrs.field(default=0, eq=False)


@attrs.frozen(eq=False, repr=False)
class Other(Value):
    x: int
    secret: str = "s"
    kept: int = 0


@attrs.frozen(eq=False, repr=False)
class Nothing(Value):
    pass


@attrs.define(repr=False)
class Chain(Shown):
    behind: object = None


def test_equal_fields_of_one_class_are_one_value():
    """In a set or as a key, too."""
    assert Point(1) == Point(1)
    assert hash(Point(1)) == hash(Point(1))
    assert {Point(1), Point(1), Point(2)} == {Point(1), Point(2)}


@pytest.mark.parametrize("other", [Point(2), Point(1, "t"), Other(1), (1, "s"), None])
def test_anything_else_is_another(other):
    """Another field, another class with the same fields, and what is no value."""
    assert Point(1) != other
    assert (Point(1) == other) is False


def test_a_field_that_does_not_count_changes_nothing():
    """As a cache that somebody keeps along."""
    assert Point(1, kept=1) == Point(1, kept=2)
    assert hash(Point(1, kept=1)) == hash(Point(1, kept=2))


def test_a_value_without_fields_is_equal_to_its_like():
    """It has nothing to differ in."""
    assert Nothing() == Nothing()
    assert hash(Nothing()) == hash(Nothing())
    assert repr(Nothing()) == "Nothing()"


def test_what_is_shown_is_what_attrs_shows():
    """All fields but those that are not to be seen."""
    assert repr(Point(1, "never", 2)) == "Point(x=1, kept=2)"


def test_what_holds_itself_is_shown_once():
    """No endless text, as with attrs."""
    chain = Chain()
    chain.behind = chain
    assert repr(chain) == "Chain(behind=...)"


def test_values_have_no_dictionary():
    """A base without slots would give each of them one."""
    assert not hasattr(Point(1), "__dict__")
    assert not hasattr(Chain(), "__dict__")


def test_a_value_stays_as_it_was_made():
    """attrs sees to it still."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Point(1).x = 2


def values(kind=Shown):
    """Each class of the package that shares these, as far as modules are loaded."""
    for below in kind.__subclasses__():
        yield from values(below)
        if below.__module__.startswith("twisted_xfer.") and attrs.has(below):
            yield below


def test_no_class_has_both_the_shared_methods_and_its_own():
    """Forgotten flags would make attrs compile what the base is there for, and a forgotten base compare by identity."""
    assert set(MESSAGES.values()) <= set(values(Message))
    assert [kind.__name__ for kind in values() if "__repr__" in vars(kind)] == []
    assert [kind.__name__ for kind in values() if issubclass(kind, Value) and "__eq__" in vars(kind)] == []


def test_whoever_leaves_them_out_has_a_base_with_them():
    """Without it two equal values would be two, and a secret field be no better than none."""
    bases = {"Value", "Shown", "Message"}
    seen = set()
    for path in Path(twisted_xfer.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            flags = {
                flag.arg
                for call in getattr(node, "decorator_list", ())
                if isinstance(call, ast.Call) and isinstance(node, ast.ClassDef)
                for flag in call.keywords
            }
            if "repr" in flags:
                wanted = (
                    {"Value"} if ast.unparse(node.decorator_list[-1]).startswith("attrs.frozen") else bases
                )
                assert wanted & {ast.unparse(base) for base in node.bases}, f"{path}:{node.lineno}"
                seen.add(node.name)
    assert {"Target", "Account", "Summary"} <= seen
