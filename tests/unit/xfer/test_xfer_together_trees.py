"""Trees whose small files travel together: all of it is there, whatever the window, the receiver and the line."""

import os

import pytest
from xfer_pipes import local_net

from twisted_xfer.protocols.xfer.options import XferOptions
from twisted_xfer.protocols.xfer.wire import peer as books
from twisted_xfer.protocols.xfer.wire.frames import MAX_INLINE


def there(tmp_path):
    home = tmp_path / "alice"
    return {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}


@pytest.fixture
def tree(tmp_path):
    """Folders with more small files than go together, and some that do not."""
    top = tmp_path / "tree"
    for folder in ("", "b", "b/c"):
        (top / folder).mkdir(parents=True, exist_ok=True)
        for number in range(40):
            (top / folder / f"f{number:02d}").write_bytes(os.urandom(number * 40))
    (top / "b/large").write_bytes(os.urandom(MAX_INLINE * 3))
    (top / os.fsdecode(b"b/\xff")).write_bytes(b"no text")
    return top


@pytest.fixture
def senders(monkeypatch):
    """Whose files went together, once for each FILES."""
    found = []
    offer_files = books.Sender.offer_files

    def noted(sender, files):
        found.append(sender)
        offer_files(sender, files)

    monkeypatch.setattr(books.Sender, "offer_files", noted)
    return found


@pytest.mark.parametrize(("window", "together"), [(64, True), (4, False), (1, False)])
@pytest.mark.parametrize("knows", [True, False])
def test_a_tree(tmp_path, tree, senders, monkeypatch, window, together, knows):
    """All of it is there, whatever the window, and whether the receiver knows FILES or not."""
    if not knows:
        monkeypatch.setattr("twisted_xfer.protocols.xfer.server.FEATURES", ())
    net = local_net(tmp_path, XferOptions(window=window))
    summary = net.send([tree])
    net.close_clean()
    assert (summary.files, summary.failed) == (122, 0)
    wanted = {
        f"tree/{path.relative_to(tree)}": path.read_bytes() for path in tree.rglob("*") if path.is_file()
    }
    assert there(tmp_path) == wanted
    assert bool(senders) is (together and knows)


@pytest.mark.parametrize("cut_after", [*range(1000, 16000, 611)])
def test_cut_anywhere(tmp_path, tree, cut_after):
    """What was interrupted goes on over the next connection, and at the end all is there once."""
    net = local_net(tmp_path)
    net.plan = [{"cut_after": cut_after}]
    summary = net.send([tree])
    net.close_clean()
    assert (summary.files + summary.skipped, summary.failed) == (122, 0)
    assert len(net.lines) == 2
    assert set(there(tmp_path).values()) == {path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    assert len(there(tmp_path)) == 122


def test_over_several_connections(tmp_path, tree, senders):
    """Each sends those together that it has got."""
    net = local_net(tmp_path)
    summary = net.send([tree], connections=3)
    net.close_clean()
    assert (summary.files, summary.directories, summary.failed) == (122, 3, 0)
    assert len(there(tmp_path)) == 122
    assert len(net.lines) == 3
    assert len(set(map(id, senders))) > 1
