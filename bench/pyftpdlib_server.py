"""Run pyftpdlib as shipped, quiet, for one account: PORT HOME USER PASSWORD [PEM].  A process of its own, not a module.

With a PEM file of a certificate and its key it offers TLS.
"""

from __future__ import annotations

import logging
import sys

from pyftpdlib.authorizers import DummyAuthorizer  # type: ignore[import-untyped]
from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler  # type: ignore[import-untyped]
from pyftpdlib.servers import FTPServer  # type: ignore[import-untyped]


def main(port: str, home: str, user: str, password: str, certificate: str = "") -> None:
    """Serve until killed."""
    logging.basicConfig(level=logging.ERROR)
    authorizer = DummyAuthorizer()
    authorizer.add_user(user, password, home, perm="elradfmwMT")
    handler = FTPHandler
    if certificate:
        handler = TLS_FTPHandler
        handler.certfile = handler.keyfile = certificate
    handler.authorizer = authorizer
    server = FTPServer(("127.0.0.1", int(port)), handler, backlog=512)
    server.max_cons = 4096
    server.serve_forever(handle_exit=False)


if __name__ == "__main__":
    main(*sys.argv[1:6])
