"""The catalogue of events, those that emit them, and the documentation agree."""

import ast
import pathlib
import re

import pytest

import twisted_xfer
from twisted_xfer.events.bus import _COMMON
from twisted_xfer.interfaces.eventtypes import CATALOGUE

SOURCE = pathlib.Path(twisted_xfer.__file__).parent
DOCUMENT = pathlib.Path(__file__).parents[3] / "docs" / "reference" / "events.rst"
#: Files that name events without emitting them.
READERS = {"interfaces/eventtypes.py", "events/xferlog.py", "events/metrics.py"}


@pytest.fixture(scope="module")
def trees():
    """Each file that may emit or name an event, by its name; let go at the end, for trees take much room."""
    names = {file.relative_to(SOURCE).as_posix(): file for file in sorted(SOURCE.rglob("*.py"))}
    texts = {
        name: file.read_text(encoding="utf-8")
        for name, file in names.items()
        if name not in READERS and not name.startswith("testing/")
    }
    worth = re.compile("|".join(["emit", "ask", *map(re.escape, CATALOGUE)]))
    return [(name, ast.parse(text)) for name, text in texts.items() if worth.search(text)]


def emitted(trees):
    """Each literal id given to something called ...emit or ...ask, with the names of its keywords."""
    for file, tree in trees:
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if not called.endswith(("emit", "ask")):
                continue
            for literal in ast.walk(node.args[0]):
                if (
                    isinstance(literal, ast.Constant)
                    and isinstance(literal.value, str)
                    and "." in literal.value
                ):
                    yield (
                        f"{file}:{node.lineno}",
                        literal.value,
                        {word.arg for word in node.keywords if word.arg},
                    )


def documented():
    rows = re.findall(
        r"^   \* - (.+)\n     - (.+)\n     - .+$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE
    )
    return {
        event_id.strip("`"): tuple(re.findall(r"``(\w+)``", fields))
        for event_id, fields in rows
        if "``" in event_id
    }


def test_every_event_in_the_source_is_catalogued(trees):
    """No emitter uses an id or a field that listeners cannot look up."""
    found = list(emitted(trees))
    assert found
    wrong = [
        (place, event_id, sorted(words))
        for place, event_id, words in found
        if event_id not in CATALOGUE or not words <= {*CATALOGUE[event_id], *_COMMON}
    ]
    assert wrong == []


def test_every_catalogued_event_is_emitted(trees):
    """The catalogue promises nothing that never comes."""
    named = {
        node.value
        for _file, tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert set(CATALOGUE) - named == set()


def test_the_documentation_has_exactly_the_catalogue():
    """Ids, fields and their order are those of the code."""
    assert documented() == CATALOGUE
    assert list(documented()) == list(CATALOGUE)


@pytest.mark.parametrize("event_id", CATALOGUE)
def test_no_field_hides_a_common_one(event_id):
    """Fields and common values share one line of JSON."""
    taken = {*_COMMON, "time", "id"}
    assert taken.isdisjoint(CATALOGUE[event_id])
    assert not [name for name in CATALOGUE[event_id] if name.endswith("_b64")]
