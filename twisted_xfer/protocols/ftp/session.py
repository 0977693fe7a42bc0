"""One FTP session: its state, and the queue that runs one command at a time.

Commands are dispatched by table only. One command runs; lines that arrive meanwhile wait in
order, except that ABOR, STAT and NOOP are taken at once while a transfer is under way. QUIT is seen
at once too: it lets what came before it end, as RFC 959 section 4.1.1 has it, and nothing that comes
behind it is looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twisted_xfer.errors import Cancelled, NotFound, XferError
from twisted_xfer.interfaces import Eventually
from twisted_xfer.paths import VirtualPath
from twisted_xfer.protocols.ftp.errormap import closes_connection, reply_for
from twisted_xfer.protocols.ftp.shown import as_shown
from twisted_xfer.protocols.ftp.state import SessionState
from twisted_xfer.protocols.ftp.wire import replies
from twisted_xfer.protocols.ftp.wire.replies import reply
from twisted_xfer.protocols.ftp.wire.server import Command, Rejected
from twisted_xfer.protocols.ftp.wire.verbs import DATA_VERBS, FOREIGN_VERBS

#: Commands that may wait behind a running one. Clients that pipeline send a handful.
MAX_WAITING: Final = 64
#: Bytes of further ones that are read all the same, for an ABOR among them to be found and for the end of
#: the connection to be noticed; past it the transport is paused, and they stay in the client's own kernel.
MAX_UNREAD: Final = 16 * 1024
#: Seconds that a client gets to take our last words and to close, before it is cut off.
CLOSE_SECONDS: Final = 30.0
#: The same when the daemon stops: a program that is idle in TLS may not read before it has more to do, and
#: would hold up each stop for as long as transfers may.
PARTING_SECONDS: Final = 2.0
#: Commands taken in one go before other sessions get their turn.
COMMANDS_PER_TURN: Final = 50

#: Commands that name what is not there yet.
MAKES_NAMES: Final = frozenset({b"STOR", b"APPE", b"STOU", b"MKD", b"XMKD", b"RNTO"})

#: Answers the last reply of the command, or nothing when all was said already.
Handler = Callable[["FTPSession", bytes], Eventually[bytes]]


@lru_cache(64)
def _banner(text: str) -> bytes:
    return reply(220, text)


class FTPSession(SessionState):
    """The server's end of one control connection.

    Where what the peer controls is bounded: lines and their number by ``ServerWire`` and
    MAX_WAITING, the output by one running command, paths by ``VirtualPath.parse``, time by
    ``deadline``, which the factory watches.
    """

    __slots__ = ()

    # --- the life of the connection ----------------------------------------------------

    def admit(self) -> bool:
        """Whether the connection may stay; else it has been told."""
        self.limit(self.host.timeouts.login)
        try:
            self.lease = self.host.limits.admit(self.peer)
        except XferError as error:
            self.emit("connection.refused", code=error.code)
            self.refuse(reply_for(error))
            return False
        self.emit("connection.open", local=self.local)
        return True

    def greet(self) -> None:
        """The first words."""
        self.channel.send(_banner(self.options.banner))

    def limit(self, seconds: float) -> None:
        """The session may be silent for so long from now on (0: for ever)."""
        self.deadline = self.host.clock.seconds() + seconds if seconds else 0.0

    def received(self, data: bytes) -> None:
        """Bytes from the client; none are kept behind our last words, however long those take to be read."""
        if self.quitting:
            return
        self.wire.receive_data(data)
        self.turn()

    def lost(self, reason: str = "") -> None:
        """The control connection is gone: everything of the session ends with it."""
        if self.closed:
            return
        self.closed = True
        self.waiting.clear()
        transfer, self.transfer = self.transfer, None
        if transfer is not None:
            transfer.cancel(Cancelled(None, "control connection lost"))
        if self.login is not None:
            self.login.cancel()
        self.data.close()
        self.log_out()
        self.protection.lost()
        if self.lease is not None:
            self.lease.release()
            self.emit("connection.close", reason=reason, seconds=self.host.clock.seconds() - self.opened)

    def close(self, last: bytes = b"") -> None:
        """End the session from our side, with ``last`` as its last words."""
        if self.closed:
            return
        self.output.append(last)
        last = b"".join(self.output)
        self.output.clear()
        self.deadline = self.host.clock.seconds() + (PARTING_SECONDS if self.draining else CLOSE_SECONDS)
        self.channel.close(last)

    def refuse(self, last: bytes) -> None:
        """End the session for good; before its first TLS without a word."""
        self.quitting = True
        self.close(b"" if self.protection.silent else last)

    def check_deadline(self, now: float) -> None:
        """Called now and then by the factory: ends a session that has been silent for too long."""
        self.data.release_unused(now)
        if not self.deadline or now < self.deadline or self.closed:
            return
        if self.protection.handshaking or self.quitting:
            # Nothing can be said to somebody with whom there is no TLS yet, nor to one who does not
            # take what was said before.
            self.quitting = True
            self.channel.abort()
        elif self.running is None or self.login is not None:
            what = "Idle for too long" if self.avatar is not None else "Login took too long"
            self.refuse(reply(421, f"{what}; closing."))

    def drain(self) -> None:
        """The daemon stops: finish what runs, take nothing new."""
        self.draining = True
        if self.running is None:
            self.refuse(reply(421, "Service closing control connection."))

    def hurry(self) -> None:
        """The daemon waits no longer: a transfer ends with 426, and the client is told why in any case."""
        if self.transfer is not None:
            self.transfer.cancel(Cancelled(None, "the daemon stops"))
        if not self.quitting and not self.closed:
            self.refuse(reply(421, "Service closing control connection."))

    # --- the queue ---------------------------------------------------------------------

    def turn(self) -> None:
        """Run what may run now, then send all replies in one write."""
        if self.turning:
            return
        self.turning = True
        try:
            self._run_commands()
        finally:
            self.turning = False
            self.flush()

    def hold(self, *, held: bool) -> None:
        """The client does not take our replies, or takes them again: make none meanwhile."""
        self.held = held
        if not held:
            self.turn()

    def _run_commands(self) -> None:
        budget = COMMANDS_PER_TURN
        while not (self.quitting or self.closed):
            if self.running is None and budget and not (self.waiting or self.held):
                # As nearly always: nothing is under way, and nobody has to wait.
                event = self.wire.next_command()
                if event is None:
                    break
                budget -= 1
                if type(event) is Command:
                    self._run(event)
                else:
                    self._take(event)
                continue
            if self.held:
                self._pause(paused=True)
                return
            if self.running is None and self.waiting:
                self._take(self.waiting.popleft())
                continue
            if self.waiting and self._leaving:
                # Reading goes on, for the end of the connection to be noticed.
                self.wire.clear()
                break
            if self.running is not None and len(self.waiting) >= MAX_WAITING:
                abort = self.wire.take_abort() if budget and self.running.verb.name in DATA_VERBS else None
                if abort is None:
                    self._pause(paused=self.wire.pending > MAX_UNREAD)
                    return
                budget -= 1
                self._run_at_once(abort)
                continue
            if budget == 0:
                # A flood of pipelined commands must not keep the reactor from other sessions.
                self.channel.later(self.turn)
                self._pause(paused=True)
                return
            event = self.wire.next_command()
            if event is None:
                break
            if isinstance(event, Command) and self._passes(event):
                budget -= 1
                self._run_at_once(event)
            else:
                self.waiting.append(event)
        if self.paused:
            self._pause(paused=False)

    @property
    def _leaving(self) -> bool:
        """Whether QUIT waits for what came before it: it is the last that is let in."""
        last = self.waiting[-1] if self.waiting else None
        return isinstance(last, Command) and last.verb.name == b"QUIT"

    def _take(self, event: Command | Rejected) -> None:
        if isinstance(event, Command):
            self._run(event)
        else:
            self._reject(event)

    def _passes(self, command: Command) -> bool:
        """Whether a command may pass the running one: a transfer can be passed, a login cannot."""
        verb, running = command.verb, self.running
        if not verb.priority or running is None or running.verb.name not in DATA_VERBS:
            return False
        return verb.name != b"QUIT" and (verb.name != b"STAT" or not command.argument)

    def _pause(self, *, paused: bool) -> None:
        if paused != self.paused and not self.closed:
            self.paused = paused
            (self.channel.pause if paused else self.channel.resume)()

    def _reject(self, event: Rejected) -> None:
        self.bad_commands += 1
        if self.avatar is None and event.verb in FOREIGN_VERBS:
            # Somebody's browser or mailer was made to talk to us (CVE-2021-3618): answer nothing that
            # could be taken for its own protocol.
            self.refuse(b"")
        elif self.bad_commands >= self.options.bad_commands:
            self.refuse(reply(421, "Too many bad commands; closing."))
        else:
            self.output.append(event.reply)

    def _run(self, command: Command) -> None:
        """Start a command; it is over when its reply is in the output."""
        verb = command.verb
        sequence = self.sequence
        refusal = sequence.check(verb)
        if refusal is not None:
            self.output.append(refusal)
            return
        if sequence.restart or sequence.rename_from is not None:
            sequence.begin(verb)
        handler = self.handlers.get(verb.alias or verb.name)
        if handler is None:
            self.output.append(replies.NOT_IMPLEMENTED)
            return
        self.bad_commands = 0
        self.commands += 1
        self.running = command
        self._call(handler, command.argument)

    def _call(self, handler: Handler, argument: bytes) -> None:
        try:
            answer = handler(self, argument)
        except XferError as error:
            self._failed(error)
        except Exception:  # noqa: BLE001 - our own bug must not cost the peer its session
            self._broken(Failure())  # type: ignore[no-untyped-call]
        else:
            if isinstance(answer, bytes):
                self._finished(answer)
                return
            deferred = answer if isinstance(answer, Deferred) else Deferred.fromCoroutine(answer)
            deferred.addCallbacks(self._finished, self._errback)

    def _run_at_once(self, command: Command) -> None:
        """A command that may pass the running one."""
        name = command.verb.name
        if name == b"ABOR":
            self.abort_replies += 1
            self.abort()
        else:
            # NOOP, and STAT without a path: they answer at once, whatever runs.
            answer = self.handlers[name](self, b"")
            self.output.append(answer if isinstance(answer, bytes) else b"")

    def abort(self) -> None:
        """End the transfer under way, or the wait for its data connection.

        When there is neither yet, ``abort_replies`` says so to the command once its file is open.
        """
        if self.transfer is not None:
            self.transfer.cancel(Cancelled())
        else:
            self.data.cancel()

    def _finished(self, answer: bytes) -> None:
        self.running = None
        self.found = None
        self.transfer = None
        self.output.append(answer)
        if self.abort_replies:
            self.output.extend([replies.ABORT_OK] * self.abort_replies)
            self.abort_replies = 0
        self.touch()
        if self.draining and not self.quitting and not self.closed:
            self.refuse(reply(421, "Service closing control connection."))
        if not self.turning and not self.closed:
            self.turn()

    def _call_again(self, error: NotFound) -> bool:
        """Whether another path is looked for that the client may mean: in listings stand names that fit no charset."""
        command, codec, avatar = self.running, self.codec, self.avatar
        if command is None or avatar is None or self.found is not None or codec.charset == "utf-8":
            return False
        spelled = self.spelled
        if codec.to_storage(spelled) == spelled:
            return False
        makes = command.verb.name in MAKES_NAMES
        looked = Deferred.fromCoroutine(as_shown(avatar, codec, spelled, self.cwd, makes=makes))
        looked.addCallback(self._look_is_over, command, error).addErrback(self._errback)
        return True

    def _look_is_over(self, path: VirtualPath | None, command: Command, error: NotFound) -> None:
        if self.closed:
            self.running = None
            return
        if path is None:
            self._finished(reply_for(error))
            return
        self.found = (self.spelled, path)
        name, sequence = command.verb.name, self.sequence
        if name in {b"RETR", b"STOR"}:
            sequence.restart = sequence.taken
        if name in DATA_VERBS and name in MAKES_NAMES:
            self.size_hint = self.size_taken
        if name == b"RNTO":
            sequence.rename_from = sequence.rename_taken
        self._call(self.handlers[command.verb.canonical], command.argument)

    def _failed(self, error: XferError) -> None:
        if isinstance(error, NotFound) and self._call_again(error):
            return
        if closes_connection(error):
            self.running = None
            self.refuse(reply_for(error))
            return
        self._finished(reply_for(error))

    def _errback(self, failure: Failure) -> None:
        error = failure.value
        if self.closed:
            self.running = None
        elif isinstance(error, XferError):
            self._failed(error)
        else:
            self._broken(failure)

    def _broken(self, failure: Failure) -> None:
        """An error that nobody planned for: the operator gets it whole, the client gets 451."""
        verb = self.running.verb.name.decode("ascii") if self.running is not None else "?"
        self.host.log.failure(
            "{verb} failed in session {session}", failure, verb=verb, session=self.session_id
        )
        self._finished(reply_for(failure.value or XferError()))
