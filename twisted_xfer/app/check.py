"""``--check``: what a start would do, without listening anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TextIO

from twisted_xfer.app import load
from twisted_xfer.app.build import build
from twisted_xfer.app.dump import to_toml
from twisted_xfer.app.explain import explain, warnings
from twisted_xfer.app.verify import check_files
from twisted_xfer.errors import XferError


def check(path: str, flags: Mapping[str, object], out: TextIO, errors: TextIO) -> int:
    """Load and build; the resolved tree goes to ``out``, warnings and the error to ``errors``.

    Returns 0 when the daemon would start as told (its ports being free), else 1.
    """
    from twisted.internet import reactor

    try:
        with load.located(path, flags):
            config = load.load(path, flags)
            check_files(config)
            daemon = build(config, reactor)
    except XferError as error:
        errors.write(f"xfer: {explain(error)}\n")
        return 1
    daemon.close()
    for trouble in daemon.troubles:
        load.locate(trouble, path, flags)
        errors.write(f"xfer: {explain(trouble)}\n")
    if daemon.troubles:
        return 1
    out.write(to_toml(daemon.config))
    found = warnings(daemon.config, asked=daemon.checkers)
    errors.writelines(f"xfer: warning: {warning}\n" for warning in found)
    errors.write("xfer: the configuration is good\n")
    return 0
