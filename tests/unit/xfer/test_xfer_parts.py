"""The small parts: codes, sources, ledgers, reports and errors."""

import json
import os
from pathlib import Path

import attrs
import pytest
from twisted.internet.defer import CancelledError, Deferred

from twisted_xfer import errors
from twisted_xfer.errors import LoginFailed
from twisted_xfer.interfaces import IHasFileno
from twisted_xfer.protocols.xfer import client, errormap
from twisted_xfer.protocols.xfer.attempts import Ledger, Run
from twisted_xfer.protocols.xfer.choosing import Chosen
from twisted_xfer.protocols.xfer.content import HASHES, make_hasher
from twisted_xfer.protocols.xfer.disk_tree import DiskSource
from twisted_xfer.protocols.xfer.errormap import PeerError, error_message, is_transient, number_for, refusal
from twisted_xfer.protocols.xfer.holes import hash_range
from twisted_xfer.protocols.xfer.options import XferOptions
from twisted_xfer.protocols.xfer.pairing import ALPHABET, Pairing, binding_of, hello_digest, make_code, normal
from twisted_xfer.protocols.xfer.plugin import plugin
from twisted_xfer.protocols.xfer.report import MAX_FAILURES, Summary, TransferEvent
from twisted_xfer.protocols.xfer.sources import Offer, PipeSource, has_changed
from twisted_xfer.protocols.xfer.wire.codes import CODES
from twisted_xfer.protocols.xfer.wire.frames import PREAMBLE
from twisted_xfer.testing.host import FixedRandom, MemoryHost


def pair(code, other, binding=b"same", other_binding=b"same"):
    caller = Pairing(code, binding, FixedRandom(b"a"), caller=True)
    listener = Pairing(other, other_binding, FixedRandom(b"b"), caller=False)
    listener.receive(caller.message)
    caller.receive(listener.message)
    return caller, listener


def test_the_same_code_proves_itself_both_ways():
    """Case, blanks and dashes of a code do not count."""
    caller, listener = pair("k7m-2xq-9fd", " K7M2XQ 9fd")
    listener.check(caller.proof())
    caller.check_listener(listener.listener_proof())
    assert caller.proof() != listener.listener_proof()


@pytest.mark.parametrize(
    ("other", "binding"), [("k7m-2xq-9fe", b"same"), ("k7m-2xq-9fd", b"another TLS session")]
)
def test_another_code_or_another_session_does_not(other, binding):
    """Whoever sits in between has other TLS sessions at both sides, and is noticed."""
    caller, listener = pair("k7m-2xq-9fd", other, other_binding=binding)
    with pytest.raises(LoginFailed):
        listener.check(caller.proof())
    with pytest.raises(LoginFailed):
        caller.check_listener(listener.listener_proof())


@pytest.mark.parametrize("message", [b"", b"A", b"A" + bytes(32), b"B" + b"\xff" * 32, b"x" * 1000])
def test_messages_that_are_none(message):
    """Whatever a peer sends instead of a group element is a failed login."""
    listener = Pairing("code", b"", FixedRandom(), caller=False)
    with pytest.raises(LoginFailed):
        listener.receive(message)
        listener.check(b"")


def test_codes_are_made_of_what_cannot_be_mistaken():
    """Nine letters in groups; another one each time."""
    random = FixedRandom()
    codes = {make_code(random) for _ in range(20)}
    assert len(codes) == 20
    for code in codes:
        assert [len(group) for group in code.split("-")] == [3, 3, 3]
        assert set(normal(code).decode()) <= set(ALPHABET)
    assert not set("01loi") & set(ALPHABET)


def test_the_binding_covers_both_hellos_and_the_session():
    """Any change of either makes another one."""
    hellos = [b"a", b"bc"]
    made = {
        binding_of(hellos, b""), binding_of([b"ab", b"c"], b""), binding_of(hellos, b"x"), hello_digest(hellos)
    }  # fmt: skip
    assert len(made) == 4


@pytest.mark.parametrize("name", HASHES)
def test_prefixes_hash_like_the_whole(tmp_path, name):
    """A prefix digest is the digest of just these bytes; a shorter file is an error."""
    path = tmp_path / "f"
    path.write_bytes(b"abcdef")
    fd = os.open(path, os.O_RDONLY)
    try:
        hasher = make_hasher(name)
        hasher.update(b"abcd")
        prefix = make_hasher(name)
        hash_range(fd, 0, 4, prefix)
        assert prefix.digest() == hasher.digest()
        with pytest.raises(errors.SourceChanged):
            hash_range(fd, 4, 7, prefix)
    finally:
        os.close(fd)
    with pytest.raises(errors.Unsupported):
        make_hasher("crc32")


