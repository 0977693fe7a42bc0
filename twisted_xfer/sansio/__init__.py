"""Parts that every wire format is built from: no I/O, no clock, nothing that grows without a bound."""

from twisted_xfer.sansio.buffer import ByteBuffer
from twisted_xfer.sansio.cursor import Cursor
from twisted_xfer.sansio.json import JSONReader, decode_json
from twisted_xfer.sansio.tables import Transitions

__all__ = ["ByteBuffer", "Cursor", "JSONReader", "Transitions", "decode_json"]
