"""The login of both ends: which mechanism is taken, and what comes of it."""

import attrs
import pytest
from twisted.cred.checkers import ANONYMOUS
from twisted.cred.credentials import IAnonymous
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import formatEventAsClassicLogText
from xfer_logins import CHANNEL, FACTS, HASH, SECRET, TLS, VERIFIER, Site, login
from zope.interface import alsoProvides

from twisted_xfer.errors import ChannelBindingFailed, ConnectionLost, LoginFailed
from twisted_xfer.protocols.xfer.caller import Caller, LoginImpossible
from twisted_xfer.protocols.xfer.errormap import PeerError
from twisted_xfer.protocols.xfer.mechanisms import PLAIN, SCRAM, SCRAM_PLUS
from twisted_xfer.protocols.xfer.mechanisms.caller import MAX_SALTED, Exchange, choose
from twisted_xfer.protocols.xfer.options import XferOptions
from twisted_xfer.sansio.scram import Server, salted_password
from twisted_xfer.testing.host import FixedRandom


def test_the_best_is_taken(site):
    """Bound to TLS where there is any, else a proof; the password itself only where nothing else does."""
    assert isinstance(site.call(login(), TLS), Caller)
    assert site.mechanism == SCRAM_PLUS
    assert isinstance(site.call(login()), Caller)
    assert site.mechanism == SCRAM
    assert isinstance(site.call(login(mechanisms=(PLAIN,)), TLS), Caller)
    assert site.mechanism == PLAIN
    assert site.host.recorder.ids.count("login.ok") == 3


def test_tls_that_nothing_can_be_bound_to(site):
    """As in TLS 1.2: the proof alone, and the flag says that the caller could have bound it."""
    assert isinstance(site.call(login(), (CHANNEL, b"")), Caller)
    assert site.mechanism == SCRAM


def test_users_without_verifiers(site):
    """One is enough for PLAIN to be all that is offered."""
    site.file.write_text(site.file.read_text() + f'\n[users.bob]\npassword = "{HASH}"\n')
    assert isinstance(site.call(login(username="bob"), TLS), Caller)
    assert site.mechanism == PLAIN


@pytest.mark.parametrize(("scram", "mechanism"), [("always", SCRAM_PLUS), ("never", PLAIN)])
def test_the_option(tmp_path, site, scram, mechanism):
    """It overrules what the users' file says."""
    site.net.factory.options = XferOptions(scram=scram)
    assert isinstance(site.call(login(), TLS), Caller)
    assert site.mechanism == mechanism


def test_a_token(site):
    """In TLS only; it makes the account, confined."""
    assert isinstance(site.call(login(password="", username="", token=site.token), TLS), Caller)
    (ok,) = site.host.recorder.of("login.ok")
    assert ok.username == "alice"
    assert site.net.lines[0].listener.protocol.avatar.account.within == "/in"
    assert isinstance(site.call(login(token=site.token)), LoginImpossible)
    wrong = site.token[:-1] + ("A" if site.token[-1] != "A" else "E")
    assert site.call(login(token=wrong), TLS).name == "login_failed"


def test_a_certificate(site):
    """The one that TLS verified, for its own account, whether named or not."""
    mine = login(username="", password="", certificate="PEM")
    assert isinstance(site.call(mine, TLS, FACTS), Caller)
    assert site.mechanism == "EXTERNAL"
    assert isinstance(site.call(attrs.evolve(mine, username="alice"), TLS, FACTS), Caller)
    assert site.call(attrs.evolve(mine, username="bob"), TLS, FACTS).name == "login_failed"
    other = attrs.evolve(FACTS, common_name="eve")
    assert site.call(mine, TLS, other).name == "login_failed"
    assert isinstance(site.call(mine, TLS), LoginImpossible)
    assert isinstance(site.call(login(certificate="PEM"), TLS, FACTS), Caller)
    assert site.mechanism == SCRAM_PLUS


def test_both_factors(site):
    """Where an account wants both, a proof over a connection with the certificate is both."""
    site.file.write_text(
        site.file.read_text().replace("certificates =", 'require = "certificate+password"\ncertificates =')
    )
    assert isinstance(site.call(login(certificate="PEM"), TLS, FACTS), Caller)
    assert site.call(login(), TLS).name == "login_failed"
    assert site.call(login(username="", password="", certificate="PEM"), TLS, FACTS).name == "login_failed"