def walk(paths, **how):
    source = DiskSource([os.fsencode(path) for path in paths], **how)
    found = []
    while (offer := source.next()) is not None:
        found.append(offer)
    source.close()
    return found


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "t/b").mkdir(parents=True)
    (tmp_path / "t/empty").mkdir()
    (tmp_path / "t/b/c").write_bytes(b"c")
    (tmp_path / "t/b.txt").write_bytes(b"txt")
    (tmp_path / "t/link").symlink_to("b")
    os.mkfifo(tmp_path / "t/pipe")
    (tmp_path / os.fsdecode(b"t/\xff")).write_bytes(b"")
    return tmp_path / "t"


def test_a_tree_in_order(tree):
    """Names sorted as bytes, then links, then the directory itself; what is no file as a problem."""
    found = walk([tree])
    assert [(offer.path, offer.kind) for offer in found] == [
        (b"t/b/c", "file"), (b"t/b", "dir"), (b"t/b.txt", "file"), (b"t/empty", "dir"), (b"t/pipe", "other"),
        (b"t/\xff", "file"), (b"t/link", "symlink"), (b"t", "dir"),
    ]  # fmt: skip
    assert [offer.order for offer in found] == sorted(offer.order for offer in found)
    assert found[6].target == b"b"
    assert found[4].problem is not None


def test_what_a_tree_is_called(tree, monkeypatch):
    """``.`` is what is in it; a slash at the end or a dot in the middle changes no name."""
    monkeypatch.chdir(tree)
    assert walk(["."])[0].path == b"b/c"
    assert walk([f"{tree}/"])[-1].path == b"t"
    monkeypatch.chdir(tree / "b")
    assert walk([".."])[-1].path == b"t"
    assert walk(["c"])[0].path == b"c"


def test_exclusions_and_missing_paths(tree):
    """Names and relative paths are left out, with all below; a missing path is one problem."""
    found = walk([tree, tree / "no"], chosen=Chosen((b"b", b"t/l*", b"\xff")))
    assert [offer.path for offer in found if offer.problem is None] == [b"t/b.txt", b"t/empty", b"t"]
    assert found[-1].problem is not None


def test_a_walk_goes_on_behind_what_is_settled(tree):
    """After a reconnection only what is not settled is offered, without keeping the whole tree."""
    ledger, offers = Ledger(), [offer for offer in walk([tree]) if offer.problem is None]
    ledger.begin()
    assert all(ledger.wanted(offer) for offer in offers)
    for settled in (0, 1, 3):
        ledger.settle(offers[settled])
    ledger.begin()
    assert [number for number, offer in enumerate(offers) if ledger.wanted(offer)] == [2, 4, 5, 6]
    for offer in offers[2:]:
        ledger.settle(offer)
    ledger.begin()
    assert not any(ledger.wanted(offer) for offer in offers)
    assert not ledger._ahead


def test_a_file_that_changed(tree):
    """By size or time of the descriptor."""
    (offer,) = walk([tree / "b.txt"])
    file = offer.open()
    assert IHasFileno.providedBy(file)
    assert not has_changed(file, offer)
    (tree / "b.txt").write_bytes(b"longer")
    assert has_changed(file, offer)
    file.close()
    file.close()


def test_a_pipe_is_one_offer_of_unknown_size():
    """Standard input has neither size nor time."""
    reading, writing = os.pipe()
    os.write(writing, b"abc")
    os.close(writing)
    source = PipeSource(reading, b"name")
    offer = source.next()
    assert (offer.size, offer.mtime_ns, source.next()) == (None, None, None)
    file = offer.open()
    assert file.read(10) == b"abc"
    file.close()
    os.close(reading)


def all_errors(kind=errors.XferError):
    for sub in kind.__subclasses__():
        if sub.__module__ == "twisted_xfer.errors":
            yield sub
            yield from all_errors(sub)


@pytest.mark.parametrize("kind", sorted(set(all_errors()), key=lambda one: one.__name__))
def test_every_error_has_a_code(kind):
    """Each of the family gets a number of the table, and the peer's view agrees with ours."""
    error = kind("key", remedy="x") if kind is errors.ConfigError else kind(b"subject", "detail")
    name, number = number_for(error)
    assert CODES[name] == number
    message = error_message(error, 3)
    back = errormap.from_peer(message)
    assert (back.name, back.number) == (name, number)
    assert number_for(back) == (name, number)
    assert refusal(error, 3).code == number


