"""AUTH, PBSZ, PROT and CCC, what they forget and what they refuse, and policies."""

import pytest
from ftp_secured import TLS, secured

from twisted_xfer.interfaces import Account, Timeouts
from twisted_xfer.protocols.ftp.options import FTPOptions
from twisted_xfer.protocols.ftp.plugin import implicit


def test_without_a_certificate_there_is_no_auth(rig):
    """502, and FEAT says nothing of TLS."""
    assert rig.say("AUTH TLS").startswith(b"502 ")
    assert b"AUTH" not in rig.say("FEAT")


def test_feat_offers_tls(secure_rig):
    """Where there is a certificate."""
    shown = secure_rig().say("FEAT")
    for line in (b" AUTH TLS\r\n", b" PBSZ\r\n", b" PROT\r\n"):
        assert line in shown


@pytest.mark.parametrize(
    ("mechanism", "private"),
    [("TLS", False), ("tls", False), ("TLS-C", False), ("TLS-P", True), ("SSL", True)],
)
def test_auth_starts_tls(secure_rig, mechanism, private):
    """234 in clear, then TLS; the old names that mean protected data mean it."""
    rig = secure_rig()
    assert rig.say(f"AUTH {mechanism}").startswith(b"234 ")
    assert rig.started == [rig.host.tls.session.creator]
    assert rig.host.tls.alpn == b"ftp"
    assert rig.session.protection.private is private
    assert not rig.session.protection.control
    rig.protocol.handshakeCompleted()
    assert rig.session.protection.control
    assert rig.say("AUTH TLS").startswith(b"503 ")


@pytest.mark.parametrize("mechanism", ["GSSAPI", "X", "TLS "])
def test_other_mechanisms(secure_rig, mechanism):
    """504, but outer spaces are nobody's."""
    answer = secure_rig().say(f"AUTH {mechanism}")
    assert answer[:3] == (b"234" if mechanism == "TLS " else b"504")


def test_a_transport_without_tls(make_rig):
    """431 on one that cannot."""
    rig = make_rig()
    rig.host.tls = TLS()
    assert rig.say("AUTH TLS").startswith(b"431 ")


@pytest.mark.parametrize("behind", ["NOOP", "USER x\r\nPASS y"])
def test_whatever_stands_behind_auth_ends_the_connection(secure_rig, behind):
    """Even half a line, and nothing is answered."""
    rig = secure_rig()
    assert rig.say("AUTH TLS", behind) == b""
    assert rig.transport.disconnecting
    assert rig.started == []
    assert "connection.injected" in rig.events.ids()


def test_half_a_line_behind_auth_ends_it_too(secure_rig):
    """A command need not be whole to be somebody else's."""
    rig = secure_rig()
    assert rig.raw(b"AUTH TLS\r\nN") == b""
    assert rig.transport.disconnecting


def test_auth_forgets(secure_rig):
    """Login, directory, rename and restart of before."""
    rig = secure_rig().login()
    rig.say("MKD d", "CWD d", "TYPE I", "REST 5")
    secured(rig)
    assert rig.session.avatar is None
    assert rig.session.sequence.restart == 0
    assert rig.say("PWD").startswith(b"530 ")
    rig.login()
    assert b'"/"' in rig.say("PWD")


def test_order_of_pbsz_and_prot(secure_rig):
    """Each needs the one before."""
    rig = secure_rig()
    assert rig.say("PBSZ 0").startswith(b"503 ")
    assert rig.say("PROT P").startswith(b"503 ")
    secured(rig)
    assert rig.say("PROT P").startswith(b"503 ")
    assert rig.say("PBSZ x").startswith(b"501 ")
    assert rig.say("PBSZ 4096") == b"200 PBSZ=0\r\n"
    assert rig.say("PROT P").startswith(b"200 ")
    assert rig.session.protection.private
    assert rig.say("PROT C").startswith(b"200 ")
    assert not rig.session.protection.private
    assert [rig.say(f"PROT {level}")[:3] for level in "SEX"] == [b"536", b"536", b"504"]