def test_nobody(site):
    """The drop box, where it is switched on at both places."""

    class Anybody:
        credentialInterfaces = (IAnonymous,)

        def requestAvatarId(self, _credentials):
            return ANONYMOUS

    nobody = login(username="", password="")
    assert isinstance(site.call(nobody), LoginImpossible)
    site.net.factory.options = XferOptions(anonymous=True)
    assert isinstance(site.call(nobody), LoginImpossible)
    site.host.login = site.entrance([site.checker, Anybody()], anonymous=True)
    # The directory that nobody is shown is not there: a refusal behind a login that was right.
    assert site.call(nobody).name == "login_refused"
    assert site.mechanism == "ANONYMOUS"


@pytest.mark.parametrize("near", [True, False])
def test_secrets_in_the_clear(tmp_path, site, near):
    """Without TLS neither side lets a password go over a network, whatever the other offers."""
    for secure in (True, False):
        got = choose(login(mechanisms=(PLAIN,)), "alice", (PLAIN, SCRAM), secure=secure, near=near)
        assert got == (PLAIN if secure or near else None)
        got = choose(login(token="t"), "alice", ("TOKEN",), secure=secure, near=near)
        assert got == ("TOKEN" if secure else None)
    assert choose(login(), "alice", (SCRAM_PLUS,), secure=False, near=near) is None
    far = Site(tmp_path, f'[users.alice]\npassword = "{HASH}"\n', XferOptions(plain="always"), "192.0.2.9")
    answer = far.call(login(), near=False)
    assert isinstance(answer, LoginImpossible)
    far.clean()


def test_the_log_says_what_is_not_safe(site):
    """Once for a login by SCRAM without TLS."""
    site.call(login())
    lines = [formatEventAsClassicLogText(dict(event, log_time=0.0)) for event in site.host.logged]
    assert sum("is in without TLS" in line for line in lines) == 1
    site.host.logged.clear()
    site.call(login(), TLS)
    assert site.host.logged == []


def test_the_derived_password_is_kept(site):
    """For reconnections, of one Login, and only so many."""
    mine = login()
    site.call(mine, TLS)
    assert list(mine.salted) == [(SECRET, VERIFIER.salt, 4096)]
    mine.salted.clear()
    mine.salted.update({(SECRET, b"%d" % n, 4096): b"" for n in range(MAX_SALTED)})
    for _ in range(3):
        assert isinstance(site.call(mine, TLS), Caller)
    assert [key[1] for key in mine.salted] == [b"1", b"2", b"3", VERIFIER.salt]
    assert mine == login()


def test_a_thread_derives(site, monkeypatch):
    """Where the reactor has threads, it does not wait for the derivation, and its failure ends the login."""
    made = []

    def defer(_reactor, _pool, function, *args):
        made.append((function, args))
        return Deferred()

    from twisted.internet.interfaces import IReactorThreads

    from twisted_xfer.protocols.xfer.mechanisms import caller

    monkeypatch.setattr(caller, "deferToThreadPool", defer)
    reactor = Clock()
    reactor.getThreadPool = lambda: None
    alsoProvides(reactor, IReactorThreads)
    exchange = Exchange(
        SCRAM, login(), "alice", hellos=[], digest=bytes(32), channel=b"", offered=(SCRAM,),
        random=FixedRandom(),
    )  # fmt: skip
    server = Server(exchange.auth.data, b"s", plus=False, transcript=bytes(32))
    assert not exchange.challenged(server.challenge(VERIFIER), reactor).called
    assert made == [(salted_password, (SECRET, VERIFIER.salt, 4096))]


def test_errors_of_the_binding_have_a_number():
    """204, and a peer's is told from a wrong password."""
    assert PeerError(204, "channel_binding").number == 204
    assert issubclass(ChannelBindingFailed, LoginFailed)
    assert not issubclass(ConnectionLost, LoginFailed)


def test_addresses():
    """What is near: loopback of both families, and nothing that only looks like it."""
    from twisted_xfer.protocols.xfer.mechanisms import is_near

    assert all(map(is_near, ("127.0.0.1", "::1", "::ffff:127.0.0.1")))
    assert not any(
        map(is_near, ("", "::12", "::1:1", "10.127.0.1", str(IPv4Address("TCP", "192.0.2.1", 1).host)))
    )