def test_nothing_of_an_unknown_error_leaks():
    """Its text stays here."""
    message = error_message(ValueError("secret"))
    assert (message.name, message.text) == ("io", "")


def test_what_is_worth_another_try():
    """Lost lines and 6xx are; wrong passwords and full disks are not."""
    assert is_transient(errors.ConnectionLost())
    assert is_transient(PeerError(600, "busy"))
    assert is_transient(PeerError(400, "io", retry=True))
    assert not is_transient(PeerError(401, "no_space"))
    assert not is_transient(errors.LoginFailed())


def test_a_peer_cannot_paint_the_terminal():
    """What it says is shown without control characters."""
    assert str(PeerError(400, "io", "\x1b[2Jhi")) == "io: ?[2Jhi"


def test_a_summary_keeps_so_many_failures_by_name():
    """All are counted, MAX_FAILURES are named."""
    summary = Summary()
    for number in range(MAX_FAILURES + 1):
        summary.note(TransferEvent("failed", b"%d" % number, error=ValueError()))
    assert (summary.failed, len(summary.failures)) == (MAX_FAILURES + 1, MAX_FAILURES)


def test_the_plugin():
    """Bounds of its options, and which connections are its own."""
    host = MemoryHost()
    for options in (XferOptions(window=0), XferOptions(window=4097), XferOptions(max_data=1)):
        with pytest.raises(errors.ConfigError):
            plugin.stream_factory(options, host)
    assert plugin.stream_factory(XferOptions(window=4096), host).options.window == 4096
    assert plugin.stream_factory(None, host).options == XferOptions()
    assert [plugin.sniff(PREAMBLE[:3]), plugin.sniff(PREAMBLE + b"x"), plugin.sniff(b"GET")] == [
        "more",
        "yes",
        "no",
    ]
    assert plugin.datagram(XferOptions(), host) is None
    assert "code" not in repr(XferOptions(code="k7m")).replace("code_username", "")


def test_offers_are_values():
    """Two offers of the same thing are equal."""
    opener = len
    assert Offer(b"a", "file", 1, 0, 0, opener) == Offer(b"a", "file", 1, 0, 0, opener)


def test_short_writes_are_gone_on_with(tmp_path, monkeypatch):
    """A kernel that takes three bytes a call loses and doubles none, at any offset."""
    from twisted_xfer.protocols.xfer import content

    real = os.pwritev
    monkeypatch.setattr(
        content.os, "pwritev", lambda fd, left, at: real(fd, [b"".join(map(bytes, left))[:3]], at)
    )
    fd = os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT)
    try:
        hasher = make_hasher("sha256")
        content.store(fd, 2, [b"ab", b"", b"cdefg", memoryview(b"hi")], hasher)
        assert os.pread(fd, 100, 0) == b"\0\0abcdefghi"
    finally:
        os.close(fd)
    whole = make_hasher("sha256")
    whole.update(b"abcdefghi")
    assert hasher.digest() == whole.digest()


def test_every_option_is_in_the_manual():
    """With its default; but not what only ``xfer receive`` sets."""
    manual = (Path(__file__).parents[3] / "docs/operate/transfers.rst").read_text("utf-8")
    section = manual.partition("What a daemon allows")[2].partition("Completion")[0]
    for field in attrs.fields(XferOptions):
        if field.name.startswith("code"):
            assert f"``{field.name}``" not in section
        else:
            assert f"``{field.name}``" in section
            assert f"``{json.dumps(field.default)}``" in section


@pytest.mark.parametrize("end", [None, ValueError("ours"), CancelledError()])
def test_events_that_come_after_the_end(end):
    """A thread comes back when nobody waits any more: of a call that is over nothing is told."""
    seen = []
    run = Run(None, client.Target("m"), client.Login(), client.Work(), seen.append)

    async def attempt():
        run.note(TransferEvent("progress", b"a"))
        if end is not None:
            raise end

    over = []
    Deferred.fromCoroutine(run.repeat(attempt)).addBoth(over.append)
    assert getattr(over[0], "value", None) is end
    run.note(TransferEvent("done", b"a", position=1))
    assert [event.kind for event in seen] == ["progress"]
    assert not run.summary.files
