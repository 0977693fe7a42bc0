"""One command at a time; what passes, what waits, and what a peer can pile up."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed

from twisted_xfer.errors import Cancelled, ConnectionLost, TimedOut, Truncated
from twisted_xfer.interfaces import Timeouts
from twisted_xfer.protocols.ftp.commands.ending import (
    FEW_WRITES,
    FIRST_WAIT,
    LAST_LOOK,
    LONGER_LOOK,
    PATIENCE,
    TOO_SHORT,
)
from twisted_xfer.protocols.ftp.session import (
    CLOSE_SECONDS,
    COMMANDS_PER_TURN,
    MAX_UNREAD,
    MAX_WAITING,
    PARTING_SECONDS,
)


def test_transfer_replies_in_order(user):
    """150 when it begins, 226 when the data connection is down."""
    assert user.start_download().startswith(b"150 ")
    user.transfers.made[0].result.callback(4)
    assert user.take().startswith(b"226 ")


def test_passing_commands(user):
    """NOOP and STAT are answered while a transfer runs."""
    user.start_download()
    assert user.say("NOOP").startswith(b"200 ")
    user.transfers.made[0].transferred = 4321
    assert b"4321 bytes" in user.say("STAT")


def test_other_commands_wait_in_order(user):
    """PWD and MKD during a transfer are answered after its 226, in the order they came."""
    user.start_download()
    assert user.say("PWD", "MKD d", "STAT .") == b""
    user.transfers.made[0].result.callback(4)
    codes = [line[:4] for line in user.take().split(b"\r\n") if line[:3].isdigit() and line[3:4] == b" "]
    assert codes == [b"226 ", b"257 ", b"257 ", b"213 "]


def test_abort_of_a_transfer(user):
    """ABOR: 426 for the transfer, 226 for itself, and the session works on."""
    user.start_download()
    reply = user.say("ABOR")
    assert [line[:4] for line in reply.splitlines()] == [b"426 ", b"226 "]
    assert user.say("PWD").startswith(b"257 ")


def test_abort_with_telnet_synch(user):
    """ABOR behind IAC IP IAC DM, as RFC 959 has it."""
    user.start_download()
    assert user.raw(b"\xff\xf4\xff\xf2ABOR\r\n").startswith(b"426 ")


def test_abort_while_nobody_has_connected(user):
    """ABOR ends the wait for a data connection too."""
    user.storage_file("f", b"x")
    user.say("EPSV")
    assert user.say("RETR f").startswith(b"150 ")
    reply = user.say("ABOR")
    assert reply.splitlines()[-1].startswith(b"226 ")
    assert user.say("PWD").startswith(b"257 ")


def test_abort_without_transfer(user):
    """ABOR of nothing is a good reply."""
    assert user.say("ABOR").startswith(b"22")


def test_quit_during_a_transfer_waits_for_it(user):
    """RFC 959: the transfer's reply and those of what waited come first, then 221 and the end."""
    user.start_download()
    assert user.say("MKD before", "QUIT", "MKD after") == b""
    assert not user.transport.disconnecting
    user.transfers.made[0].result.callback(4)
    assert [line[:4] for line in user.take().splitlines()] == [b"226 ", b"257 ", b"221 "]
    assert user.transport.disconnecting


@pytest.mark.parametrize("before", [0, MAX_WAITING - 1])
def test_nothing_is_taken_behind_a_quit(user, before):
    """Neither what waits nor what would pass the transfer; what is read all the same is not kept."""
    user.start_download()
    assert user.say(*["PWD"] * before, "QUIT") == b""
    assert user.say("NOOP", "STAT", "ABOR", "QUIT", *["MKD after"] * MAX_WAITING) == b""
    assert user.raw(b"x" * 100_000) == b""
    assert user.transport.producerState == "producing"
    assert user.session.wire.pending == 0
    assert user.transfers.made[0].cancelled is None
    user.transfers.made[0].result.callback(4)
    user.clock.pump([0] * 5)
    assert [line[:4] for line in user.take().splitlines()] == [b"226 ", *[b"257 "] * before, b"221 "]
    assert user.transport.disconnecting


