"""The handshake of both ends: each step in its place, and what they agree upon."""

import attrs
import pytest

from twisted_xfer.errors import RemoteProtocolError, Unsupported
from twisted_xfer.protocols.xfer.wire import messages as m
from twisted_xfer.protocols.xfer.wire.frames import PREAMBLE, Data, data_header
from twisted_xfer.protocols.xfer.wire.link import Link, check_select, negotiate
from twisted_xfer.protocols.xfer.wire.states import HANDSHAKE, Phase, Step

DIGEST = bytes(32)
NONCE = bytes(16)


def shake(caller, listener, message, *, to_listener):
    source, sink = (caller, listener) if to_listener else (listener, caller)
    sink.receive_data(source.encode(message))
    return sink.next_event()


def ready_pair():
    caller, listener = Link("caller"), Link("listener")
    shake(caller, listener, m.Hello(nonce=NONCE, role="send"), to_listener=True)
    hello = m.Hello(nonce=NONCE)
    shake(caller, listener, hello, to_listener=False)
    select = m.Select(version=1, hash="blake3", compression="none", max_data=4096, window=8)
    assert shake(caller, listener, select, to_listener=False) == select
    shake(caller, listener, m.Auth(mechanism="PLAIN", hello_digest=DIGEST), to_listener=True)
    shake(caller, listener, m.Authenticated(hello_digest=DIGEST), to_listener=False)
    return caller, listener


def test_handshake_ends_ready_on_both_sides():
    """Both links walk one table, saw the same HELLOs, and then take content."""
    caller, listener = ready_pair()
    assert caller.phase is listener.phase is Phase.READY
    assert caller.hellos == listener.hellos
    listener.receive_data(data_header(1, 1) + b"x")
    assert listener.next_event() == Data(1, b"x")


def test_a_step_of_the_other_side_is_refused():
    """A caller cannot say what only a listener may."""
    listener = Link("listener")
    caller = Link("caller")
    listener.receive_data(caller.encode(m.Hello(nonce=NONCE)))
    listener.next_event()
    listener.encode(m.Hello(nonce=NONCE))
    listener.receive_data(m.Select(version=1, hash="x", compression="none", max_data=4096, window=1).encode())
    with pytest.raises(RemoteProtocolError):
        listener.next_event()


def test_every_pair_of_phase_and_step():
    """What the handshake table does not hold is refused."""
    for phase in Phase:
        for step in Step:
            if step in HANDSHAKE.legal(phase):
                assert HANDSHAKE.after(phase, step) in Phase
            else:
                with pytest.raises(RemoteProtocolError):
                    HANDSHAKE.after(phase, step)


def test_messages_before_authentication_are_refused():
    """Nothing but the handshake may come before it is over."""
    listener = Link("listener")
    listener.receive_data(PREAMBLE + m.Entry(path=b"a", stream=1).encode())
    with pytest.raises(RemoteProtocolError):
        listener.next_event()


@pytest.mark.parametrize("at", range(8))
def test_a_wrong_preamble_is_noticed_at_its_first_wrong_byte(at):
    """Another protocol is refused as early as can be."""
    link = Link("listener")
    wrong = bytearray(PREAMBLE)
    wrong[at] ^= 1
    for byte in wrong[:at]:
        link.receive_data(bytes([byte]))
    with pytest.raises(RemoteProtocolError):
        link.receive_data(bytes([wrong[at]]))


def test_negotiation():
    """The listener's preference decides; limits are the smaller ones; nothing in common is an error."""
    caller = m.Hello(nonce=NONCE, hashes=("sha256", "blake3"), max_data=8192, window=5)
    listener = m.Hello(nonce=NONCE, hashes=("blake3", "sha256"), max_data=4096, window=2**20)
    select = negotiate(caller, listener)
    assert (select.hash, select.max_data, select.window, select.version) == ("blake3", 4096, 5, 1)
    check_select(select, caller, listener)
    with pytest.raises(Unsupported):
        negotiate(caller, attrs.evolve(listener, hashes=("md5",)))
    for change in (
        {"hash": "md5"},
        {"window": 6},
        {"max_data": 8192},
        {"compression": "zstd"},
        {"version": 2},
    ):
        with pytest.raises(RemoteProtocolError):
            check_select(attrs.evolve(select, **change), caller, listener)
