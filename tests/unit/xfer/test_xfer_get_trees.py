"""Trees that are fetched: what of them cannot be offered is told, and what is no file yet is none."""

import io
import os

import attrs
import pytest
from xfer_pipes import ALICE

from twisted_xfer.errors import PermissionDenied, RemoteProtocolError
from twisted_xfer.protocols.xfer import client, serving
from twisted_xfer.protocols.xfer.errormap import PeerError
from twisted_xfer.protocols.xfer.sources import Offer
from twisted_xfer.protocols.xfer.wire.messages import Get
from twisted_xfer.storage.local import LocalStorage

encode = Get.encode


@pytest.fixture
def home(tmp_path, net):
    (tmp_path / "back").mkdir()
    return tmp_path / "root/alice"


def names(place):
    return sorted(os.fspath(path.relative_to(place)) for path in place.rglob("*"))


class Offers:
    """A listener's tree of whatever paths."""

    def __init__(self, *paths):
        self.left = list(paths)

    def next(self):
        if not self.left:
            return None
        path = self.left.pop(0)
        if path.endswith(b"/"):
            return Offer(path[:-1], "dir", None, 0o755, 7, lambda: None)
        # Without ``whole`` each goes by itself.
        return Offer(path, "file", 1, 0o644, 7, lambda: io.BytesIO(b"x"), whole=self.whole)

    whole = staticmethod(lambda _size: b"x")

    def close(self):
        self.left = []


class Singly(Offers):
    whole = None


@pytest.mark.parametrize("kind", [Offers, Singly])
@pytest.mark.parametrize(
    ("paths", "fair"),
    [
        ((b"t",), True),
        ((b"t/a", b"t/b", b"t/d/e", b"t/d/f", b"t/d/", b"t/"), True),
        ((b".profile",), False),
        ((b"t", b".profile"), False),
        ((b".profile", b".rhosts"), False),
        ((b"tt", b"t"), False),
        ((b"d/t/a", b"d/t/b"), False),
        ((b"t./a", b"t./b"), False),
        ((b"T/",), False),
    ],
)
def test_a_listener_gives_what_was_asked_for(net, home, tmp_path, monkeypatch, kind, paths, fair):
    """Whatever else it offers is not taken, with others or by itself, and ends the connection."""
    (home / "in").mkdir()
    (home / "in/t").write_bytes(b"x")
    monkeypatch.setattr(serving, "StorageSource", lambda *_args: kind(*paths))
    found = net.get(b"in/t", tmp_path / "back")
    assert isinstance(found, RemoteProtocolError) is not fair
    assert all(name.split("/")[0] == "t" for name in names(tmp_path / "back"))
    assert (len(names(tmp_path / "back")) >= len(paths)) is fair


@pytest.mark.parametrize(
    ("asked", "fair"), [(b"in/t", True), (b"in/t/", True), (b"in", False), (b"in/d", False)]
)
def test_a_file_that_was_asked_for_in_a_frame_for_several(net, home, tmp_path, monkeypatch, asked, fair):
    """Is what it is in a frame of its own."""
    (home / "in/d").mkdir(parents=True)
    (home / "in/t").write_bytes(b"x")
    monkeypatch.setattr(serving, "StorageSource", lambda *_args: Offers(b"t", b"t"))
    monkeypatch.setattr(Get, "encode", lambda self: encode(attrs.evolve(self, path=self.path.rstrip(b"/"))))
    found = net.get(asked, tmp_path / "back")
    assert isinstance(found, RemoteProtocolError) is not fair
    assert names(tmp_path / "back") == (["t"] if fair else [])


@pytest.mark.parametrize("kind", [Offers, Singly])
def test_of_all_there_is_any_name_is_taken(net, home, tmp_path, monkeypatch, kind):
    """Nothing more was said."""
    monkeypatch.setattr(serving, "StorageSource", lambda *_args: kind(b"a", b"b", b"c/"))
    net.get(b"", tmp_path / "back")
    assert names(tmp_path / "back") == ["a", "b", "c"]


@pytest.mark.parametrize("paths", [(b"t",), (b"t/a", b"t/b"), (b"t/",)])
@pytest.mark.parametrize("kind", [Offers, Singly])
def test_a_dry_run_takes_nothing(net, home, tmp_path, monkeypatch, kind, paths):
    """From a listener that offers it all the same."""
    (home / "t").mkdir()
    monkeypatch.setattr(serving, "StorageSource", lambda *_args: kind(*paths))
    sender = serving.SenderRole
    monkeypatch.setattr(
        serving, "SenderRole", lambda *args, **named: sender(*args, **named | {"dry_run": False})
    )
    assert isinstance(net.get(b"t", tmp_path / "back", dry_run=True), RemoteProtocolError)
    assert names(tmp_path / "back") == []


