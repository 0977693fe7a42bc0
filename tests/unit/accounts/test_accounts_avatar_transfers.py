"""Downloads and uploads of an avatar: what is told of their ends, and who may refuse a file."""

import pytest
from accounts_kit import Bus, Tree, result
from avatar_kit import STYLES, A, B, make

from twisted_xfer.errors import Cancelled, DigestMismatch, StorageFailure, Truncated, Vetoed
from twisted_xfer.interfaces import WriteIntent


@pytest.mark.parametrize("style", STYLES)
def test_download_complete(style):
    """Bytes from the offset on, by read and by the kernel, in the mode that was set."""
    avatar, tree, bus, clock = make(tree=Tree({A: b"0123456789"}, style))
    file = result(avatar.open_read, A, 2)
    assert (file.read(3), file.offset) == (b"234", 5)
    file.advance(5)
    file.mode = "ascii"
    clock.advance(3)
    file.close()
    file.close()
    (told,) = bus.events
    assert told[0] == "download.complete"
    assert told[1] == {
        "session": "s1",
        "protocol": "ftp",
        "username": "alice",
        "peer": "192.0.2.7",
        "transfer": "s1-1",
        "path": b"/a",
        "size": 10,
        "bytes": 8,
        "seconds": 3,
        "mode": "ascii",
    }
    assert tree.opened.closed == [None, None]


@pytest.mark.parametrize(("reason", "code"), [(Cancelled(), "aborted"), (OSError("secret"), "io")])
def test_download_aborted(reason, code):
    """The reason's code, never its text."""
    avatar, _, bus, _ = make()
    file = avatar.open_read(A)
    file.read(1)
    file.close(reason)
    assert bus.events[0][0] == "download.aborted"
    assert bus.events[0][1]["code"] == code
    assert "secret" not in repr(bus.events)


@pytest.mark.parametrize("style", STYLES)
def test_upload_complete(style):
    """Published, told once, and a close path that aborts afterwards says nothing more."""
    avatar, tree, bus, _ = make(tree=Tree({}, style))
    upload = result(avatar.open_write, A, WriteIntent())
    assert upload.reserve(100) == 100
    result(upload.write, b"abc")
    upload.advance(2)
    assert upload.offset == 5
    assert result(upload.commit).size == 5
    result(upload.abort)
    assert bus.ids() == ["upload.complete"]
    assert bus.events[0][1]["bytes"] == bus.events[0][1]["size"] == 5
    assert tree.files[A] == b"abc\0\0"


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    ("error", "event", "code"),
    [
        (Truncated(), "upload.truncated", None),
        (DigestMismatch(), "upload.aborted", "digest_mismatch"),
        (StorageFailure(), "upload.aborted", "io"),
    ],
)
def test_upload_that_cannot_be_published(style, error, event, code):
    """The storage's refusal goes on to the caller and is told once."""
    avatar, tree, bus, _ = make(tree=Tree({}, style))
    upload = result(avatar.open_write, A, WriteIntent())
    tree.opened.fails = error
    with pytest.raises(type(error)):
        result(upload.commit)
    result(upload.suspend, error)
    assert bus.ids() == [event]
    assert bus.events[0][1].get("code") == code


@pytest.mark.parametrize(("end", "reason"), [("suspend", Truncated()), ("abort", Truncated())])
def test_truncated_is_told_as_such(end, reason):
    """However the close path ends it."""
    avatar, _, bus, _ = make()
    result(getattr(avatar.open_write(B, WriteIntent()), end), reason)
    assert bus.ids() == ["upload.truncated"]


def test_abort_without_a_reason():
    """No data connection came: aborted."""
    avatar, tree, bus, _ = make()
    result(avatar.open_write(B, WriteIntent()).abort)
    assert bus.events[0][1]["code"] == "aborted"
    assert tree.opened.calls == ["abort"]


def test_veto_is_asked_before_publishing():
    """Asked with path and size; a refusal drops the upload and is the caller's error."""
    for veto in (None, Vetoed(listener="scanner")):
        bus = Bus()
        bus.asks = True
        bus.vetoes = veto
        avatar, tree, _, _ = make(tree=Tree({}), bus=bus)
        upload = avatar.open_write(A, WriteIntent())
        result(upload.write, b"abc")
        if veto is None:
            assert result(upload.commit).size == 3
            assert bus.ids() == ["upload.complete"]
        else:
            with pytest.raises(Vetoed):
                result(upload.commit)
            assert tree.opened.calls == ["abort"]
            assert bus.events[0][1]["code"] == "vetoed"
        assert bus.asked[0][0] == "upload.publish"
        assert bus.asked[0][1]["path"] == b"/a"
        assert bus.asked[0][1]["size"] == 3
        assert bus.asked[0][1]["session"] == "s1"


def test_veto_is_asked_even_when_nobody_listens():
    """A scanner alone is reason enough to wrap."""
    bus = Bus(active=False)
    bus.asks = True
    bus.vetoes = Vetoed()
    avatar, *_ = make(tree=Tree({}), bus=bus)
    with pytest.raises(Vetoed):
        result(avatar.open_write(A, WriteIntent()).commit)
    assert bus.events == []
