"""Trees that are fetched: what of them cannot be offered is told, and what is no file yet is none."""

import os

import pytest
from xfer_pipes import ALICE

from twisted_xfer.errors import PermissionDenied, RemoteProtocolError
from twisted_xfer.protocols.xfer import client
from twisted_xfer.protocols.xfer.errormap import PeerError
from twisted_xfer.storage.local import LocalStorage


@pytest.fixture
def home(tmp_path, net):
    (tmp_path / "back").mkdir()
    return tmp_path / "root/alice"


def names(place):
    return sorted(os.fspath(path.relative_to(place)) for path in place.rglob("*"))


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
