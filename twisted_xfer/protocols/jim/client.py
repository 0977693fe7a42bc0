"""A member of a chat, on a course's server or on ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

from twisted_xfer.errors import Busy, LocalProtocolError, LoginFailed, RemoteProtocolError
from twisted_xfer.protocols.jim.wire import ACTIONS, MAX_MESSAGE, Action, ClientReader, make
from twisted_xfer.streams import ClientStream, dial

#: Seconds of silence after which a server is given up that does not let us in.
WITHIN: Final = 30.0


class Heard(NamedTuple):
    """Something that came: a message, or a response with its code (0 for messages).

    ``sender`` and ``to`` are empty for responses, ``offer`` is a URL or empty. All of it is what
    others sent: not for a terminal as it is.
    """

    code: int
    text: str
    sender: str = ""
    to: str = ""
    offer: str = ""


class Chat:
    """Logged in. Close it in a ``finally``. Objects that would be over 640 characters raise LocalProtocolError."""

    def __init__(self, stream: ClientStream, username: str, now: Callable[[], float]) -> None:
        self._stream = stream
        self._now = now
        self.username = username

    async def enter(self, password: str | None) -> None:
        """Authenticate, unless there is no password, and say that we are there.

        Raises:
            LoginFailed: 401, 402 or 403.
            Busy: 409, somebody of that name is there.
            RemoteProtocolError, TimedOut, ConnectionLost.
        """
        if password is not None:
            self._send("authenticate", user={"account_name": self.username, "password": password})
            await self._admitted()
        self.presence()
        await self._admitted()

    def presence(self, status: str = "here") -> None:
        """Say that we are there."""
        self._send("presence", type="status", user={"account_name": self.username, "status": status})

    def say(self, to: str, message: str, offer: str = "") -> None:
        """Send ``message`` to a user, or to a room (``#``): in several where it is too long for one object.

        Raises:
            LocalProtocolError: not even a single character fits, as the offer is too long.
        """
        more: dict[str, Any] = {"offer": offer} if offer else {}
        while message:
            size = min(len(message), MAX_MESSAGE)
            while not (sent := self._try_message(to, message[:size], more)) and size > 1:
                size = max(1, size * 3 // 4)
            if not sent:
                raise LocalProtocolError(detail="too long")
            message, more = message[size:], {}

    def _try_message(self, to: str, piece: str, more: dict[str, Any]) -> bool:
        """Whether ``piece`` fitted into an object, and so was sent; the server puts our name into it."""
        encoding = "ascii" if piece.isascii() else "utf-8"
        try:
            self._send("msg", to=to, **{"from": self.username}, encoding=encoding, message=piece, **more)
        except LocalProtocolError:
            return False
        return True

    def join(self, room: str) -> None:
        """Be in ``room``."""
        self._send("join", room=room)

    def leave(self, room: str) -> None:
        """Be out of ``room``."""
        self._send("leave", room=room)

    def ask_contacts(self) -> None:
        """Have the contacts told, in a response."""
        self._send("get_contacts", user_login=self.username)

    def add_contact(self, name: str) -> None:
        """One more contact."""
        self._send("add_contact", user_id=name, user_login=self.username)

    def drop_contact(self, name: str) -> None:
        """One contact less."""
        self._send("del_contact", user_id=name, user_login=self.username)

    async def hear(self) -> Heard | None:
        """What comes next, probes being answered; None when the server has gone.

        Raises:
            RemoteProtocolError: it does not speak JIM.
        """
        while (value := await self._stream.next_event()) is not None:
            heard = self._heard(value)
            if heard is not None:
                return heard
        return None

    def say_goodbye(self) -> None:
        """Say that we go and close; hear() answers None once that is done."""
        self._send("quit")
        if self._stream.lost is None:
            self._stream.transport.loseConnection()

    async def quit(self) -> None:
        """Say so and close."""
        self.say_goodbye()
        await self._stream.closed()

    def drop(self) -> None:
        """Cut the connection, if it is up."""
        self._stream.leave()

    def _send(self, action: Action, **fields: Any) -> None:
        data = make(action, self._now(), **fields)
        if self._stream.lost is None:
            self._stream.transport.write(data)

    def _heard(self, value: dict[str, Any]) -> Heard | None:
        code = value.get("response")
        if type(code) is int:
            text = value.get("alert", value.get("error", ""))
            return Heard(code, ", ".join(map(str, text)) if isinstance(text, list) else str(text))
        said = value.get("action")
        action = ACTIONS.get(said) if isinstance(said, str) else None
        if action == "probe":
            self.presence()
        if action != "msg":
            return None
        fields = [value.get(key) for key in ("message", "from", "to", "offer")]
        message, sender, to, offer = (field if isinstance(field, str) else "" for field in fields)
        return Heard(0, message, sender, to, offer)

    async def _admitted(self) -> None:
        while True:
            heard = await self.hear()
            if heard is None:
                raise self._stream.gone()
            if heard.code in {100, 101, 0}:
                continue
            if heard.code in {200, 201, 202}:
                return
            if heard.code == 409:
                raise Busy(self.username, "somebody of that name is there")
            if heard.code in {401, 402, 403}:
                raise LoginFailed(detail="" if heard.code == 402 else heard.text or str(heard.code))
            raise RemoteProtocolError(detail=f"response {heard.code}")


async def log_in(
    endpoint: IStreamClientEndpoint,
    username: str,
    password: str | None,
    clock: IReactorTime,
    now: Callable[[], float],
    *,
    within: float = WITHIN,
) -> Chat:
    """A chat; ``now`` gives Unix seconds. Once in, silence ends nothing.

    Raises:
        See Chat.enter.
    """
    stream = await dial(endpoint, ClientReader(), clock, within)
    chat = Chat(stream, username, now)
    try:
        await chat.enter(password)
    except Exception:
        stream.leave()
        raise
    stream.set_idle(0)
    return chat
