"""What the tests of FTP in TLS share: TLS whose data connections the test describes beforehand."""

import itertools
from types import SimpleNamespace

from twisted.internet.defer import succeed

from twisted_xfer.protocols.ftp.options import FTPOptions

#: The transfers of these tests move nothing, so each upload takes a name of its own.
_numbers = itertools.count()


class Secured:
    """A data connection in TLS."""

    def __init__(self, resumed, one_ticket):
        self.peer = "127.0.0.1"
        self.secure = True
        self.resumed = resumed
        self.one_ticket = one_ticket
        self.aborted = False

    def abort(self):
        self.aborted = True

    def close(self):
        pass


class Session:
    """TLS whose data connections the test describes beforehand."""

    version, cipher, certificate, facts = "TLSv1.3", "TLS_AES_128_GCM_SHA256", None, None
    creator = object()
    why = ""

    def start(self, transport):
        transport.startTLS(self.creator)

    def refusal(self, reason):
        return self.why

    def __init__(self):
        self.next = Secured(True, True)
        self.wait = None
        self.timeouts = []

    def secure(self, channel, timeout):
        self.timeouts.append(timeout)
        return self.wait or succeed(self.next)


class TLS:
    """Hands out one Session."""

    def __init__(self):
        self.session = Session()
        self.alpn = None

    def control_session(self, alpn=b""):
        self.alpn = alpn
        return self.session


def secured(rig):
    """AUTH TLS, its handshake done."""
    assert rig.say("AUTH TLS").startswith(b"234 ")
    rig.protocol.handshakeCompleted()
    return rig


def private(rig, mode):
    """A session with PROT P."""
    rig.session.protection._options = FTPOptions(tls_resumption=mode)
    secured(rig).login().say("PBSZ 0", "PROT P", "TYPE I")
    return rig


def begin_transfer(rig, verb, *, resumed, one_ticket=True):
    """One transfer over a data connection of that kind: the connection, and what was said so far."""
    rig.transfers.instant = True
    rig.host.tls.session.next = channel = Secured(resumed, one_ticket)
    channel.accept_end = lambda *_: None
    rig.say("EPSV")
    rig.data_ports.ports[-1].arrive(SimpleNamespace(peer="127.0.0.1", secure=False, abort=lambda: None))
    return channel, rig.say(f"{verb} f{next(_numbers)}" if verb != "LIST" else verb)


def transfer(rig, verb, *, resumed, one_ticket=True):
    """One transfer over a data connection of that kind: the code of its end."""
    channel, answer = begin_transfer(rig, verb, resumed=resumed, one_ticket=one_ticket)
    last = answer.split(b"\r\n")[-2][:3]
    assert channel.aborted is (last == b"522")
    return last
