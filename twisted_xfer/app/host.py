"""The daemon as protocols and plugins see it."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from twisted_xfer.interfaces import (
    ITLS,
    IBlocking,
    IDataPorts,
    IEvents,
    IHost,
    ILimits,
    ILogin,
    IRounds,
    ITransfers,
    RandomBytes,
    Timeouts,
)
from twisted_xfer.plugins.options import options_from_table
from twisted_xfer.plugins.registry import Registry
from twisted_xfer.runtime.rounds import Rounds

#: Crockford's base 32: no letters that are read as digits.
_DIGITS: Final = "0123456789abcdefghjkmnpqrstvwxyz"


def base32(number: int, width: int) -> str:
    """``number`` in at least ``width`` digits of _DIGITS."""
    digits = []
    while number:
        number, digit = divmod(number, 32)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits)).rjust(width, "0")


class SessionIds:
    """Ids for sessions: four random digits, the same for one process, then a counter.

    The counter makes them unique, the random part tells processes and restarts apart in a log.
    """

    def __init__(self, random: RandomBytes) -> None:
        self._prefix = base32(int.from_bytes(random(3), "big") % 32**4, 4)
        self._counter = itertools.count(1)
        #: All but the last digit, which changes with every 32nd only.
        self._head = self._prefix + base32(0, 2)

    def __call__(self) -> str:
        """The next one."""
        number = next(self._counter)
        last = number & 31
        if not last:
            self._head = self._prefix + base32(number >> 5, 2)
        return self._head + _DIGITS[last]


@implementer(IHost)
@attrs.define(eq=False)
class Host:
    """Everything a protocol may use, see IHost.

    ``login`` is set last, since what it is built from (the storage) is opened with the host.
    """

    clock: IReactorTime
    events: IEvents
    blocking: IBlocking
    limits: ILimits
    data_ports: IDataPorts
    transfers: ITransfers
    timeouts: Timeouts
    server_name: str
    tls: ITLS | None = None
    random: RandomBytes = os.urandom
    log: Logger = attrs.field(factory=lambda: Logger(namespace="xfer"))
    time: Callable[[], float] = time.time
    registry: Registry = attrs.field(factory=lambda: Registry(()))
    login: ILogin = attrs.field(init=False)
    rounds: IRounds = attrs.field(init=False)
    _ids: SessionIds = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._ids = SessionIds(self.random)
        self.rounds = Rounds(self.clock, self.log)

    def wall_time(self) -> float:
        """Unix time in seconds."""
        return self.time()

    def new_session_id(self) -> str:
        """A short id, unique in the daemon's life."""
        return self._ids()

    def command_rows(self, plugin: str, options: Mapping[str, object]) -> Iterable[object]:
        """The rows of a command plugin. Raises PluginError and ConfigError."""
        found = self.registry.get("command", plugin)
        return found.rows(options_from_table(found.options, options, where=f"commands.{plugin}"), self)
