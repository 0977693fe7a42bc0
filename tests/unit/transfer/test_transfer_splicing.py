"""Uploads that the kernel moves: every byte, and what is left in the pipe when it cannot."""

import errno
import itertools
import os

import pytest
from fed_uploads import IMAGE, PlainUpload, feed

from twisted_xfer.errors import NoSpace, QuotaExceeded, StorageFailure
from twisted_xfer.transfer.choose import BULK, Kernel


@pytest.mark.parametrize(
    ("kernel", "spliced"), [(Kernel(), True), (Kernel(splice=None), False)], ids=["splice", "recv"]
)
def test_large_file(lab, tmp_path, kernel, spliced):
    """Megabytes into a plain file, by the kernel once it is worth it, or by hand."""
    lab.transfers.kernel = kernel
    content = os.urandom(3 << 20)
    channel, client = lab.connect()
    upload = PlainUpload(tmp_path / "target")
    transfer = lab.transfers.upload(upload, channel, IMAGE, None, 60.0)
    feed(lab, transfer, client, content)
    assert lab.outcome(transfer) == len(content)
    assert (tmp_path / "target").read_bytes() == content
    assert (upload.advanced > 0) is spliced
    assert upload.ends == [("commit", None)]


def test_a_turn_of_a_limiter_is_used_up(lab, tmp_path):
    """The kernel moves less at a time than was granted: only what the socket has not is given back.

    Else who gets smaller pieces from the kernel would have a smaller share.
    """
    heard = []

    class Turns:
        def take(self, wanted):
            return min(wanted, 65536)

        def give_back(self, unused):
            heard.append("back")

        def delay(self):
            return 0.0

    def pieces(source, target, count, flags=0):
        if "pipe:" not in os.readlink(f"/proc/self/fd/{target}"):
            return os.splice(source, target, count, flags=flags)
        heard.append("empty")
        moved = os.splice(source, target, min(count, 30_000), flags=flags)
        if moved:
            heard[-1] = "moved"
        return moved

    lab.transfers.kernel = Kernel(splice=pieces)
    content = os.urandom(1 << 20)
    channel, client = lab.connect()
    upload = PlainUpload(tmp_path / "target")
    transfer = lab.transfers.upload(upload, channel, IMAGE, Turns())
    feed(lab, transfer, client, content)
    assert lab.outcome(transfer) == len(content)
    assert (tmp_path / "target").read_bytes() == content
    by_kernel = heard[heard.index("moved") :]
    assert by_kernel.count("moved") > 10
    assert {before for before, now in itertools.pairwise(by_kernel) if now == "back"} == {"empty"}


@pytest.mark.parametrize("more", [0, 1])
def test_limit_while_splicing(lab, tmp_path, more):
    """The same at the limit and one past it when the kernel moves the bytes."""
    limit = BULK + 300_000
    content = os.urandom(limit + more)
    channel, client = lab.connect()
    upload = PlainUpload(tmp_path / "target", limit)
    transfer = lab.transfers.upload(upload, channel, IMAGE)
    feed(lab, transfer, client, content)
    outcome = lab.outcome(transfer)
    assert upload.advanced > 0
    assert upload.offset == limit
    assert (tmp_path / "target").read_bytes() == content[:limit]
    if more:
        assert isinstance(outcome, QuotaExceeded)
        assert upload.ends == [("abort", outcome)]
    else:
        assert outcome == limit
        assert upload.ends == [("commit", None)]


def test_splice_is_refused_on_a_secure_channel(lab, tmp_path):
    """Ciphertext never reaches the file through the kernel, though both descriptors would allow it."""

    def forbidden(*_args, **_kwargs):
        raise AssertionError("splice on a secure channel")

    class Secure:
        secure = True

        def __init__(self, inner):
            self.inner = inner

        def __getattr__(self, name):
            return getattr(self.inner, name)

    lab.transfers.kernel = Kernel(splice=forbidden)
    channel, client = lab.connect()
    content = os.urandom(2 * BULK)
    transfer = lab.transfers.upload(PlainUpload(tmp_path / "target"), Secure(channel), IMAGE)
    feed(lab, transfer, client, content)
    assert lab.outcome(transfer) == len(content)
    assert (tmp_path / "target").read_bytes() == content


def fails_on_the_file(code, after=0, part=1000):
    """A splice whose second half fails with ``code``, having moved ``part`` bytes ``after`` times."""
    done = []

    def splice(source, target, count, flags=0):
        if os.path.realpath(f"/proc/self/fd/{target}").startswith("/proc") or "pipe:" in os.readlink(
            f"/proc/self/fd/{target}"
        ):
            return os.splice(source, target, count, flags=flags)
        done.append(count)
        if len(done) > after:
            raise OSError(code, os.strerror(code))
        return os.splice(source, target, part, flags=flags)

    return splice


@pytest.mark.parametrize("after", [0, 3])
def test_splice_refused_by_the_file_system(lab, tmp_path, after):
    """EINVAL from the file, at once or later: what is in the pipe is written by hand, no byte lost."""
    lab.transfers.kernel = Kernel(splice=fails_on_the_file(errno.EINVAL, after))
    content = os.urandom(2 << 20)
    channel, client = lab.connect()
    upload = PlainUpload(tmp_path / "target")
    transfer = lab.transfers.upload(upload, channel, IMAGE)
    feed(lab, transfer, client, content)
    assert lab.outcome(transfer) == len(content)
    assert (tmp_path / "target").read_bytes() == content
    assert upload.advanced == after * 1000


@pytest.mark.parametrize(("code", "kind"), [(errno.ENOSPC, NoSpace), (errno.EIO, StorageFailure)])
def test_bytes_left_in_the_pipe_do_not_count(lab, tmp_path, code, kind):
    """Disk full behind the pipe: only what reached the file is counted, and the next upload is clean."""
    lab.transfers.kernel = Kernel(splice=fails_on_the_file(code, after=2))
    channel, client = lab.connect()
    upload = PlainUpload(tmp_path / "target")
    transfer = lab.transfers.upload(upload, channel, IMAGE)
    feed(lab, transfer, client, b"1" * (1 << 20))
    outcome = lab.outcome(transfer)
    assert isinstance(outcome, kind)
    size = os.path.getsize(tmp_path / "target")
    assert transfer.transferred == upload.offset == size
    assert upload.ends == [("suspend", outcome)]

    lab.transfers.kernel = Kernel()
    content = b"2" * (1 << 20)
    channel, client = lab.connect()
    transfer = lab.transfers.upload(PlainUpload(tmp_path / "next"), channel, IMAGE)
    feed(lab, transfer, client, content)
    assert (tmp_path / "next").read_bytes() == content
