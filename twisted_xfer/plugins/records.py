"""What a drop-in holds. Light on purpose: every ``twistd`` command imports all drop-ins."""

from __future__ import annotations

from typing import Final

import attrs
from zope.interface import implementer

from twisted_xfer.interfaces import IPluginRecord, PluginKind

KINDS: Final = ("protocol", "storage", "quota", "listener", "command")


def _module_and_attribute(_record: object, _attribute: object, value: str) -> None:
    module, colon, name = value.partition(":")
    if not (colon and name.isidentifier() and all(part.isidentifier() for part in module.split("."))):
        raise ValueError(f"{value!r} is not of the form package.module:attribute")


def _kind(_record: object, _attribute: object, value: str) -> None:
    if value not in KINDS:
        raise ValueError(f"{value!r} is no kind of plugin; there are {', '.join(KINDS)}")


@implementer(IPluginRecord)
@attrs.frozen
class PluginRecord:
    """The name of a plugin and where it is to be found, without importing it.

    A third party puts such records, as module-level names, into a file of its own in
    ``twisted/plugins``. ``target`` is ``"package.module:attribute"``, an object that provides the
    interface of ``kind``; ``summary`` is one line for ``xfer plugins``.

    Raises:
        ValueError: ``kind`` is none of ours, ``name`` is empty or ``target`` has another form.
    """

    kind: PluginKind = attrs.field(validator=_kind)
    name: str = attrs.field(validator=attrs.validators.min_len(1))
    target: str = attrs.field(validator=_module_and_attribute)
    summary: str = ""
