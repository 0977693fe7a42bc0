"""Transition tables: which event leads from which state to which, as data that tests and docs read."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from types import MappingProxyType
from typing import Generic, TypeVar

from twisted_xfer.errors import LocalProtocolError, RemoteProtocolError

S = TypeVar("S", bound=Hashable)
E = TypeVar("E", bound=Hashable)


class Transitions(Generic[S, E]):
    """An immutable table ``{state: {event: next state}}``; what it does not hold is illegal."""

    __slots__ = ("_table",)

    def __init__(self, table: Mapping[S, Mapping[E, S]]) -> None:
        """Check and keep ``table``.

        Raises:
            LocalProtocolError: an event leads to a state that has no row.
        """
        self._table: Mapping[S, Mapping[E, S]] = MappingProxyType(
            {state: MappingProxyType(dict(row)) for state, row in table.items()}
        )
        for _, event, target in self.edges():
            if target not in self._table:
                raise LocalProtocolError(str(event), "leads to a state without a row")

    def after(self, state: S, event: E) -> S:
        """The next state.

        Raises:
            RemoteProtocolError: ``event`` is illegal in ``state``; fields hold both.
        """
        try:
            return self._table[state][event]
        except KeyError:
            raise RemoteProtocolError(detail="out of order", state=state, event=event) from None

    def legal(self, state: S) -> frozenset[E]:
        """The events that may come in ``state``."""
        return frozenset(self._table[state])

    @property
    def states(self) -> tuple[S, ...]:
        """All states, in the table's order."""
        return tuple(self._table)

    def edges(self) -> Iterator[tuple[S, E, S]]:
        """Every (state, event, next state), for tests and drawings."""
        for state, row in self._table.items():
            for event, target in row.items():
                yield state, event, target
