"""``xfer plugins new``: begin a plugin of one's own."""

from __future__ import annotations

import keyword
import re
from importlib import resources
from pathlib import Path
from string import Template
from typing import Final

import click

from twisted_xfer.cli.exits import Exit
from twisted_xfer.cli.output import fail, result, say

#: Each kind, and the line of the configuration that uses such a plugin.
KINDS: Final = {
    "protocol": 'listen = ["$name=tcp:7000"]',
    "checker": 'auth = ["$name:alice:secret"]',
    "storage": 'storage = { plugin = "$name" }',
    "listener": 'listeners = [{ plugin = "$name" }]',
    "veto": 'listeners = [{ plugin = "$name" }]',
    "command": 'protocols = { ftp = { commands = ["$name"] } }',
}
#: The kind in the record, where it has another name.
_RECORD_KINDS: Final = {"veto": "listener"}
#: A module, a key of the configuration and part of a distribution's name at once.
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,30}\Z")
#: FTP verbs have at most so many letters, of which X for extensions is the first.
_VERB_LETTERS: Final = 15


@click.command("new")
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.argument("name")
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    help="Where to write it; a new directory xfer-NAME unless given.",
)
def new(kind: str, name: str, directory: Path | None) -> None:
    """Write a distribution with a plugin of KIND called NAME that works, and its test.

    Nothing that is there already is overwritten.
    """
    if not _NAME.match(name) or keyword.iskeyword(name):
        fail(
            f"{name!r} is no name for a plugin: lower-case letters, digits and _, as in my_{kind}", Exit.USAGE
        )
    _refuse_taken(kind, name)
    target = directory or Path("xfer-" + name.replace("_", "-"))
    files = skeleton(kind, name)
    try:
        target.mkdir(parents=True, exist_ok=True)
        taken = sorted(entry.name for entry in target.iterdir())
        if taken:
            fail(f"{target} is not empty: there is {taken[0]}", Exit.USAGE)
        for path, text in files.items():
            file = target / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(error)
    for path in files:
        result(str(target / path))
    say(f"Try it: cd {target} && pip install -e . pytest && pytest && xfer plugins")


def _refuse_taken(kind: str, name: str) -> None:
    """End with an explanation when another plugin has the name: no daemon starts with two of them."""
    from twisted_xfer.plugins.survey import provider

    kind = _RECORD_KINDS.get(kind, kind)
    if (taken := provider(kind, name)) is not None:
        fail(f"there is a {kind} plugin of this name already: {taken}; choose another one", Exit.USAGE)


def skeleton(kind: str, name: str) -> dict[str, str]:
    """The files of a new plugin, by path below its directory.

    They come from ``plugin_skeletons``: ``$name`` is the plugin's name, ``$Name`` the same for classes,
    ``$package`` and ``$distribution`` what holds it, ``$VERB`` an FTP verb made of the name.
    """
    words = {
        "name": name,
        "Name": "".join(part.capitalize() for part in name.split("_")),
        "VERB": "X" + name.replace("_", "").upper()[:_VERB_LETTERS],
        "package": f"xfer_{name}",
        "distribution": "xfer-" + name.replace("_", "-"),
        "kind": kind,
        "record_kind": _RECORD_KINDS.get(kind, kind),
    }
    words["use"] = Template(KINDS[kind]).substitute(words)
    texts = {
        "pyproject.toml": "pyproject",
        "README.md": "readme",
        f"xfer_{name}/__init__.py": kind,
        f"twisted/plugins/xfer_{name}_plugin.py": "record_checker" if kind == "checker" else "record",
        f"tests/test_{name}.py": f"{kind}_test",
    }
    folder = resources.files("twisted_xfer.cli") / "plugin_skeletons"
    return {
        path: Template((folder / f"{text}.txt").read_text("utf-8")).substitute(words)
        for path, text in texts.items()
    }
