"""FTP on the wire, without I/O: verbs, grammar, order, replies, listings and both readers."""