def test_who_leaves_behind_a_quit_takes_the_transfer_along(user):
    """The end of the connection is noticed, as without a QUIT."""
    user.start_download()
    user.say("QUIT")
    user.lose()
    assert isinstance(user.transfers.made[0].cancelled, Cancelled)


def test_lost_control_connection_ends_the_transfer(user):
    """Nothing goes on for a client that is gone."""
    user.start_download()
    user.lose()
    assert isinstance(user.transfers.made[0].cancelled, Cancelled)
    assert user.data_ports.ports[0].closed


def test_failed_transfer(user):
    """A lost data connection is 426, and the session works on."""
    user.start_download()
    user.transfers.made[0].result.errback(ConnectionLost())
    assert user.take().startswith(b"426 ")
    assert user.say("NOOP").startswith(b"200 ")


@pytest.mark.parametrize(("command", "said"), [("STOR g", True), ("APPE f", True), ("RETR f", False)])
def test_when_150_leaves(user, command, said):
    """Before an upload at once, for the client to begin; a download takes it along with its bytes."""
    user.storage_file("f", b"x")
    user.say("EPSV")
    port = user.data_ports.ports[0]
    before = []

    def accept(_timeout):
        before.append(user.take())
        return succeed(SimpleNamespace(secure=False))

    port.accept = accept
    after = user.say(command)
    assert before[0].startswith(b"150 ") is said
    assert after.startswith(b"150 ") is not said
    assert len(user.transfers.made) == 1


def test_nobody_connects(user):
    """A data connection that is not made in time is 425."""
    user.storage_file("f", b"x")
    user.say("EPSV")
    user.say("RETR f")
    user.data_ports.ports[0].waiting.errback(TimedOut())
    assert user.take().startswith(b"425 ")


def test_transfer_needs_a_data_connection(user):
    """RETR, STOR, LIST and the rest without PASV or PORT are 425."""
    for verb in ("RETR f", "STOR f", "APPE f", "STOU", "LIST", "NLST", "MLSD"):
        assert user.say(verb).startswith(b"425 "), verb


def test_a_data_connection_serves_one_transfer(user):
    """The second RETR needs a PASV of its own."""
    user.start_download()
    user.transfers.made[0].result.callback(4)
    user.take()
    assert user.say("RETR f").startswith(b"425 ")


def test_pasv_again_drops_who_was_in_the_queue(user):
    """A connection made for an abandoned PASV is not taken for the next transfer's."""
    user.say("EPSV")
    user.say("EPSV")
    assert len(user.data_ports.ports) == 1
    assert user.data_ports.ports[0].cleared == 1


def test_unused_port_goes_back(make_rig):
    """A port that nothing has used for a while is closed."""
    rig = make_rig(timeouts=Timeouts(accept=5)).login()
    rig.say("EPSV")
    rig.clock.pump([1] * 4)
    assert not rig.data_ports.ports[0].closed
    rig.clock.pump([1] * 3)
    assert rig.data_ports.ports[0].closed
    assert rig.say("RETR f").startswith(b"425 ")


