"""What a session remembers, and what its commands ask of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.defer import Deferred

from twisted_xfer.errors import Truncated, XferError
from twisted_xfer.interfaces import Eventually, IAvatar, IHost, ILease, ITransfer, TransferMode
from twisted_xfer.paths import ROOT, VirtualPath
from twisted_xfer.protocols.ftp.charset import UTF8, NameCodec
from twisted_xfer.protocols.ftp.control import ControlChannel
from twisted_xfer.protocols.ftp.data import DataLink
from twisted_xfer.protocols.ftp.options import FTPOptions
from twisted_xfer.protocols.ftp.protection import Protection
from twisted_xfer.protocols.ftp.siblings import Siblings
from twisted_xfer.protocols.ftp.wire.server import Command, Rejected, ServerWire
from twisted_xfer.protocols.ftp.wire.states import Sequence
from twisted_xfer.protocols.ftp.wire.verbs import Verb


class SessionState:
    """The state of one control connection; what moves it is ``FTPSession``."""

    __slots__ = (
        "abort_replies", "avatar", "bad_commands", "channel", "closed", "codec", "codec_chosen", "commands", "cwd", "data", "deadline", "draining", "epsv_all", "facts", "found",
        "handlers", "held", "host", "idle", "lease", "listener_codec", "local", "login", "logins", "mode", "opened", "options", "output", "paused", "peer", "protection",
        "quitting", "running", "sequence", "session_id", "size_hint", "size_taken", "spelled", "transfer", "turning", "uploading", "username", "verbs", "waiting", "wire",
    )  # fmt: skip

    def __init__(
        self,
        host: IHost,
        options: FTPOptions,
        channel: ControlChannel,
        *,
        peer: str,
        local: str,
        verbs: Mapping[bytes, Verb],
        handlers: Mapping[bytes, Callable[[Any, bytes], Eventually[bytes]]],
        codec: NameCodec = UTF8,
        siblings: Siblings | None = None,
    ) -> None:
        self.host = host
        self.options = options
        self.channel = channel
        self.peer = peer
        self.local = local
        self.verbs = verbs
        self.handlers = handlers
        self.session_id = host.new_session_id()
        self.wire = ServerWire(verbs, options.max_line)
        self.sequence = Sequence()
        self.protection = Protection(host, options, peer, self.session_id, siblings)
        self.data = DataLink(host, local, peer, self.protection, channel.reclaim_ports)
        self.closed = False
        self.quitting = False
        self.draining = False
        self.lease: ILease | None = None
        self.opened = host.clock.seconds()
        self.deadline = 0.0
        self.idle = host.timeouts.idle
        self.waiting: deque[Command | Rejected] = deque()
        self.running: Command | None = None
        self.transfer: ITransfer | None = None
        #: What the running transfer writes, below the account's root.
        self.uploading: VirtualPath | None = None
        #: The path that a client named last, as it came; and one with what it means, other than converted.
        self.spelled = b""
        self.found: tuple[bytes, VirtualPath] | None = None
        #: What ALLO had announced for the last upload, for a command that is begun a second time.
        self.size_taken: int | None = None
        self.abort_replies = 0
        self.bad_commands = 0
        self.output: list[bytes] = []
        self.turning = False
        self.paused = False
        self.held = False
        self.avatar: IAvatar | None = None
        self.commands = 0
        self.listener_codec = codec
        #: How many times somebody has logged in, which takes REIN in between.
        self.logins = 0
        #: A login that a checker has not answered yet.
        self.login: Deferred[Any] | None = None
        self.reset()

    def log_out(self) -> None:
        """Whoever is logged in, is so no more."""
        avatar, self.avatar = self.avatar, None
        if avatar is not None:
            avatar.logout()
            self.protection.logged_out()
        self.username = ""

    def reset(self) -> None:
        """The state of a session that nobody has logged into."""
        self.log_out()
        self.sequence.reset()
        self.codec = self.listener_codec
        #: OPTS UTF8 was said: what the client chose counts for more than its account's charset.
        self.codec_chosen = False
        self.cwd: VirtualPath = ROOT
        self.mode = TransferMode.ASCII
        self.size_hint: int | None = None
        self.epsv_all = False
        self.facts: tuple[str, ...] | None = None

    # --- for the commands --------------------------------------------------------------

    def touch(self) -> None:
        """The client did something: its idle time starts anew, unless it has been told to go."""
        if self.avatar is not None and not self.quitting:
            self.deadline = self.host.clock.seconds() + self.idle if self.idle else 0.0

    def flush(self) -> None:
        """Send what is in the output, in one write."""
        if self.output and not self.closed:
            output = self.output
            data = output[0] if len(output) == 1 else b"".join(output)
            output.clear()
            if data:
                self.channel.send(data)

    def say(self, data: bytes) -> None:
        """Put a preliminary reply (1yz) into the output; outside a turn nobody else would send it."""
        self.output.append(data)
        if not self.turning:
            self.flush()

    def path(self, argument: bytes) -> VirtualPath:
        """The path that a client named. May raise NameInvalid."""
        self.spelled = argument
        found = self.found
        if found is not None and found[0] == argument:
            return found[1]
        return VirtualPath.parse(self.codec.to_storage(argument), self.cwd)

    def shown(self, path: VirtualPath) -> bytes:
        """A path as the client's charset has it."""
        return self.codec.to_wire(bytes(path))

    def check_client(self) -> None:
        """Raises Truncated when the client has closed the control connection."""
        if self.closed or self.channel.peer_gone:
            raise Truncated(None, "the control connection ended with the data")

    def user(self) -> IAvatar:
        """The avatar; the sequence table has seen to it that there is one."""
        if self.avatar is None:
            raise XferError(None, "nobody is logged in")
        return self.avatar

    def emit(self, event_id: str, **fields: Any) -> None:
        """An event of this session."""
        if self.host.events.active:
            self.host.events.emit(
                event_id,
                session=self.session_id,
                protocol="ftp",
                username=self.username,
                peer=self.peer,
                **fields,
            )
