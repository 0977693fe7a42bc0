"""``xfer``: the console script."""

from __future__ import annotations

from typing import Any

from twisted_xfer.cli import lean


def main(arguments: list[str] | None = None) -> Any:
    """Parse, run, end with an exit code."""
    with lean.process():
        with lean.imports():
            from twisted_xfer.cli.commands import xfer
        return xfer.main(args=arguments, prog_name="xfer")


if __name__ == "__main__":
    main()