def test_waiting_commands_at_and_over_the_limit(user):
    """Reading stops once MAX_WAITING commands wait and MAX_UNREAD bytes behind them, and goes on when they are done."""
    user.start_download()
    user.say(*["PWD"] * MAX_WAITING)
    line = b"CWD " + b"/" * 1018 + b"\r\n"
    assert MAX_UNREAD % len(line) == 0
    for _ in range(MAX_UNREAD // len(line)):
        user.raw(line)
    assert (len(user.session.waiting), user.session.wire.pending) == (MAX_WAITING, MAX_UNREAD)
    assert user.transport.producerState == "producing"
    user.raw(b"P")
    assert user.transport.producerState == "paused"
    user.raw(b"WD\r\n")
    user.transfers.made[0].result.callback(4)
    user.clock.pump([0] * 5)
    assert user.transport.producerState == "producing"
    told = user.take()
    assert told.count(b"257 ") == MAX_WAITING + 1
    assert told.count(b"250 ") == MAX_UNREAD // len(line)


@pytest.mark.parametrize("before", [MAX_WAITING - 1, MAX_WAITING, 10 * MAX_WAITING])
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("abort", [b"ABOR\r\n", b"\xff\xf4\xff\xf2ABOR\r\n"])
def test_an_abort_behind_as_many_as_may_wait(user, before, together, abort):
    """It passes all those before it, in one segment with them or by itself, and they are answered behind it."""
    user.start_download()
    others = b"PWD\r\n" * before
    told = user.raw(others + abort) if together else user.raw(others) + user.raw(abort)
    assert isinstance(user.transfers.made[0].cancelled, Cancelled)
    user.clock.pump([0] * (before // COMMANDS_PER_TURN + 2))
    codes = [line[:4] for line in (told + user.take()).splitlines()]
    assert codes == [b"426 ", b"226 ", *[b"257 "] * before]


def test_an_abort_behind_more_than_is_read(user):
    """It waits, and there is nothing left to end."""
    user.start_download()
    user.say(*["PWD"] * MAX_WAITING)
    user.raw(b"NOOP" + b" " * MAX_UNREAD)
    assert user.transport.producerState == "paused"
    assert user.transfers.made[0].cancelled is None


def test_an_abort_behind_too_many_for_anything_else_than_a_transfer(user):
    """What is no transfer cannot be passed, however many wait behind it."""
    later = Deferred()
    user.session.handlers = {**user.session.handlers, b"PWD": lambda session, argument: later}
    assert user.say("PWD", *["NOOP"] * MAX_WAITING, "ABOR") == b""
    later.callback(b"257 done\r\n")
    user.clock.pump([0] * 5)
    assert user.take().endswith(b"225 No transfer to abort.\r\n")


def test_many_aborts_behind_as_many_as_may_wait(user):
    """They are answered, each, without keeping others from their turn."""
    user.start_download()
    told = user.raw(b"PWD\r\n" * MAX_WAITING + b"ABOR\r\n" * 1000)
    assert told.count(b"\r\n") == 1 + MAX_WAITING + COMMANDS_PER_TURN
    user.clock.pump([0] * 30)
    told += user.take()
    assert told.count(b"426 ") == 1
    assert told.count(b"257 ") == MAX_WAITING
    assert told.count(b"226 ") + told.count(b"225 ") == 1000
    assert user.say("NOOP").startswith(b"200 ")


def test_flood_gives_others_their_turn(user):
    """10,000 pipelined commands are answered, COMMANDS_PER_TURN at a time."""
    first = user.raw(b"NOOP\r\n" * 10_000)
    assert first.count(b"200 ") == COMMANDS_PER_TURN
    assert user.transport.producerState == "paused"
    user.clock.pump([0] * (10_000 // COMMANDS_PER_TURN + 1))
    assert first.count(b"200 ") + user.take().count(b"200 ") == 10_000
    assert user.transport.producerState == "producing"


def test_replies_of_one_read_leave_in_one_write(user):
    """Pipelined commands cost one write, so that no small segment waits for an ACK."""
    writes = []
    user.transport.write = writes.append
    user.say("NOOP", "PWD", "SYST")
    assert len(writes) == 1
    assert writes[0].count(b"\r\n") == 3


def test_a_bug_costs_one_reply(user, monkeypatch):
    """An exception that nobody planned for: 451, a log entry, and the session goes on."""
    from twisted.logger import globalLogPublisher

    seen = []
    globalLogPublisher.addObserver(seen.append)
    try:
        handlers = {**user.session.handlers, b"PWD": lambda session, argument: 1 // 0}
        user.session.handlers = handlers
        assert user.say("PWD").startswith(b"451 ")
        assert user.say("NOOP").startswith(b"200 ")
    finally:
        globalLogPublisher.removeObserver(seen.append)
    assert any(event.get("log_failure") is not None for event in seen)


def test_a_deferred_bug_costs_one_reply(user):
    """The same for a handler that answers later."""
    later = Deferred()
    user.session.handlers = {**user.session.handlers, b"PWD": lambda session, argument: later}
    user.say("PWD")
    later.errback(RuntimeError("canary"))
    assert user.take().startswith(b"451 ")


@pytest.mark.parametrize("size", [1, 7])
def test_commands_split_anywhere(user, size):
    """Commands may arrive in any pieces."""
    data = b"NOOP\r\nPWD\r\nSYST\r\n"
    reply = b"".join(user.raw(data[i : i + size]) for i in range(0, len(data), size))
    assert [line[:3] for line in reply.splitlines()] == [b"200", b"257", b"215"]


def test_drain_idle_and_busy(user):
    """The daemon stops: a busy session finishes its transfer first."""
    user.start_download()
    drained = user.factory.drain()
    assert user.take() == b""
    user.transfers.made[0].result.callback(4)
    assert [line[:4] for line in user.take().splitlines()] == [b"226 ", b"421 "]
    assert not drained.called
    user.lose()
    assert drained.called


def test_a_drain_that_is_cut_short(user):
    """The transfer ends with 426, and 421 says why the connection does."""
    user.start_download()
    drained = user.factory.drain()
    drained.addErrback(lambda failure: failure.trap(CancelledError))
    drained.cancel()
    assert user.transfers.made[-1].cancelled is not None
    told = user.take()
    assert told.startswith(b"426 ")
    assert b"\r\n421 " in told
    assert user.transport.disconnecting
    user.lose()
    user.factory.stopFactory()


def test_a_drain_that_is_cut_short_in_a_command(user):
    """Whatever runs: 421 and the end."""
    user.session.handlers = {**user.session.handlers, b"PWD": lambda session, argument: Deferred()}
    user.say("PWD")
    drained = user.factory.drain()
    drained.addErrback(lambda failure: failure.trap(CancelledError))
    assert not drained.called
    drained.cancel()
    assert drained.called
    assert user.take().startswith(b"421 ")
    assert user.transport.disconnecting


def test_drain_of_an_idle_session(user):
    """An idle session is told at once."""
    user.factory.drain()
    assert user.take().startswith(b"421 ")
    assert user.transport.disconnecting


def test_drain_of_a_client_that_does_not_close(user):
    """It does not hold up the stop for as long as transfers may: it is cut off."""
    aborted = []
    user.transport.abortConnection = lambda: aborted.append(True)
    user.factory.drain()
    user.clock.pump([PARTING_SECONDS - 0.5])
    assert aborted == []
    user.clock.pump([1.5])
    assert aborted


def test_client_that_does_not_read(user):
    """While the transport is full nothing is run and nothing is read; then it goes on."""
    user.say("NOOP")
    assert user.transport.producer is user.protocol
    user.protocol.pauseProducing()
    assert user.say("PWD") == b""
    assert user.transport.producerState == "paused"
    user.protocol.resumeProducing()
    assert user.take().startswith(b"257 ")
    assert user.transport.producerState == "producing"


def test_client_that_never_takes_the_goodbye(make_rig):
    """A session that was told to go and does not is cut off."""
    aborted = []
    rig = make_rig(timeouts=Timeouts(idle=10)).login()
    rig.transport.abortConnection = lambda: aborted.append(True)
    rig.clock.pump([1] * 12)
    assert rig.take().startswith(b"421 ")
    rig.clock.pump([1] * (int(CLOSE_SECONDS) - 5))
    assert aborted == []
    rig.clock.pump([1] * 6)
    assert aborted


@pytest.mark.parametrize("idle", [0, 300])
def test_client_that_says_goodbye_and_does_not_take_ours(make_rig, idle):
    """It is cut off as soon as others that were told to go, whatever idle sessions may do."""
    aborted = []
    rig = make_rig(timeouts=Timeouts(idle=idle)).login()
    rig.transport.abortConnection = lambda: aborted.append(True)
    assert rig.say("QUIT").startswith(b"221 ")
    rig.clock.pump([1] * (int(CLOSE_SECONDS) - 1))
    assert aborted == []
    rig.clock.pump([1] * 2)
    assert aborted


@pytest.mark.parametrize("words", ["QUIT", "GET / HTTP/1.1"])
def test_nothing_is_kept_behind_the_last_words(rig, words):
    """A client that does not read them may send as much as it likes meanwhile."""
    rig.say(words)
    assert rig.transport.disconnecting
    for _ in range(10):
        rig.raw(b"x" * 1000)
    assert rig.session.wire.pending == 0


def test_nothing_passes_a_login(user):
    """Replies stay in order while a password is being checked: only transfers are passed."""
    later = Deferred()
    user.session.handlers = {**user.session.handlers, b"PWD": lambda session, argument: later}
    assert user.say("PWD", "NOOP", "STAT") == b""
    later.callback(b"257 later\r\n")
    assert [line[:3] for line in user.take().splitlines() if line[:1].isdigit()] == [
        b"257",
        b"200",
        b"211",
        b"211",
    ]


def test_a_refused_line_waits_its_turn(user):
    """500 for a bad line must not be taken for the transfer's reply."""
    user.start_download()
    assert user.say("FOO", "RETR") == b""
    user.transfers.made[0].result.callback(4)
    assert [line[:4] for line in user.take().splitlines()] == [b"226 ", b"500 ", b"501 "]


def test_abort_while_the_file_is_being_opened(user):
    """A storage that answers later: ABOR counts all the same, and nothing is sent."""
    opening = Deferred()
    avatar = user.session.avatar
    user.storage_file("f", b"data")
    file = avatar.open_read(user.session.path(b"f"))
    user.say("EPSV")
    user.data_ports.ports[-1].channel = object()
    slow = SlowAvatar(avatar, opening)
    user.session.avatar = slow
    assert user.say("RETR f", "ABOR") == b""
    opening.callback(file)
    assert [line[:4] for line in user.take().splitlines()] == [b"426 ", b"226 "]
    assert user.transfers.made == []


class SlowAvatar:
    """An avatar whose open_read answers when the test says so."""

    def __init__(self, avatar, opening):
        self._avatar = avatar
        self._opening = opening

    def open_read(self, path, offset=0):
        return self._opening

    def __getattr__(self, name):
        return getattr(self._avatar, name)


class Sending:
    """An upload over a connection that no byte goes through, and the question whether it is whole."""

    def __init__(self, user, *before, sent=0):
        self._user = user
        user.say("TYPE I", *before, "EPSV")
        self.channel = SimpleNamespace(
            peer=user.session.peer, secure=False, abort=lambda: None, close=lambda: None
        )
        user.data_ports.ports[-1].channel = self.channel
        user.say("STOR f")
        self.transfer = user.transfers.made[-1]
        if sent:
            self.transfer.file.write(b"x" * sent)

    def look(self):
        return self.transfer.confirm()

    def second_look(self, wait, *, gone):
        """The answer of a look that waits for ``wait`` seconds, the client being ``gone`` by then."""
        answer = self.look()
        self._user.clock.advance(wait * 0.99)
        assert not answer.called
        if gone:
            leave(self._user)
        self._user.clock.advance(wait * 0.02)
        assert answer.called
        found = []
        answer.addBoth(found.append)
        return found[0]


def leave(user):
    """The control connection ends."""
    user.protocol._peek = lambda size, flags: b""


def test_upload_of_a_client_that_is_gone(user):
    """What ends together with the control connection is not whole."""
    sending = Sending(user)
    assert sending.look() is None
    leave(user)
    with pytest.raises(Truncated):
        sending.look()


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize(
    ("took", "sent", "wait"),
    [
        (0, FEW_WRITES + 1, FIRST_WAIT),
        (TOO_SHORT, 1, FIRST_WAIT),
        (FIRST_WAIT, 1, FIRST_WAIT * PATIENCE),
        (10.0, 1, LAST_LOOK),
    ],
)
def test_the_control_connection_may_end_a_moment_after_the_data(user, took, sent, wait, gone):
    """It is looked at again after some times what the upload took, within bounds."""
    sending = Sending(user, sent=sent)
    user.clock.advance(took)
    found = sending.second_look(wait, gone=gone)
    assert found.check(Truncated) if gone else found is None


def test_an_upload_of_a_few_writes_is_looked_at_once(user):
    """For small files a wait would be most of their time."""
    sending = Sending(user, sent=FEW_WRITES)
    user.clock.advance(TOO_SHORT * 0.99)
    assert sending.look() is None


def test_an_upload_as_long_as_announced_is_whole(user):
    """ALLO's number says where the end is: neither a wait nor the client itself is needed any more."""
    sending = Sending(user, "ALLO 100", sent=100)
    user.clock.advance(10)
    leave(user)
    assert sending.look() is None


@pytest.mark.parametrize("gone", [False, True])
def test_an_upload_shorter_than_announced_is_looked_at_for_longer(user, gone):
    """RFC 959 lets ALLO be too much, so a client that waits for its reply has sent all it wanted."""
    found = Sending(user, "ALLO 101", sent=100).second_look(LONGER_LOOK, gone=gone)
    assert found.check(Truncated) if gone else found is None


def test_what_tls_ended_needs_no_second_look(user):
    """close_notify is no end that a kernel makes."""
    sending = Sending(user, sent=FEW_WRITES + 1)
    sending.channel.secure = True
    user.clock.advance(10)
    assert sending.look() is None


def test_login_ends_with_its_session(rig, monkeypatch):
    """A checker that never answers: the login deadline and a lost connection both end it."""
    cancelled = []
    monkeypatch.setattr(rig.host, "login", SlowLogin(cancelled))
    assert rig.say("USER alice", "PASS secret", "NOOP") == b"331 Password, please.\r\n"
    rig.clock.pump([1] * 62)
    assert rig.take().startswith(b"421 ")
    rig.lose()
    assert cancelled == [True]


class SlowLogin:
    """A login that no checker ever answers."""

    anonymous = False

    def __init__(self, cancelled):
        self._cancelled = cancelled

    def requires_tls(self, username):
        return False

    def login(self, credentials, context):
        return Deferred(lambda _: self._cancelled.append(True))


def test_lingering_port_goes_to_who_needs_one(make_rig):
    """A port that an idle session only keeps is given up when the range is used up."""
    rig = make_rig().login()
    rig.storage_file("f", b"x")
    rig.transfers.instant = True
    rig.say("EPSV")
    kept = rig.data_ports.ports[-1]
    kept.channel = SimpleNamespace(peer="127.0.0.1", secure=False, abort=lambda: None, close=lambda: None)
    assert b"226 " in rig.say("RETR f")
    assert not kept.closed
    rig.protocol.reclaim_ports()
    assert kept.closed


def test_accept_timeout_of_zero_is_none(make_rig):
    """Switched off, the deadline takes no port away."""
    rig = make_rig(timeouts=Timeouts(accept=0, idle=0)).login()
    rig.say("EPSV")
    rig.clock.pump([1] * 100)
    assert not rig.data_ports.ports[0].closed
