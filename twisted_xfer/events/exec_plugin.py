"""Listeners that are programs: ``exec`` hears of events, ``veto`` may refuse an upload."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import attrs
from attrs.validators import ge, gt, le
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorProcess
from zope.interface import implementer

from twisted_xfer.errors import Busy, ConfigError, Vetoed, XferError
from twisted_xfer.events.exec_run import FILE_DESCRIPTOR, Outcome, check_program, environment, run_program
from twisted_xfer.events.json_lines import json_line
from twisted_xfer.events.outbox import Courier, check_outbox
from twisted_xfer.events.outbox_store import DEFAULT_MOST, Parcel
from twisted_xfer.interfaces import API_VERSION, Event, IHost, IListenerPlugin, IVetoListener
from twisted_xfer.interfaces.eventtypes import CATALOGUE

#: Programs at once: more would take the machine from the transfers.
MAX_AT_ONCE: Final = 64
#: Uploads that wait for the veto program: a client's patience is over before the last one's turn.
MAX_ASKING: Final = 1000
#: Seconds: what takes an hour is no answer.
MAX_TIMEOUT: Final = 3600.0
#: Characters of a program's own words that get into an error.
MAX_REASON: Final = 200


def known(_options: object, _attribute: object, ids: tuple[str, ...]) -> None:
    """Refuse ids that the catalogue has not."""
    unknown = [event_id for event_id in ids if event_id not in CATALOGUE]
    if unknown:
        raise ValueError(f"there is no event {unknown[0]!r}; there are: {', '.join(CATALOGUE)}")


@attrs.frozen
class ExecOptions:
    """See docs/operate/events."""

    argv: tuple[str, ...] = ()
    only: tuple[str, ...] = attrs.field(default=(), validator=known)
    timeout: float = attrs.field(default=30.0, validator=[gt(0), le(MAX_TIMEOUT)])
    at_once: int = attrs.field(default=2, validator=[ge(1), le(MAX_AT_ONCE)])
    environment: dict[str, str] = attrs.field(factory=dict)
    outbox: str = ""
    most: int = attrs.field(default=DEFAULT_MOST, validator=[ge(1), le(10_000_000)])


@attrs.frozen
class VetoOptions:
    """See docs/operate/events."""

    argv: tuple[str, ...] = ()
    timeout: float = attrs.field(default=60.0, validator=[gt(0), le(MAX_TIMEOUT)])
    at_once: int = attrs.field(default=4, validator=[ge(1), le(MAX_AT_ONCE)])
    environment: dict[str, str] = attrs.field(factory=dict)


class ProgramFailed(XferError):
    """The program of ``exec`` ended with another code than 0; field ``exit``."""

    code = "program_failed"


class ExecSender:
    """Delivers parcels to a program."""

    def __init__(self, reactor: Any, options: ExecOptions, mine: Mapping[str, str]) -> None:
        self._reactor = reactor
        self._options = options
        self._variables = environment(options.environment, mine)

    def __call__(self, parcel: Parcel) -> Deferred[None]:
        """Run it. Fails with ProgramFailed or TimedOut."""
        options = self._options
        event_id = str(json.loads(parcel.body)["id"])
        variables = {**self._variables, "XFER_EVENT": event_id, "XFER_DELIVERY": parcel.key}
        ran = run_program(self._reactor, options.argv, variables, parcel.body, timeout=options.timeout)
        return ran.addCallback(_succeeded)


def _succeeded(outcome: Outcome) -> None:
    if outcome.code != 0:
        raise ProgramFailed(detail=f"exit code {outcome.code}", exit=outcome.code)


@implementer(IVetoListener)
class VetoProgram:
    """Asks a program about each upload; any exit code but 0 refuses it, and so does a failure."""

    def __init__(self, reactor: Any, options: VetoOptions, mine: Mapping[str, str]) -> None:
        self._reactor = reactor
        self._options = options
        self._variables = environment({**options.environment, "XFER_EVENT": "upload.publish"}, mine)
        self._running = 0
        self._waiting: deque[Deferred[None]] = deque()

    def on_event(self, event: Event) -> None:
        """Facts do not matter here."""

    async def before(self, event: Event) -> None:
        """Refuse with Vetoed, or let pass. Fails with TimedOut or Busy, which refuse too."""
        if event.id != "upload.publish":
            return
        if self._running >= self._options.at_once:
            if len(self._waiting) >= MAX_ASKING:
                raise Busy(detail="too many uploads wait for the veto program")
            turn: Deferred[None] = Deferred(self._waiting.remove)
            self._waiting.append(turn)
            await turn
        else:
            self._running += 1
        try:
            await self._ask(event)
        finally:
            if self._waiting:
                self._waiting.popleft().callback(None)
            else:
                self._running -= 1

    async def _ask(self, event: Event) -> None:
        descriptor = event.fields.get("descriptor")
        fields = {**event.fields, "descriptor": None if descriptor is None else FILE_DESCRIPTOR}
        given = json_line(attrs.evolve(event, fields=MappingProxyType(fields)))
        options = self._options
        outcome = await run_program(
            self._reactor,
            options.argv,
            self._variables,
            given,
            timeout=options.timeout,
            descriptor=descriptor,
        )
        if outcome.code != 0:
            raise Vetoed(event.fields.get("path"), _reason(outcome), listener="veto", exit=outcome.code)


def _reason(outcome: Outcome) -> str:
    """The first line that it wrote, made harmless; else its exit code."""
    first = outcome.output.decode("utf-8", "replace").strip().partition("\n")[0]
    plain = "".join(char if char.isprintable() else "?" for char in first[:MAX_REASON])
    return plain or f"exit code {outcome.code}"


def process_reactor(host: IHost, key: str) -> Any:
    """The host's reactor.

    Raises:
        ConfigError: it has no processes.
    """
    if not IReactorProcess.providedBy(host.clock):
        raise ConfigError(key, remedy="run it in a daemon whose reactor can start processes")
    return host.clock


@implementer(IListenerPlugin)
class ExecPlugin:
    """A program that is run for events."""

    name = "exec"
    api_version = API_VERSION
    options: type[attrs.AttrsInstance] = ExecOptions

    def describe(self) -> str:
        """See IXferPlugin."""
        return "A program that gets events as JSON on its standard input, at least once."

    def open(self, options: Any, host: IHost) -> Courier:
        """See IListenerPlugin. Raises ConfigError when there is no such program, or no place for the outbox."""
        check_program(options.argv, "argv")
        check_outbox(options.outbox)
        reactor = process_reactor(host, "exec")
        courier = Courier(
            "exec",
            host.clock,
            host.wall_time,
            ExecSender(reactor, options, os.environ),
            seconds=options.timeout,
            path=options.outbox,
            only=frozenset(options.only),
            at_once=options.at_once,
            most=options.most,
        )
        courier.start()
        return courier


@implementer(IListenerPlugin)
class VetoPlugin:
    """A program that may refuse uploads."""

    name = "veto"
    api_version = API_VERSION
    options: type[attrs.AttrsInstance] = VetoOptions
    #: Without it uploads would pass unseen: a daemon that cannot open it does not start.
    required: Final = True

    def describe(self) -> str:
        """See IXferPlugin."""
        return "A program that may refuse each upload before it is published (exit code 0 lets pass)."

    def open(self, options: Any, host: IHost) -> VetoProgram:
        """See IListenerPlugin. Raises ConfigError when there is no such program."""
        check_program(options.argv, "argv")
        return VetoProgram(process_reactor(host, "veto"), options, os.environ)


exec: Final = ExecPlugin()  # noqa: A001 - the name by which it is configured
veto: Final = VetoPlugin()
