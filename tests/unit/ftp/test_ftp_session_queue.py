"""One command at a time; what passes, what waits, and what a peer can pile up."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred

from twisted_xfer.errors import Cancelled
from twisted_xfer.protocols.ftp.session import COMMANDS_PER_TURN, MAX_UNREAD, MAX_WAITING


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
