"""TLS records of a thread's line: sealed and opened, by the library below pyOpenSSL and without it."""

import contextlib
import os

import pytest
from OpenSSL import SSL
from xfer_lines import close_sockets, public_lines, secure_lines

from twisted_xfer.protocols.xfer import bulk, secure_line, tls_records
from twisted_xfer.protocols.xfer.wire.frames import HEADER


@pytest.fixture(autouse=True)
def _closed():
    yield
    close_sockets()


def records(make):
    """Both ends' records, and what takes them across."""
    lines = make()
    for line in lines:
        line.close()
    ours, theirs = (line._records for line in lines)
    with contextlib.suppress(SSL.WantReadError):
        # The tickets of TLS 1.3.
        ours._tls.recv(1)

    def sealed(content):
        view, out = memoryview(content), b""
        while view:
            view = view[ours.seal(view) :]
            while more := bytes(ours.sealed()):
                out += more
        return out

    return ours, theirs, sealed


def test_the_library_below_is_used_where_it_can_be():
    """What these versions of pyOpenSSL have; elsewhere its methods do."""
    assert tls_records.CAN_DIRECT
    assert isinstance(records(secure_lines)[0], tls_records.Direct)
    assert isinstance(records(public_lines)[0], tls_records.Public)


@pytest.mark.parametrize("make", [secure_lines, public_lines])
def test_records_are_opened_as_far_as_they_have_come(make):
    """In whatever pieces they come, and no further than there is room."""
    content = os.urandom(3 * tls_records.RECORD + 7)
    _, theirs, sealed = records(make)
    wire, got = sealed(content), bytearray()
    room = memoryview(bytearray(100_000))
    assert theirs.open_into(room) == 0
    for at in range(0, len(wire), 5000):
        theirs.feed(memoryview(wire[at : at + 5000]))
        got += room[: theirs.open_into(room[: 4000 if at else 0])]
    while count := theirs.open_into(room[:9999]):
        got += room[:count]
    assert bytes(got) == content


@pytest.mark.parametrize("make", [secure_lines, public_lines])
def test_what_came_before_a_broken_record_is_handed_out_first(make):
    """And the next call says what was wrong, each time."""
    _, theirs, sealed = records(make)
    first, second = sealed(b"fine"), bytearray(sealed(b"broken"))
    second[-1] ^= 1
    theirs.feed(memoryview(first + bytes(second)))
    room = memoryview(bytearray(100))
    assert bytes(room[: theirs.open_into(room)]) == b"fine"
    for _ in range(2):
        with pytest.raises(SSL.Error) as caught:
            theirs.open_into(room)
        assert not isinstance(caught.value, SSL.WantReadError)


@pytest.mark.parametrize("make", [secure_lines, public_lines])
def test_close_notify_is_told_of_behind_what_came_before_it(make):
    """A line says 0 for it then."""
    ours, theirs, sealed = records(make)
    wire = sealed(b"last")
    ours._tls.shutdown()
    theirs.feed(memoryview(wire + bytes(ours.sealed())))
    room = memoryview(bytearray(100))
    assert bytes(room[: theirs.open_into(room)]) == b"last"
    with pytest.raises(SSL.ZeroReturnError):
        theirs.open_into(room)


def test_content_is_sealed_and_handed_out_at_once():
    """What a line seals in one call leaves nothing behind, and is no less than a piece with its header."""
    ours, _, _ = records(secure_lines)
    piece = memoryview(bytes(secure_line.SLICE))
    assert len(piece) >= bulk.SECURE_PIECE + HEADER.size
    assert ours.seal(piece) == len(piece)
    assert len(ours.sealed()) > len(piece)
    assert not ours.sealed()