def test_a_directory_that_cannot_be_read_is_told_and_the_rest_comes(net, home, tmp_path, monkeypatch):
    """One closed directory is one failure, not the end of the tree."""
    for name in ("a", "b", "c"):
        (home / "t" / name).mkdir(parents=True)
        (home / "t" / name / "f").write_bytes(name.encode())
    listed = LocalStorage.list

    def closed(self, path):
        if path.name == b"b":
            raise PermissionDenied(bytes(path))
        return listed(self, path)

    monkeypatch.setattr(LocalStorage, "list", closed)
    summary = net.get(b"t", tmp_path / "back")
    assert (summary.files, summary.failed) == (2, 1)
    assert names(tmp_path / "back") == ["t", "t/a", "t/a/f", "t/c", "t/c/f"]


def test_a_tree_that_cannot_be_read_at_all(net, home, tmp_path, monkeypatch):
    """What was asked for by its name is refused for what is wrong with it."""
    (home / "t").mkdir()

    def closed(self, path):
        raise PermissionDenied(bytes(path))

    monkeypatch.setattr(LocalStorage, "list", closed)
    error = net.get(b"t", tmp_path / "back")
    assert isinstance(error, PeerError)
    assert error.name == "permission_denied"


def test_what_the_protocol_does_not_carry_is_told(net, home, tmp_path):
    """A name with a control character, a directory of such a name, and a pipe: three failures."""
    (home / "t/bad\ndirectory").mkdir(parents=True)
    (home / "t/new\nline").write_bytes(b"x")
    (home / "t/good").write_bytes(b"x")
    os.mkfifo(home / "t/pipe")
    summary = net.get(b"t", tmp_path / "back")
    assert summary.files == 1
    assert [(path, error.detail[:2]) for path, error in summary.failures] == [(b"", "3 ")]
    assert names(tmp_path / "back") == ["t", "t/good"]


def test_what_was_left_out_by_a_pattern_is_no_failure(net, home, tmp_path):
    """Nobody misses what was not wanted."""
    (home / "t").mkdir()
    (home / "t/new\nline").write_bytes(b"x")
    os.mkfifo(home / "t/pipe")
    summary = net.get(b"t", tmp_path / "back", exclude=(b"new*", b"pipe"))
    assert (summary.files, summary.failed) == (0, 0)


def test_links_that_lead_nowhere_are_left_out(net, home, tmp_path):
    """A tree brings what its links lead to, and nothing of those that lead to nothing."""
    (home / "t").mkdir()
    (home / "t/gone").symlink_to("nowhere")
    (home / "t/loop").symlink_to(".")
    summary = net.get(b"t", tmp_path / "back")
    assert (summary.files, summary.failed) == (0, 0)
    assert names(tmp_path / "back") == ["t"]


def test_the_part_of_an_upload_is_no_file(net, home, tmp_path):
    """Its own sender does not get, and is not shown, half of what was cut for the whole of it."""
    source = tmp_path / "big"
    source.write_bytes(os.urandom(400_000))
    net.plan.append({"cut_after": 250_000})
    net.send([source], b"t", retries=0)
    (part,) = (home / "t").iterdir()
    assert part.name.endswith(".xpart")
    assert part.stat().st_size

    assert net.run(client.ls(net.host.clock, client.Target("memory", path=b"t"), ALICE, net.work())) == []
    summary = net.get(b"t", tmp_path / "back")
    assert (summary.files, summary.failed) == (0, 0)
    assert names(tmp_path / "back") == ["t"]
    for asked in (
        client.ls(net.host.clock, client.Target("memory", path=b"t/big"), ALICE, net.work()),
        client.get(
            net.host.clock,
            client.Target("memory", path=b"t/big"),
            ALICE,
            LocalStorage(os.fspath(tmp_path / "back")),
            work=net.work(),
        ),
    ):
        error = net.run(asked)
        assert isinstance(error, PeerError)
        assert error.name == "not_found"

    assert net.send([source], b"t").moved < 400_000, "it goes on where it was all the same"
    assert net.get(b"t", tmp_path / "back").files == 1
    assert (tmp_path / "back/t/big").read_bytes() == source.read_bytes()


@pytest.mark.parametrize(("most", "good"), [(3, True), (2, False)])
def test_a_listing_without_end(net, home, monkeypatch, most, good):
    """A listener may say what it likes: past a limit we have heard enough."""
    monkeypatch.setattr(client, "MAX_LISTED", most)
    for name in "abc":
        (home / name).touch()
    found = net.run(client.ls(net.host.clock, client.Target("memory"), ALICE, net.work()))
    if good:
        assert len(found) == most
    else:
        assert isinstance(found, RemoteProtocolError)