def test_ccc_is_refused(secure_rig):
    """For policy reasons (RFC 4217 section 12.3)."""
    rig = secured(secure_rig()).login()
    assert rig.say("CCC").startswith(b"533 ")
    assert b"CCC" not in rig.say("FEAT")


def with_ccc(rig, **options):
    """A session that may leave TLS; ``left`` collects when it does."""
    rig.left = []
    rig.host.tls.session.leave = lambda transport, timeout: rig.left.append((transport, timeout))
    rig.session.options = FTPOptions(ccc=True, **options)
    return rig


def test_ccc_leaves_tls_and_keeps_the_login(secure_rig):
    """Where it is allowed; afterwards nobody can change what protects the data, nor go back."""
    rig = with_ccc(secure_rig(timeouts=Timeouts(handshake=7.0)))
    rig.login()
    assert rig.say("CCC").startswith(b"503 ")
    secured(rig).login().say("PBSZ 0", "PROT P")
    assert b" CCC\r\n" in rig.say("FEAT")
    assert rig.say("CCC").startswith(b"200 ")
    assert rig.left == [(rig.transport, 7.0)]
    assert rig.say("PWD").startswith(b"257 ")
    for line in ("AUTH TLS", "PBSZ 0", "PROT C", "CCC"):
        assert rig.say(line).startswith(b"503 ")
    assert rig.session.protection.private
    assert rig.left == [(rig.transport, 7.0)]


@pytest.mark.parametrize(("policy", "code"), [("control", b"534"), ("both", b"534"), ("data", b"200")])
def test_ccc_yields_to_policy(secure_rig, policy, code):
    """Who requires TLS for control connections gets it."""
    rig = with_ccc(secure_rig())
    rig.session.protection._must = policy
    secured(rig).login()
    assert rig.say("CCC")[:3] == code


@pytest.mark.parametrize("behind", [b"NOOP\r\n", b"N"])
def test_whatever_stands_behind_ccc_ends_the_connection(secure_rig, behind):
    """It could be meant for either side."""
    rig = with_ccc(secure_rig())
    secured(rig).login()
    assert rig.raw(b"CCC\r\n" + behind) == b""
    assert rig.transport.disconnecting
    assert rig.left == []


@pytest.mark.parametrize(
    ("policy", "user", "prot_c", "transfer"),
    [
        ("none", b"331", b"200", b"150"),
        ("control", b"530", b"200", b"150"),
        ("data", b"331", b"534", b"521"),
        ("both", b"530", b"534", b"521"),
        (True, b"530", b"534", b"521"),
        (False, b"331", b"200", b"150"),
    ],
)
def test_policies(secure_rig, policy, user, prot_c, transfer):
    """USER before TLS; PROT C and a transfer in clear with it."""
    rig = secure_rig()
    rig.factory.options = FTPOptions(require_tls=policy)
    rig.session.options = rig.factory.options
    rig.session.protection._must = policy
    assert rig.say("USER alice")[:3] == user
    secured(rig).login()
    rig.say("PBSZ 0")
    assert rig.say("PROT C")[:3] == prot_c
    rig.say("EPSV")
    assert rig.say("LIST")[:3] == transfer


@pytest.mark.parametrize(
    ("need", "prot_c", "transfer"),
    [("none", b"200", b"150"), ("control", b"200", b"150"), ("data", b"534", b"521"), (True, b"534", b"521")],
)
def test_policies_of_an_account(secure_rig, need, prot_c, transfer):
    """What an account may not have in clear holds where the listener allows everything."""
    rig = secure_rig(account=Account("", require_tls=need))
    secured(rig).login()
    rig.say("PBSZ 0")
    assert rig.say("PROT C")[:3] == prot_c
    rig.say("EPSV")
    assert rig.say("LIST")[:3] == transfer
    rig.say("PROT P")
    assert rig.session.protection.refused is None


def test_implicit_needs_a_certificate(rig):
    """Without one the start fails, and says what to give."""
    from twisted_xfer.errors import ConfigError

    with pytest.raises(ConfigError) as caught:
        implicit.stream_factory(FTPOptions(), rig.host)
    assert "--tls-certificate" in caught.value.remedy
