"""What values have in common, made once: attrs would compile it for each class, and that is most of a class's price.

For classes that short commands load::

    @attrs.frozen(eq=False, repr=False)
    class Target(Value): ...

Of such a class attrs compiles ``__init__`` alone; measured: that takes a third of the time.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from operator import attrgetter
from reprlib import recursive_repr
from typing import Any

import attrs


@cache
def _shown(kind: type) -> tuple[attrs.Attribute[Any], ...]:
    return tuple(field for field in attrs.fields(kind) if field.repr)


@cache
def _compared(kind: type) -> Callable[[object], object]:
    names = [field.name for field in attrs.fields(kind) if field.eq]
    return attrgetter(*names or ["__class__"])


class Shown:
    """Base of an attrs class with ``repr=False``: shows its fields as attrs does, but none with ``repr=False``."""

    __slots__ = ()

    @recursive_repr("...")
    def __repr__(self) -> str:
        kind: Any = type(self)
        fields = ", ".join(f"{field.name}={getattr(self, field.name)!r}" for field in _shown(kind))
        return f"{kind.__qualname__.rpartition('>.')[2]}({fields})"


class Value(Shown):
    """Base of a frozen attrs class with ``eq=False, repr=False``: equal to one of the same class with equal fields.

    A field with ``eq=False`` counts neither for that nor for the hash.
    """

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        kind: Any = type(self)
        fields = _compared(kind)
        return fields(self) == fields(other)

    def __hash__(self) -> int:
        kind: Any = type(self)
        return hash(_compared(kind)(self))
