"""What may follow what: every (state, verb) pair by table."""

import pytest

from twisted_xfer.protocols.ftp.wire import states
from twisted_xfer.protocols.ftp.wire.states import KEEPS_RESTART, LOGIN_ORDER, Sequence, SessionState
from twisted_xfer.protocols.ftp.wire.verbs import VERBS

NEW, WAITING, IN = SessionState.NEW, SessionState.NEED_PASSWORD, SessionState.LOGGED_IN

#: Legal in every state.
ALWAYS = set(b"ACCT REIN QUIT AUTH PBSZ PROT STAT FEAT OPTS HELP SYST NOOP CLNT".split())
LOGIN = {b"USER", b"PASS"}


def expected(state, name):
    """The order by hand, apart from the table under test."""
    if name in ALWAYS:
        return None
    if name in LOGIN:
        if state is IN:
            return states.ALREADY_LOGGED_IN
        return states.NEED_USER if name == b"PASS" and state is NEW else None
    if state is not IN:
        return states.NOT_LOGGED_IN
    return states.NEED_RENAME_FROM if name == b"RNTO" else None


@pytest.mark.parametrize("state", list(SessionState))
@pytest.mark.parametrize("name", sorted(VERBS), ids=bytes.decode)
def test_each_pair(state, name):
    """Each verb in each state is legal or refused with its own reply."""
    sequence = Sequence()
    sequence.state = state
    assert sequence.check(VERBS[name]) == expected(state, name)
    assert sequence.enter(VERBS[name]) == expected(state, name)
    assert sequence.state is state


def test_every_rule_has_a_row():
    """No (state, rule) is left out."""
    assert set(LOGIN_ORDER) == {
        (state, rule) for state in SessionState for rule in ("before", "after", "any")
    }


@pytest.mark.parametrize("name", sorted(VERBS), ids=bytes.decode)
def test_a_pending_rename_ends_with_any_other_command(name):
    """RNFR counts for the very next command only."""
    sequence = Sequence()
    sequence.state = IN
    sequence.rename_from = "/old"
    assert sequence.enter(VERBS[name]) == (states.ALREADY_LOGGED_IN if name in LOGIN else None)
    if name == b"RNTO":
        assert sequence.take_rename() == "/old"
    if name not in LOGIN:
        assert sequence.check(VERBS[b"RNTO"]) == states.NEED_RENAME_FROM


@pytest.mark.parametrize("name", sorted(set(VERBS) - LOGIN), ids=bytes.decode)
def test_a_pending_restart_lives_until_the_transfer(name):
    """Only what prepares a transfer may stand between REST and it."""
    sequence = Sequence()
    sequence.state = IN
    sequence.rename_from = "/old"
    sequence.restart = 7
    assert sequence.enter(VERBS[name]) is None
    assert sequence.take_restart() == (7 if name in KEEPS_RESTART else 0)
    assert sequence.take_restart() == 0


def test_restart_is_kept_by_real_verbs_only():
    """The set names nothing that is not in the table."""
    assert set(VERBS) >= KEEPS_RESTART
    assert b"CWD" not in KEEPS_RESTART
    assert b"USER" not in KEEPS_RESTART


def test_reset_forgets_everything():
    """REIN and AUTH TLS start from nothing."""
    sequence = Sequence()
    sequence.state = IN
    sequence.rename_from = "/old"
    sequence.restart = 7
    sequence.reset()
    assert (sequence.state, sequence.rename_from, sequence.restart) == (NEW, None, 0)
