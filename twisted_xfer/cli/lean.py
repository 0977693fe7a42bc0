"""Short commands pay for what they need: most of their time is the import of what moves the bytes."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Final

#: What Twisted imports for others, with a fifth of all modules behind it: loaded if anybody ever looks into it.
LATER: Final = ("http", "cookiejar")
#: What Twisted does without where it is not installed.
_TLS: Final = "OpenSSL"


class _Process:
    """Whether nothing else runs in this one, before the command or behind it."""

    ours = False


@contextmanager
def process() -> Iterator[None]:
    """For the console script, around its command."""
    _Process.ours = True
    try:
        yield
    finally:
        _Process.ours = False
        # What is left goes with the process.
        gc.freeze()


@contextmanager
def imports(*, tls: bool = True) -> Iterator[None]:
    """Around imports, in the command's own process: what they make stays, so nobody looks for garbage in it.

    Without ``tls`` Twisted's TLS is left out, for a command that needs none to its end.
    """
    if not (_Process.ours and gc.isenabled()):
        yield
        return
    gc.disable()
    try:
        _load_later(*LATER)
        with nullcontext() if tls else _without_tls():
            yield
    finally:
        gc.freeze()
        gc.enable()


def _load_later(package: str, name: str) -> None:
    """Let a module be loaded at the first look into it."""
    full = f"{package}.{name}"
    spec = importlib.util.find_spec(full) if full not in sys.modules else None
    if spec is not None and spec.loader is not None:
        loader = importlib.util.LazyLoader(spec.loader)
        spec.loader = loader
        sys.modules[full] = module = importlib.util.module_from_spec(spec)
        loader.exec_module(module)
        # Where it is looked for first, and without a look into it.
        setattr(sys.modules[package], name, module)


@contextmanager
def _without_tls() -> Iterator[None]:
    """Let the import of pyOpenSSL fail, for the reactor too. Whoever asks later gets it, but no TLS from Twisted."""
    if _TLS in sys.modules:
        yield
        return
    sys.modules[_TLS] = None  # type: ignore[assignment]  # documented: the import system stops at it
    try:
        yield
        importlib.import_module("twisted.internet.reactor")
    finally:
        del sys.modules[_TLS]
