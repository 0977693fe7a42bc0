"""Serving JIM: each connection is a member of one hub."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from twisted.cred.credentials import UsernamePassword
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from twisted_xfer.errors import (
    Busy,
    LocalProtocolError,
    LoginFailed,
    LoginRefused,
    RemoteProtocolError,
    XferError,
)
from twisted_xfer.interfaces import IHost, ILease
from twisted_xfer.protocols.jim.hub import Hub
from twisted_xfer.protocols.jim.wire import (
    Action,
    Bad,
    ServerReader,
    contact_of,
    encode,
    make,
    response,
    user_of,
)
from twisted_xfer.streams import Outlet, ServedFactory, ServedStream

#: Wrong passwords before the connection is closed.
MAX_FAILURES: Final = 5
#: Objects that wait for a member who does not read, on top of what the transport holds, before it is cut.
MAX_BEHIND: Final = 100
#: Characters of an offer of a file that goes with a message: a URL.
MAX_OFFER: Final = 200
Fields = Mapping[str, Any]


class JIMStream(ServedStream):
    """One member, or somebody who has not said who he is."""

    def __init__(self, host: IHost, peer: str, lease: ILease, hub: Hub, options: Any) -> None:
        super().__init__(host, "jim", peer, lease, options.idle)
        self.reader = ServerReader()
        self.username = ""
        self._hub = hub
        self._guests: bool = options.guests
        self._probe_after: float = options.probe
        self._probe: IDelayedCall | None = None
        self._outlet = Outlet()
        self._behind = 0
        self._failures = 0
        self._leaving = False

    # --- the transport's calls -------------------------------------------------------------

    def connectionMade(self) -> None:
        """Watch what the member reads."""
        self.transport.registerProducer(self._outlet, True)
        self._probe_later()
        super().connectionMade()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Be gone."""
        if self._probe is not None:
            self._probe.cancel()
            self._probe = None
        self._hub.go(self)
        super().connectionLost(reason)

    def _probe_later(self) -> None:
        self._probe = (
            self.clock.callLater(self._probe_after, self._ask_presence) if self._probe_after else None
        )

    def _ask_presence(self) -> None:
        """Somebody who is there answers, and so is not idle."""
        self._probe_later()
        if self.username:
            self.deliver(make("probe", self.host.wall_time()))

    def deliver(self, data: bytes) -> None:
        """Send ``data``; who does not read what others say is cut off, so that it cannot pile up."""
        if self.lost is not None:
            return
        self._behind = self._behind + 1 if self._outlet.full else 0
        if self._behind > MAX_BEHIND:
            self.end = "slow"
            self.transport.abortConnection()
            return
        self.transport.write(data)

    def answer(self, code: int, text: str = "", **extra: object) -> None:
        """Send a response."""
        self.deliver(response(code, self.host.wall_time(), text, **extra))

    # --- the coroutine ---------------------------------------------------------------------

    async def serve(self) -> None:
        """See ServedStream."""
        try:
            while not self._leaving and (event := await self.next_event()) is not None:
                await self._handle(event)
                if self._outlet.full and self.lost is None:
                    self._outlet.empty = Deferred()
                    await self.wait(self._outlet.empty)
        except RemoteProtocolError:
            # Where the next object begins is not known any more.
            self.answer(400)
            raise
        finally:
            self._hub.go(self)

    async def _handle(self, event: Any) -> None:
        if isinstance(event, Bad):
            self.answer(400, event.detail)
            return
        needs_name, handler = _HANDLERS[event.action]
        if needs_name and not self.username:
            self.answer(401)
            return
        try:
            await handler(self, event.fields)
        except Busy as error:
            self.answer(403, error.detail)
        except LocalProtocolError:
            self.answer(400, "too long to be passed on")

    async def authenticate(self, fields: Fields) -> None:
        """200, 402 or 409."""
        name, password, _ = user_of(fields)
        if self.username:
            self.answer(409)
            return
        try:
            await self.log_in(UsernamePassword(_bytes(name), _bytes(password)))
        except XferError as error:
            if self.lost is not None:
                raise
            self._failures += 1
            self.answer(402 if isinstance(error, LoginFailed) else 403)
            if self._failures >= MAX_FAILURES:
                raise LoginRefused(detail="too many failures") from error
            return
        if not self._take(name):
            self.log_out()

    def _take(self, name: str) -> bool:
        self.username = name
        if self._hub.enter(self):
            self.answer(200)
            return True
        self.username = ""
        self.answer(409)
        return False

    async def presence(self, fields: Fields) -> None:
        """200 for whoever is known; a guest takes a name by it, where there are guests."""
        name = user_of(fields)[0]
        if self.username:
            self.answer(200 if name == self.username else 403)
        elif self._guests:
            self._take(name)
        else:
            self.answer(401)

    async def probe(self, fields: Fields) -> None:
        """Only servers ask that."""
        self.answer(400, "only servers probe")

    async def message(self, fields: Fields) -> None:
        """To one, or to all others in a room. Who it is from is what we know, not what was said."""
        to = fields["to"]
        said: dict[str, object] = {"to": to, "from": self.username}
        said |= {"encoding": fields.get("encoding", "ascii"), "message": fields["message"]}
        offer = fields.get("offer")
        if isinstance(offer, str) and 0 < len(offer) <= MAX_OFFER:
            said["offer"] = offer
        data = make("msg", self.host.wall_time(), **said)
        if to[:1] == "#":
            members = self._hub.rooms.get(to)
            if members is None:
                self.answer(404)
            elif self.username not in members:
                self.answer(403, "not in this room")
            else:
                self.answer(200)
                for member in list(members.values()):
                    if member is not self:
                        member.deliver(data)
            return
        target = self._hub.online.get(to)
        if target is None:
            self.answer(410 if self._hub.knows(to) else 404)
            return
        self.answer(200)
        target.deliver(data)

    async def join(self, fields: Fields) -> None:
        """201 for a new room, else 200."""
        self.answer(201 if self._hub.join(self, fields["room"]) else 200)

    async def leave(self, fields: Fields) -> None:
        """200 or 404."""
        self.answer(200 if self._hub.leave(self, fields["room"]) else 404)

    async def quit(self, fields: Fields) -> None:
        """No answer: the connection is closed."""
        self._leaving = True

    async def get_contacts(self, fields: Fields) -> None:
        """202 with as many names as fit."""
        names = self._hub.contacts(self.username)
        while True:
            try:
                data = encode({"response": 202, "time": int(self.host.wall_time()), "alert": names})
            except LocalProtocolError:
                names.pop()
            else:
                self.deliver(data)
                return

    async def add_contact(self, fields: Fields) -> None:
        """202."""
        self._hub.add_contact(self.username, str(contact_of(fields)))
        self.answer(202)

    async def del_contact(self, fields: Fields) -> None:
        """202 or 404."""
        self.answer(202 if self._hub.drop_contact(self.username, str(contact_of(fields))) else 404)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


Handler = Callable[[JIMStream, Fields], Awaitable[None]]
#: Action: whether one must have said who one is, and what is done.
_HANDLERS: Final[dict[Action, tuple[bool, Handler]]] = {
    "authenticate": (False, JIMStream.authenticate),
    "presence": (False, JIMStream.presence),
    "probe": (False, JIMStream.probe),
    "msg": (True, JIMStream.message),
    "join": (True, JIMStream.join),
    "leave": (True, JIMStream.leave),
    "quit": (False, JIMStream.quit),
    "get_contacts": (True, JIMStream.get_contacts),
    "add_contact": (True, JIMStream.add_contact),
    "del_contact": (True, JIMStream.del_contact),
}


def make_factory(host: IHost, options: Any) -> ServedFactory:
    """The factory for one chat."""
    hub = Hub()
    return ServedFactory(host, "jim", lambda peer, lease: JIMStream(host, peer, lease, hub, options))
