"""``xfer chat``: a chat in the terminal, line by line."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Callable
from typing import IO, Any, Final

import attrs
import click
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from twisted_xfer.cli import tutorial
from twisted_xfer.cli.asked import Asked
from twisted_xfer.cli.chat_screen import Screen, on_terminal, raw, write_out
from twisted_xfer.cli.output import result, say
from twisted_xfer.errors import ConnectionLost, XferError
from twisted_xfer.protocols.jim.wire import is_room

HELP: Final = """\
Text goes to whom you talk to; a line that begins with / is a command:
  /join #ROOM    be in a room, and talk to it     /leave [#ROOM]   be out of it
  /to NAME       talk to a user or a room         /msg NAME TEXT   say one thing to somebody
  /offer URL     offer a file to whom you talk to
  /contacts      your contacts                    /add NAME, /del NAME
  /help          this                             /quit            or Ctrl-D, Ctrl-C
"""


def clean(text: str) -> str:
    """What others wrote, without anything that a terminal would obey."""
    return "".join(char if char.isprintable() else "?" for char in text)


@attrs.define
class Talk:
    """What typed lines mean. ``target`` is whom text goes to; ``done`` is called by /quit."""

    chat: Any
    show: Callable[[str], object]
    done: Callable[[], object]
    target: str = ""

    def typed(self, line: str) -> None:
        """One line."""
        line = line.strip()
        if not line:
            return
        try:
            if not line.startswith("/"):
                self.say(self.target, line)
                return
            word, _, rest = line[1:].partition(" ")
            command = _COMMANDS.get(word.lower())
            if command is None:
                self.show("no such command; /help tells which there are")
            else:
                command(self, rest.strip())
        except XferError as error:
            self.show(f"not sent: {error.detail}")

    def say(self, to: str, text: str, offer: str = "") -> None:
        """Send text."""
        if not to:
            self.show("to whom? /join #ROOM or /to NAME first")
        else:
            self.chat.say(to, text, offer)

    def join(self, room: str) -> None:
        """Be in a room, and talk to it."""
        room = room if room.startswith("#") else f"#{room}"
        if not is_room(room):
            self.show("which room? Its name has up to 24 letters and no blanks: /join #tea")
            return
        self.chat.join(room)
        self.target = room
        self.show(f"talking to {clean(room)}")

    def leave(self, room: str) -> None:
        """Be out of a room."""
        room = room or self.target
        if not is_room(room):
            self.show("which room? /leave #ROOM")
            return
        self.chat.leave(room)
        if room == self.target:
            self.target = ""

    def to(self, name: str) -> None:
        """Talk to somebody."""
        self.target = name
        self.show(f"talking to {clean(name)}" if name else "talking to nobody")

    def message(self, rest: str) -> None:
        """Say one thing to somebody."""
        name, _, text = rest.partition(" ")
        if not text.strip():
            self.show("what, and to whom? /msg NAME TEXT")
            return
        self.say(name, text.strip())

    def offer(self, url: str) -> None:
        """Offer a file."""
        if not url:
            self.show("which file? /offer URL")
            return
        self.say(self.target, f"offers {url}", url)

    def contact(self, change: Callable[[str], object], name: str) -> None:
        """One contact more or less."""
        if not name:
            self.show("whom? /add NAME or /del NAME")
            return
        change(name)

    def heard(self, heard: Any) -> None:
        """Show what came."""
        if not heard.code:
            where = f" in {heard.to}" if heard.to.startswith("#") else ""
            self.show(clean(f"{heard.sender}{where}: {heard.text}"))
            if heard.offer:
                self.show(clean(f"  (a file: {heard.offer})"))
        elif heard.code != 200:
            self.show(clean(f"[{heard.code}] {heard.text or 'nobody'}"))


_COMMANDS: Final[dict[str, Callable[[Talk, str], object]]] = {
    "join": Talk.join,
    "leave": Talk.leave,
    "to": Talk.to,
    "msg": Talk.message,
    "offer": Talk.offer,
    "contacts": lambda talk, _rest: talk.chat.ask_contacts(),
    "add": lambda talk, name: talk.contact(talk.chat.add_contact, name),
    "del": lambda talk, name: talk.contact(talk.chat.drop_contact, name),
    "help": lambda talk, _rest: talk.show(HELP.rstrip()),
    "quit": lambda talk, _rest: talk.done(),
}


class Keyboard(LineReceiver):
    """Standard input, line by line; its end is a /quit. A line is bounded by LineReceiver's 16 KiB."""

    delimiter = b"\n"

    def __init__(self, talk: Talk) -> None:
        self._talk = talk

    def lineReceived(self, line: bytes) -> None:
        """One line."""
        self._talk.typed(line.decode("utf-8", "replace"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Ctrl-D."""
        self._talk.done()


class Keys(Protocol):
    """Standard input, key by key, on a terminal."""

    def __init__(self, screen: Screen, talk: Talk) -> None:
        self._screen = screen
        self._talk = talk

    def dataReceived(self, data: bytes) -> None:
        """Keys."""
        self._screen.feed(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The terminal has gone."""
        self._talk.done()


@click.command("chat")
@click.argument("url")
@click.option("--user", default="", help="Account; also as USER@ in the URL.")
@click.option("--password-file", type=click.File("rb"), help="First line; - is standard input.")
@click.option("--guest", is_flag=True, help="No password: where the server takes guests.")
@click.option("--ca", type=click.File("r"), help="PEM file of authorities to trust, for jims://.")
@click.option("--room", default="", help="A room to join at once.")
def command(
    url: str, user: str, password_file: IO[bytes] | None, guest: bool, ca: IO[str] | None, room: str
) -> None:
    """Talk in the chat at URL: jim://USER@HOST[:PORT], in the clear, or jims:// in TLS. /help tells how."""
    place = tutorial.parse(url, "jim")
    if place is None:
        raise click.UsageError("write jim://USER@HOST[:PORT]")
    asked = Asked(user, password_file, "", False, ca, False)
    password: str | None
    if guest:
        place = attrs.evolve(place, username=user or place.username)
        if not place.username:
            raise click.UsageError("under which name? Write jim://NAME@HOST")
        password, authorities = None, ca.read() if ca is not None else ""
    else:
        place, password, authorities = place.entered(asked)
    with raw(sys.stdin.fileno()) if on_terminal() else contextlib.nullcontext():
        tutorial.work(place, lambda reactor: _talk(reactor, place, password, authorities, room or place.path))


async def _talk(reactor: Any, place: tutorial.Place, password: str | None, ca: str, room: str) -> None:
    import time

    from twisted_xfer.protocols.jim import log_in

    chat = await log_in(place.endpoint(reactor, ca), place.username, password, reactor, time.time)
    leaving: list[Any] = []

    def done() -> None:
        """Once, from /quit, the end of standard input or Ctrl-C."""
        if not leaving:
            leaving.append(True)
            chat.say_goodbye()

    # Ctrl-C is a way to leave, too.
    reactor.addSystemEventTrigger("before", "shutdown", done)
    await _converse(chat, Talk(chat, result, done), reactor, f"{place.username} is in", room)
    if not leaving:
        raise ConnectionLost(detail="the server has gone")


async def _converse(chat: Any, talk: Talk, reactor: Any, greeting: str, room: str) -> None:
    """Until one side goes: on a terminal with a line at the bottom, otherwise line by line."""
    from twisted.internet.stdio import StandardIO

    keyboard: Protocol = Keyboard(talk)
    screen = None
    say(f"{greeting}; /help tells what can be done")
    if on_terminal():
        screen = Screen(
            write_out,
            talk.typed,
            talk.done,
            lambda: shutil.get_terminal_size().columns,
            lambda: f"{clean(talk.target)}> ",
        )
        talk.show = screen.show
        keyboard = Keys(screen, talk)
    if room:
        talk.join(room)
    StandardIO(keyboard, reactor=reactor)  # type: ignore[no-untyped-call]
    if screen is not None:
        # StandardIO made it non-blocking, and what others write in a burst would not all get out.
        os.set_blocking(sys.stdout.fileno(), True)
        screen.draw()
    try:
        while (heard := await chat.hear()) is not None:
            talk.heard(heard)
    finally:
        chat.drop()
        if screen is not None:
            screen.erase()
