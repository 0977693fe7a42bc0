"""The receiver on connections in memory, and what it leaves in the account."""

import pytest

from twisted_xfer.errors import NameInvalid, NoSpace
from twisted_xfer.interfaces import Account, Right, WriteIntent
from twisted_xfer.paths import VirtualPath
from twisted_xfer.protocols.push import PushOptions, push
from twisted_xfer.protocols.push.wire import MAX_HELD, header
from twisted_xfer.storage.local import LocalStorage
from twisted_xfer.storage.memory import MemoryStorage
from twisted_xfer.testing.contracts_protocol import ProtocolContract
from twisted_xfer.testing.host import MemoryHost
from twisted_xfer.testing.protocols import connect


class TestPushContract(ProtocolContract):
    plugin = push
    options = PushOptions(account="alice")


class TestPushContractInside(ProtocolContract):
    plugin = push
    options = PushOptions(account="alice")
    login = b"name<SEPARATOR>12345"


def content(host, path):
    home = host.storage.view("/alice", owner="somebody else", create=True)
    file = home.open_read(VirtualPath.parse(path))
    return file.read(1 << 30)


def names(host):
    home = host.storage.view("/alice", owner="somebody else", create=True)
    return sorted(entry.name for entry in home.list(VirtualPath()).next_batch(100))


def send(host, *pieces, **options):
    connection = connect(push.stream_factory(PushOptions(account="alice", **options), host))
    for piece in pieces:
        connection.send(piece)
        host.reactor.settle()
    return connection


def ways(data):
    """In one piece, byte by byte, and in two that end anywhere."""
    return [
        [data],
        [data[at : at + 1] for at in range(len(data))],
        *([data[:at], data[at:]] for at in range(1, len(data))),
    ]


@pytest.mark.parametrize("payload", [b"", b"a,b\n", b"1,2\n", b"\xff\xfe", b"12345"])
def test_a_file_arrives_however_it_is_cut(payload):
    """Merged with the header, split anywhere: the faults of the tutorial's receiver are gone."""
    for pieces in ways(header(b"/home/bob/f.csv", len(payload)) + payload):
        host = MemoryHost()
        connection = send(host, *pieces)
        connection.hang_up()
        host.reactor.settle()
        assert content(host, b"/f.csv") == payload
        assert host.recorder.of("upload.complete")[0].fields["size"] == len(payload)
        assert connection.received() == b""
        assert host.limits.held == 0


def test_a_cut_connection_publishes_nothing():
    """The part is kept, and the event says so."""
    host = MemoryHost()
    send(host, header(b"f", 10) + b"abc").hang_up()
    assert names(host) == []
    (event,) = host.recorder.of("upload.truncated")
    assert event.fields["bytes"] == 3


def test_one_byte_too_many_is_refused():
    """The connection is reset at once, and nothing is published."""
    host = MemoryHost()
    connection = send(host, header(b"f", 3) + b"abcd")
    assert connection.ended == "aborted"
    assert names(host) == []


@pytest.mark.parametrize(
    ("policy", "left"), [("rename", [b"f", b"f.1"]), ("overwrite", [b"f"]), ("refuse", [b"f"])]
)
def test_a_taken_name_follows_the_policy(policy, left):
    """Nothing is overwritten unless the operator said so."""
    host = MemoryHost()
    send(host, header(b"f", 3) + b"old", if_exists=policy).hang_up()
    send(host, header(b"f", 3) + b"new", if_exists=policy).hang_up()
    assert len(names(host)) == len(left)
    assert content(host, b"/f") == (b"new" if policy == "overwrite" else b"old")


def test_files_go_to_the_directory_that_was_configured():
    """Below the account's home, and nowhere else."""
    host = MemoryHost()
    home = host.storage.view("/alice", owner="alice", create=True)
    home.make_directory(VirtualPath.parse(b"/drop"))
    send(host, header(b"../../f", 1) + b"x", directory="/drop").hang_up()
    assert content(host, b"/drop/f") == b"x"


def test_an_account_without_the_right_is_refused():
    """The rights are the account's."""
    host = MemoryHost(accounts={"alice": Account("alice", rights=frozenset({Right.READ}))})
    host.login._portal.realm._accounts = type(
        "Lookup", (), {"account": lambda _self, name: Account(name, rights=frozenset({Right.READ}))}
    )()
    connection = send(host, header(b"f", 1) + b"x")
    assert connection.ended == "aborted"
    assert host.recorder.of("right.missing")[0].username == "alice"


def test_without_an_account_nothing_is_taken():
    """A listener that names nobody refuses everybody."""
    host = MemoryHost()
    connection = connect(push.stream_factory(PushOptions(), host))
    assert connection.ended == "aborted"
    assert host.limits.held == 0


def test_a_full_storage_resets_the_connection():
    """The sender has no other way to learn of it."""
    host = MemoryHost(storage=MemoryStorage(lambda: 0.0, capacity=10))
    connection = send(host, header(b"f", MAX_HELD * 2), b"\xff" * (MAX_HELD + 100))
    assert connection.ended == "aborted"
    (event,) = host.recorder.of("upload.aborted")
    assert event.fields["code"] == NoSpace.code


def test_a_name_too_long_for_a_file_is_refused():
    """255 bytes are a name, 256 are none."""
    for size, good in ((255, True), (256, False)):
        host = MemoryHost()
        connection = send(host, header(b"n" * size, 1) + b"x")
        connection.hang_up()
        assert (names(host) == [b"n" * size]) is good
    assert host.recorder.of("connection.close")[0].fields["reason"] in {NameInvalid.code, "lost"}


BIG_DIGITS = b"31415926535" + b"8" * (MAX_HELD * 2)


def test_a_large_file_of_digits_gets_its_beginning_back():
    """More than may be held, and each digit could still be the size's: the rest goes before it."""
    host = MemoryHost()
    connection = send(host, header(b"pi", len(BIG_DIGITS)) + BIG_DIGITS[:MAX_HELD], BIG_DIGITS[MAX_HELD:])
    connection.hang_up()
    assert content(host, b"/pi") == BIG_DIGITS


@pytest.mark.parametrize("size", [0, 1, 3 * 1024 * 1024 + 7])
def test_a_local_storage_puts_a_prefix_first(tmp_path, size):
    """In the part, before it is published, over several steps of the copy."""
    from twisted_xfer.errors import Truncated
    from twisted_xfer.interfaces import Expected

    storage = LocalStorage(str(tmp_path))
    data = bytes(range(251)) * (size // 251 + 1)
    upload = storage.open_write(VirtualPath.parse(b"/f"), WriteIntent())
    upload.write(data[:size])
    upload.commit(Expected(size=size + 3, prefix=b"abc"))
    assert (tmp_path / "f").read_bytes() == b"abc" + data[:size]
    again = storage.open_write(VirtualPath.parse(b"/g"), WriteIntent())
    again.write(b"x")
    with pytest.raises(Truncated):
        again.commit(Expected(size=3, prefix=b"abc"))
    assert not (tmp_path / "g").exists()
    storage.close()


@pytest.mark.parametrize(
    ("prefix", "answer"),
    [
        (b"", "more"),
        (b"name", "more"),
        (b"name<SEPARATOR>", "more"),
        (b"name<SEPARATOR>1", "yes"),
        (b"name<SEPARATOR>x", "no"),
        (b"\x16\x03\x01", "no"),
        (b"n" * 5000, "no"),
    ],
)
def test_sniffing(prefix, answer):
    """Text, the separator and a digit are a push."""
    assert push.sniff(prefix) == answer
