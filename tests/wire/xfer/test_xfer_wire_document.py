"""The protocol document holds what the code does."""

import re
from pathlib import Path

import attrs

from twisted_xfer.protocols.xfer.wire.frames import FrameType
from twisted_xfer.protocols.xfer.wire.messages import MESSAGES

DOCUMENT = (Path(__file__).parents[3] / "docs/protocol/xfer.rst").read_text("utf-8")


def test_every_frame_type_is_in_the_table():
    """Number and name of each."""
    rows = {
        (int(number, 16), name)
        for number, name in re.findall(r"^(0x[0-9a-f]{2})\s+([A-Z_]+)", DOCUMENT, re.MULTILINE)
    }
    assert rows == {(kind.value, kind.name) for kind in FrameType}


def test_every_key_is_in_the_table():
    """With a question mark where it may be left out."""
    table = DOCUMENT.split("======  =====", 3)
    text = " ".join(table[1:])
    for kind in MESSAGES.values():
        for field in attrs.fields(kind):
            if "kind" in field.metadata:
                wanted = field.name + ("" if field.default is attrs.NOTHING else r"\?")
                assert re.search(rf"\b{wanted}(?=[\s,(]|$)", text, re.MULTILINE), (kind.__name__, field.name)
