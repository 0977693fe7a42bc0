"""Login, its order, its limits and the end of a session."""

from __future__ import annotations

import pytest

from twisted_xfer.errors import DataTLSRefused, LimitReached, XferError
from twisted_xfer.interfaces import Account, Right, Timeouts, WriteIntent
from twisted_xfer.protocols.ftp.commands import HANDLERS
from twisted_xfer.protocols.ftp.commands.site import SITE_HANDLERS
from twisted_xfer.protocols.ftp.errormap import TABLE, reply_for
from twisted_xfer.protocols.ftp.options import FTPOptions
from twisted_xfer.protocols.ftp.wire.verbs import SITE_VERBS, VERBS
from twisted_xfer.runtime.limits import Limits


def test_greeting_and_login(rig):
    """A user gets in, and the greeting is one 220 line."""
    assert rig.greeting == b"220 test ready.\r\n"
    assert rig.say("USER alice").startswith(b"331 ")
    assert rig.say("PASS secret").startswith(b"230 ")
    assert rig.say("PWD") == b'257 "/" is the current directory.\r\n'


def test_commands_before_login(rig):
    """Each command that needs a login says 530 and nothing else happens."""
    needing = [name for name, verb in VERBS.items() if verb.login == "after"]
    assert len(needing) > 25
    for name in needing:
        argument = " 1" if VERBS[name].argument == "required" else ""
        assert rig.say(name.decode() + argument).startswith(b"530 "), name
    assert rig.data_ports.ports == []


def test_status_before_login(rig):
    """STAT tells of the session to anybody, and of paths to nobody who has not logged in."""
    assert b"Not logged in." in rig.say("STAT")
    for line in ("STAT /", "STAT -la", "STAT x"):
        assert rig.say(line).startswith(b"530 "), line
    rig.say("USER alice")
    assert rig.say("STAT /").startswith(b"530 ")


def test_unknown_user_and_wrong_password_answer_alike(make_rig):
    """Neither reply nor order tells whether a user exists."""
    first, second = make_rig(), make_rig()
    assert first.say("USER alice") == second.say("USER nobody")
    first.say("PASS wrong")
    second.say("PASS wrong")
    first.clock.advance(30)
    second.clock.advance(30)
    assert first.take() == second.take()


def test_failed_login_keeps_the_session(rig):
    """After a 530 the user may try again."""
    rig.say("USER alice", "PASS wrong")
    rig.clock.advance(30)
    assert rig.take().startswith(b"530 ")
    assert b"503 " in rig.say("PASS secret")
    rig.say("USER alice", "PASS secret")
    rig.clock.advance(30)
    assert rig.say("PWD").endswith(b'257 "/" is the current directory.\r\n')


def test_anonymous_reads_only(rig):
    """Guests get their own directory and no way to write."""
    rig.storage.view("/pub", owner="", create=True)
    assert b"230 " in rig.say("USER anonymous", "PASS guest@example.com")
    assert rig.say("MKD x").startswith(b"550 ")


def test_rein_logs_out(user):
    """REIN is as if just connected."""
    assert user.say("REIN").startswith(b"220 ")
    assert user.say("PWD").startswith(b"530 ")
    assert "logout" in user.events.ids()


def test_transfer_ids_are_not_used_twice(user):
    """They tell the transfers of one session apart in logs, also of those who log in after REIN."""
    for _ in range(3):
        for _ in range(2):
            user.session.avatar.open_write(user.session.path(b"f"), WriteIntent()).commit()
        user.say("REIN", "USER alice", "PASS secret")
    ids = [fields["transfer"] for event_id, fields in user.events.seen if event_id.startswith("upload.")]
    assert len(ids) == 6
    assert len(set(ids)) == 6
    assert ids[:3] == ["s1-1", "s1-2", "s1-2.1"]


def test_quit(user):
    """QUIT says goodbye and closes."""
    assert user.say("QUIT").startswith(b"221 ")
    assert user.transport.disconnecting


def test_nothing_runs_after_quit(user):
    """What was pipelined behind QUIT is not done."""
    assert user.say("QUIT", "MKD after").count(b"\r\n") == 1
    user.lose()


@pytest.mark.parametrize(
    "verb", ["GET / HTTP/1.1", "POST /", "DELETE /f HTTP/1.1", "EHLO example.com", "RSET"]
)
def test_foreign_protocols_are_cut_off(rig, verb):
    """A browser or mailer that was made to talk to us hears nothing."""
    assert rig.say(verb) == b""
    assert rig.transport.disconnecting


def test_bad_commands_at_and_over_the_limit(make_rig):
    """The connection survives one bad command fewer than the limit."""
    rig = make_rig(options=FTPOptions(bad_commands=3))
    assert rig.say("X1", "X2").count(b"500 ") == 2
    assert not rig.transport.disconnecting
    assert rig.say("X3").startswith(b"421 ")
    assert rig.transport.disconnecting


def test_good_command_forgives_bad_ones(make_rig):
    """Only refused lines in a row count."""
    rig = make_rig(options=FTPOptions(bad_commands=3))
    for _ in range(5):
        rig.say("X1", "X2", "NOOP")
    assert not rig.transport.disconnecting


