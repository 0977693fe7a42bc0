"""Short commands pay for what they need: most of their time is the import of what moves the bytes."""

from __future__ import annotations

import gc
import importlib
import sys
import typing
from collections.abc import Callable, Collection, Coroutine, Iterator
from contextlib import contextmanager, nullcontext, suppress
from types import CoroutineType, ModuleType
from typing import Any, Final

#: What Twisted does without where it is not installed.
_TLS: Final = "OpenSSL"


def _stand_in(name: str, names: dict[str, object]) -> ModuleType:
    """A module with these names; for any other it looks into the real one, and makes room for it."""
    stand_in = ModuleType(name)

    def later(attribute: str) -> object:
        # What import asks every module for.
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        _remove(name, stand_in)
        found: object = getattr(importlib.import_module(name), attribute)
        return found

    vars(stand_in).update(names, __getattr__=later)
    return stand_in


def _remove(name: str, stand_in: ModuleType | None) -> None:
    if sys.modules.get(name, sys) is stand_in:
        del sys.modules[name]


def _is_coroutine(thing: object) -> bool:
    """As asyncio's. That of Python 3.11 says yes to generators too, for which Twisted asks besides."""
    return isinstance(thing, (CoroutineType, Coroutine))


class _Unknown:
    """A class of which there is no object: for annotations, and for what only Windows has."""


def _escape(text: str, quote: bool = True) -> str:
    from html import escape

    return escape(text, quote)


def _in(options: Collection[object]) -> Callable[[object, Any, object], None]:
    """As attr.validators.in_, which is asked if there is something wrong."""

    def check(instance: object, attribute: Any, value: object) -> None:
        if value not in options:
            from attr.validators import in_

            in_(options)(instance, attribute, value)

    return check


def _type_var(name: str, *constraints: Any, default: object = None, **more: Any) -> Any:
    """Without its default, which only type checkers ask for."""
    del default
    # A type checker takes this call for the definition of a variable.
    make: Any = typing.TypeVar
    return make(name, *constraints, **more)


#: What Twisted takes of typing_extensions. Python has nearly all of it.
_TYPING: Final[dict[str, object]] = {
    **{
        name: getattr(typing, name) for name in ("Concatenate", "ParamSpec", "Self", "TypeAlias", "TypedDict")
    },
    "TypeVar": _type_var,
    "override": lambda method: method,
}
#: As logging has them.
_LEVELS: Final = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
#: What these modules of Twisted import besides, and what they find of it at once, or None if it is to be missing: what
#: they take while they are imported. Anything else of it is loaded when it is asked for, by no command of ours.
WITHOUT: Final[dict[str, dict[str, dict[str, object] | None]]] = {
    "twisted.internet.defer": {
        "asyncio": {"AbstractEventLoop": _Unknown, "Future": _Unknown, "iscoroutine": _is_coroutine},
        "html": {"escape": _escape},
        # With a fifth of all modules behind it.
        "http": {"cookiejar": _stand_in("http.cookiejar", {})},
        "logging": {**_LEVELS, "getLevelName": {level: name for name, level in _LEVELS.items()}.get},
        "pickle": {},
        "typing_extensions": _TYPING,
    },
    # For Windows; elsewhere it has not what is looked for.
    "twisted.python.win32": {"ctypes": None},
    "twisted.python.filepath": {"pathlib": {"PureWindowsPath": _Unknown}},
    "twisted.internet.protocol": {"random": {}, "typing_extensions": _TYPING},
    "twisted.internet.posixbase": {
        "twisted.internet.udp": {},
        "twisted.internet.unix": {},
        "typing_extensions": _TYPING,
    },
}


#: The same for attrs itself, which has its validators made with attrs: for Twisted's addresses, and for the options of plugins.
VALIDATORS: Final[dict[str, dict[str, object] | None]] = {
    "attr.validators": {"in_": _in},
    "attrs.validators": {},
}


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
def imports() -> Iterator[None]:
    """Around imports, in the command's own process: what they make stays, so nobody looks for garbage in it."""
    if not (_Process.ours and gc.isenabled()):
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def attrs() -> None:
    """Import attrs, for a command of which nearly every module has values."""
    if _Process.ours:
        _load_without("attrs", VALIDATORS)


@contextmanager
def twisted(*, tls: bool) -> Iterator[None]:
    """``imports`` of Twisted, and of all that is on it, without what no command of ours needs of it.

    Without ``tls`` Twisted's TLS is left out, for a command that needs none to its end.
    """
    with imports():
        if not _Process.ours:
            yield
            return
        with nullcontext() if tls else _without_tls():
            for module, instead in WITHOUT.items():
                _load_without(module, instead)
            yield


def _load_without(module: str, instead: dict[str, dict[str, object] | None]) -> None:
    """Import ``module`` with stand-ins for others. Whoever imports those afterwards gets them as they are."""
    placed = {
        name: None if names is None else _stand_in(name, names)
        for name, names in instead.items()
        if name not in sys.modules
    }
    sys.modules.update(placed)  # type: ignore[arg-type]  # None is documented: the import system stops at it
    # A Twisted that takes what is below one of them gets it when it is imported again.
    with suppress(ImportError):
        importlib.import_module(module)
    for name, stand_in in placed.items():
        _remove(name, stand_in)


@contextmanager
def _without_tls() -> Iterator[None]:
    """Let the import of pyOpenSSL fail, for the reactor too. Whoever asks later gets it, but no TLS from Twisted."""
    if _TLS in sys.modules:
        yield
        return
    sys.modules[_TLS] = None  # type: ignore[assignment]  # as above
    try:
        yield
        importlib.import_module("twisted.internet.reactor")
    finally:
        del sys.modules[_TLS]
