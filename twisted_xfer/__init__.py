"""A file-transfer daemon and library on Twisted."""

__version__ = "0.1.0"
