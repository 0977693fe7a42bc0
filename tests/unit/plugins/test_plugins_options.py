"""TOML tables to frozen options: every type, and every way to be wrong."""

import enum
import pathlib
from collections.abc import Mapping
from typing import Any, Literal

import attrs
import pytest

from twisted_xfer.errors import ConfigError, PluginError
from twisted_xfer.plugins import options_from_table


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@attrs.frozen
class Inner:
    depth: int = 0


@attrs.frozen
class Needy:
    key: str


@attrs.frozen
class Every:
    flag: bool = False
    count: int = 0
    ratio: float = 0.0
    text: str = ""
    where: pathlib.Path = pathlib.Path()
    colour: Colour = Colour.RED
    mode: Literal["fast", "slow", 1] = "fast"
    names: tuple[str, ...] = ()
    pair: tuple[int, str] = (0, "")
    bare: list = attrs.field(factory=list)
    numbers: list[int] = attrs.field(factory=list)
    rights: frozenset[str] = frozenset()
    inner: Inner = Inner()
    inners: tuple[Inner, ...] = ()
    by_name: dict[str, Inner] = attrs.field(factory=dict)
    rates: Mapping[str, float] = attrs.field(factory=dict)
    either: int | str = 0
    maybe: str | None = None
    anything: Any = None
    needy: Needy | None = None


@pytest.mark.parametrize(
    ("key", "given", "made"),
    [
        ("flag", True, True),
        ("count", 3, 3),
        ("ratio", 2, 2.0),
        ("ratio", 0.5, 0.5),
        ("text", "x", "x"),
        ("where", "/a", pathlib.Path("/a")),
        ("colour", "blue", Colour.BLUE),
        ("mode", "slow", "slow"),
        ("mode", 1, 1),
        ("names", ["a", "b"], ("a", "b")),
        ("pair", [1, "a"], (1, "a")),
        ("bare", [1, "a"], [1, "a"]),
        ("numbers", [1, 2], [1, 2]),
        ("rights", ["a", "a"], frozenset({"a"})),
        ("inner", {"depth": 2}, Inner(2)),
        ("inners", [{"depth": 2}, {}], (Inner(2), Inner())),
        ("by_name", {"x": {"depth": 2}}, {"x": Inner(2)}),
        ("rates", {"x": 1}, {"x": 1.0}),
        ("either", "x", "x"),
        ("either", 4, 4),
        ("maybe", "x", "x"),
        ("anything", {"x": [1]}, {"x": [1]}),
        ("needy", {"key": "k"}, Needy("k")),
    ],
)
def test_values_become_what_the_field_says(key, given, made):
    """Each supported type, from what TOML has for it."""
    assert options_from_table(Every, {key: given}, where="listener.x") == Every(**{key: made})


@pytest.mark.parametrize(
    ("key", "given", "where", "remedy"),
    [
        ("flag", 1, "t.flag", "must be true or false"),
        ("count", True, "t.count", "must be a whole number"),
        ("count", 1.0, "t.count", "must be a whole number"),
        ("ratio", "1", "t.ratio", "must be a number"),
        ("ratio", False, "t.ratio", "must be a number"),
        ("text", 1, "t.text", "must be a text in quotes"),
        ("where", "", "t.where", "must be a path in quotes"),
        ("where", "a\0", "t.where", "must be a path in quotes"),
        ("colour", "green", "t.colour", "must be one of 'red', 'blue'"),
        ("mode", True, "t.mode", "must be one of 'fast', 'slow', 1"),
        ("names", "ab", "t.names", "must be a list"),
        ("names", ["a", 1], "t.names[1]", "must be a text in quotes"),
        ("pair", [1], "t.pair", "must be a list of 2 values"),
        ("inner", 3, "t.inner", "this must be a table"),
        ("inner", {"depht": 3}, "t.inner.depht", "there is no such key; did you mean 'depth'?"),
        ("inners", [{}, {"depth": "x"}], "t.inners[1].depth", "must be a whole number"),
        ("by_name", {"x": {"depth": "x"}}, "t.by_name.x.depth", "must be a whole number"),
        ("rates", 3, "t.rates", "must be a table"),
        ("either", 1.5, "t.either", "must be a whole number or a text in quotes"),
        ("maybe", 1, "t.maybe", "must be a text in quotes"),
        ("needy", {}, "t.needy.key", "this key is needed"),
        ("max-count", 1, "t.max-count", None),
        ("by-name", {}, "t.by-name", "there is no such key; did you mean 'by_name'?"),
    ],
)
def test_a_wrong_value_names_file_key_value_and_remedy(key, given, where, remedy):
    """Whoever wrote it can mend it from the error alone."""
    with pytest.raises(ConfigError) as caught:
        options_from_table(Every, {key: given}, where="t", file="/etc/xfer.toml")
    assert caught.value.key == where
    assert caught.value.file == "/etc/xfer.toml"
    if remedy is not None:
        assert caught.value.remedy == remedy
    else:
        assert caught.value.remedy.startswith("there is no such key")


def test_the_value_of_the_error_is_the_one_written():
    """The exact value is kept."""
    with pytest.raises(ConfigError) as caught:
        options_from_table(Every, {"count": "three"}, where="t")
    assert caught.value.value == "three"


def test_an_unknown_key_far_from_all_lists_them():
    """Without a near one, all keys are told."""
    with pytest.raises(ConfigError) as caught:
        options_from_table(Inner, {"zzz": 1}, where="t")
    assert caught.value.remedy == "there is no such key; known are: depth"


def test_a_table_at_the_top_has_plain_keys():
    """Without a name for the table, keys stand alone."""
    with pytest.raises(ConfigError) as caught:
        options_from_table(Inner, {"depth": "x"}, where="")
    assert caught.value.key == "depth"


def test_validators_of_the_class_become_configuration_errors():
    """A class may check more than types; its words are the remedy."""

    def even(_instance, _attribute, value):
        if value % 2:
            raise ValueError("must be even")

    cls = attrs.make_class("Even", {"n": attrs.field(default=0, type=int, validator=even)}, frozen=True)
    assert options_from_table(cls, {"n": 2}, where="t").n == 2
    with pytest.raises(ConfigError) as caught:
        options_from_table(cls, {"n": 3}, where="t")
    assert (caught.value.key, caught.value.value, caught.value.remedy) == ("t.n", 3, "must be even")


def test_a_field_without_a_type_takes_what_the_file_has():
    """It is the plugin's own business then."""
    cls = attrs.make_class("Loose", ["n"], frozen=True)
    assert options_from_table(cls, {"n": ["any", 5]}, where="t").n == ["any", 5]


def test_a_field_that_no_file_can_hold_is_a_fault_of_the_plugin():
    """The plugin's author is told, not the operator."""
    cls = attrs.make_class("Odd", {"n": attrs.field(default=0, type=complex)}, frozen=True)
    with pytest.raises(PluginError):
        options_from_table(cls, {"n": 3}, where="t")


@attrs.frozen
class Nest:
    nest: "Nest | None" = None


@pytest.mark.parametrize(("depth", "fits"), [(17, True), (18, False)])
def test_nesting_is_bounded(depth, fits):
    """A table at the bound is read, one deeper is refused."""
    table = {}
    for _ in range(depth - 1):
        table = {"nest": table}
    if fits:
        assert options_from_table(Nest, table, where="t").nest is not None
        return
    with pytest.raises(ConfigError) as caught:
        options_from_table(Nest, table, where="t")
    assert caught.value.remedy == "nested too deeply"
