"""``python -m twisted_xfer.cli``: the same as ``xfer``."""

from twisted_xfer.cli.main import main

main()
