"""FTP commands: ``XLIN path`` counts the lines of a file, ``SITE WHOAMI`` says who is logged in."""

import attrs
from zope.interface import implementer

from twisted_xfer.errors import TooLarge
from twisted_xfer.interfaces import API_VERSION, ICommandPlugin, IHost
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.protocols.ftp.extend import CommandSession, Row, Verb, reply

#: What is read at once.
CHUNK = 65536


@attrs.frozen
class LinesOptions:
    """``largest``: files over so many bytes are not counted."""

    largest: int = 64 * 1024 * 1024


class Lines:
    """The handlers, with their options."""

    def __init__(self, largest: int) -> None:
        self._largest = largest

    async def count(self, session: CommandSession, argument: bytes) -> bytes:
        """XLIN: the avatar checks the right to read, and errors become replies by themselves."""
        file = await resolve(session.user().open_read(session.path(argument)))
        try:
            if file.info.size > self._largest:
                raise TooLarge(argument, limit=self._largest)
            lines = 0
            while data := await resolve(file.read(CHUNK)):
                lines += data.count(b"\n")
        finally:
            file.close()
        return reply(213, f"{lines}")

    def who(self, session: CommandSession, argument: bytes) -> bytes:
        """SITE WHOAMI: an answer at once."""
        return reply(200, f"{session.username} from {session.peer}")


@implementer(ICommandPlugin)
class LinesPlugin:
    """What the daemon sees."""

    name = "lines"
    api_version = API_VERSION
    options = LinesOptions

    def describe(self) -> str:
        return "XLIN and SITE WHOAMI"

    def rows(self, options: LinesOptions, host: IHost) -> list[Row]:
        """The rows of the table: what each command is, and who runs it."""
        lines = Lines(options.largest)
        xlin = Verb(
            b"XLIN", "required", right="read", path=True, feat=b"XLIN", help="XLIN <path>: count lines"
        )
        whoami = Verb(b"SITE WHOAMI", help="SITE WHOAMI: who is logged in")
        return [(xlin, lines.count), (whoami, lines.who)]


plugin = LinesPlugin()
