"""The xfer protocol as bytes and rules: no I/O, no clock, no hashing of content."""