def test_login_deadline(make_rig):
    """A session that nobody logs into ends at the login timeout, not before."""
    rig = make_rig(timeouts=Timeouts(login=10))
    rig.clock.pump([1] * 9)
    rig.say("NOOP")
    assert not rig.transport.disconnecting
    rig.clock.pump([1] * 2)
    assert rig.take().startswith(b"421 ")
    assert rig.transport.disconnecting


def test_idle_deadline_moves_with_each_command(make_rig):
    """Idle time counts from the last command."""
    rig = make_rig(timeouts=Timeouts(idle=10)).login()
    rig.clock.pump([1] * 8)
    rig.say("NOOP")
    rig.clock.pump([1] * 8)
    assert not rig.transport.disconnecting
    rig.clock.pump([1] * 3)
    assert rig.take().startswith(b"421 ")


def test_site_idle_changes_the_deadline(make_rig):
    """SITE IDLE within its bounds, and refused one past them."""
    rig = make_rig(timeouts=Timeouts(idle=10), options=FTPOptions(max_idle=60)).login()
    assert rig.say("SITE IDLE 60").startswith(b"200 ")
    assert rig.say("SITE IDLE 61").startswith(b"501 ")
    assert rig.say("SITE IDLE 9").startswith(b"501 ")
    assert rig.say("SITE IDLE 10").startswith(b"200 ")
    assert rig.say("SITE IDLE 60").startswith(b"200 ")
    rig.clock.pump([1] * 59)
    assert not rig.transport.disconnecting


def test_too_many_connections(make_rig):
    """The connection over the limit gets 421 and is closed; the place comes back."""
    from twisted.internet.task import Clock

    limits = Limits(Clock(), max_clients=1)
    first = make_rig(limits=limits)
    second = make_rig(limits=limits)
    assert second.greeting.startswith(b"421 ")
    assert second.transport.disconnecting
    second.lose()
    first.lose()
    third = make_rig(limits=limits)
    assert third.greeting.startswith(b"220 ")


def test_every_error_has_a_reply():
    """The table knows each error class, so none falls back to its parent by accident."""

    def family(kind):
        yield kind
        for child in kind.__subclasses__():
            yield from family(child)

    assert set(TABLE) == {kind for kind in family(XferError) if kind.__module__ == XferError.__module__}


def test_unknown_errors_do_not_leak():
    """The text of an error of unknown type is for the log only."""
    assert b"canary" not in reply_for(RuntimeError("canary"))
    assert reply_for(RuntimeError("canary")).startswith(b"451 ")


def test_why_there_is_no_tls_on_a_data_connection():
    """In words that say what to change, even where a certificate's name is no ASCII."""
    assert reply_for(DataTLSRefused(detail="TLS handshake took too long")).startswith(
        b"522 TLS on the data connection failed (TLS handshake took too long): "
    )
    assert reply_for(DataTLSRefused()).startswith(b"522 TLS on the data connection failed: ")
    assert reply_for(DataTLSRefused(detail="certificate '\u0416\udc80' refused")).startswith(b"522 ")


def test_421_closes(user):
    """An error that means the end of the session ends it."""
    user.data_ports.error = LimitReached()
    assert user.say("EPSV").startswith(b"421 ")
    assert user.transport.disconnecting


def test_verbs_and_handlers_agree():
    """Each handler has a row, and each row a handler, but for those that are said to be missing."""
    rows = {verb.alias or name for name, verb in VERBS.items()}
    assert set(HANDLERS) <= rows
    assert rows - set(HANDLERS) <= {b"SMNT", b"AUTH", b"PBSZ", b"PROT", b"CCC"}
    assert set(SITE_HANDLERS) == set(SITE_VERBS)


@pytest.mark.parametrize("verb", sorted({name for name, verb in VERBS.items() if verb.right}))
def test_declared_rights_are_asked_for(make_rig, verb):
    """An account without any right is refused by each verb that declares one."""
    rig = make_rig(account=Account("", rights=frozenset())).login()
    assert {VERBS[verb].right} <= {right.value for right in Right}
    rig.say("TYPE I")
    if verb == b"RNTO":
        assert rig.say("RNFR a").startswith(b"550 ")
        return
    rig.say("EPSV")
    argument = "20200101000000 a" if verb == b"MFMT" else "a"
    rig.data_ports.ports[-1].channel = object()
    reply = rig.say(f"{verb.decode()} {argument}")
    assert reply.startswith(b"550 "), reply


def test_password_appears_nowhere(rig, caplog):
    """Neither replies nor events nor reprs hold a password."""
    rig.say("USER alice", "PASS canary-7391")
    rig.clock.advance(30)
    everything = (
        rig.take() + repr(rig.events.seen).encode() + repr(vars(rig.host)).encode() + caplog.text.encode()
    )
    assert b"canary-7391" not in everything


def test_banner_wins_over_the_name_of_the_server(make_rig):
    """The greeting is the operator's own text where there is one, also after REIN."""
    rig = make_rig(options=FTPOptions(banner="Files. Be kind."))
    assert rig.greeting == b"220 Files. Be kind.\r\n"
    assert rig.login().say("REIN") == b"220 Files. Be kind.\r\n"
