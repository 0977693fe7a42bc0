"""What the control messages have in common: their fields, and how they become frames."""

from __future__ import annotations

from typing import Any, ClassVar, Final, TypeVar, dataclass_transform

import attrs

from twisted_xfer.protocols.xfer.wire.checks import Kind
from twisted_xfer.protocols.xfer.wire.frames import FrameType, encode_frame
from twisted_xfer.protocols.xfer.wire.layout import Layout
from twisted_xfer.values import Value

T = TypeVar("T")


def field(kind: Kind, default: Any = attrs.NOTHING) -> Any:
    """A field that travels as ``kind``; left out where it has its default."""
    return attrs.field(default=default, metadata={"kind": kind})


def secret(kind: Kind, default: Any = attrs.NOTHING) -> Any:
    """The same, in no repr."""
    return attrs.field(default=default, repr=False, metadata={"kind": kind})


@dataclass_transform(frozen_default=True, field_specifiers=(attrs.field,))
def value(kind: type[T]) -> type[T]:
    """Make a frozen value of ``kind``: type checkers see to it, for attrs would take twice as long to make each one."""
    return attrs.define(eq=False, repr=False)(kind)


@value
class Message(Value):
    """Base: ``stream`` is the entry or request it is about, 0 for the connection."""

    TYPE: ClassVar[FrameType]
    #: Whether the frame's stream number means something.
    NUMBERED: ClassVar[bool] = True

    stream: int = attrs.field(default=0, kw_only=True)

    def encode(self) -> bytes:
        """The whole frame.

        Raises:
            LocalProtocolError: it is too long.
        """
        return encode_frame(self.TYPE, self.stream, layout_of(type(self)).write(self))

    def payload(self) -> bytes:
        """The JSON; what has its default value is left out."""
        return layout_of(type(self)).write(self)


_layouts: Final[dict[type[Message], Layout]] = {}


def layout_of(kind: type[Message]) -> Layout:
    """How its fields travel."""
    layout = _layouts.get(kind)
    if layout is None:
        layout = _layouts[kind] = Layout(kind, kind.TYPE.name)
    return layout
