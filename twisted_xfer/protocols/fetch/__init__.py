"""Fetch: the ``get`` servers of a socket tutorial, with and without MD5."""

from twisted_xfer.protocols.fetch.client import get
from twisted_xfer.protocols.fetch.plugin import FetchOptions, fetch

__all__ = ["FetchOptions", "fetch", "get"]
