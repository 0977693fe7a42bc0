"""The JSON "FTP" of a socketserver tutorial."""

from twisted_xfer.protocols.jsonftp.client import Session, log_in
from twisted_xfer.protocols.jsonftp.plugin import JSONFTPOptions, jsonftp

__all__ = ["JSONFTPOptions", "Session", "jsonftp", "log_in"]
