"""Real processes: memory stays flat whatever is sent, and several connections outlive one of them.

XFER_TEST_SPARSE_BYTES and XFER_TEST_TREE_FILES make the file and the tree larger: 20 GiB and 100,000 were tried.
"""

import os
import subprocess
import sys

import pytest

from twisted_xfer.cli.trust import own_certificate
from twisted_xfer.testing.daemon import Daemon
from twisted_xfer.testing.proxy import Harm, Proxy

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]
#: A tree of 100,000 files takes a minute; a loaded machine gets this much.
SECONDS = 600.0
#: What a process may need above what it needs for one small file: its buffers, and some of the
#: allocator's moods. Holding what is sent would take a hundred times that.
GROWTH_KIB = 48 * 1024
#: Mostly holes, and CONTENT in four places: hashing the holes is what takes time.
SPARSE = int(os.environ.get("XFER_TEST_SPARSE_BYTES", str(4 * 1024**3)))
CONTENT = 32 * 1024**2
#: Files of a tree, in thousands to a directory.
FILES = int(os.environ.get("XFER_TEST_TREE_FILES", "10000"))
#: Growth for each of them: less than its path and its offer would take if they were kept.
GROWTH_BYTES_A_FILE = 500


@pytest.fixture
def places(tmp_path, monkeypatch):
    monkeypatch.setenv("XFER_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("XFER_PASSWORD", "secret")
    own_certificate()
    (tmp_path / "root").mkdir()
    return tmp_path


def arguments(places):
    pem = str(places / "config/receive.pem")
    args = ["--root", str(places / "root"), "--auth", "memory:alice:secret", "--listen"]
    return [*args, "xfer=tcp:0:interface=127.0.0.1", "--tls-certificate", pem, "--tls-key", pem]


@pytest.fixture
def serving(places):
    with Daemon(arguments(places)) as daemon:
        yield daemon


#: Runs the command and reports the most memory that it had.
MEASURED = """
import resource, sys
from twisted_xfer.cli.main import main
try:
    main()
finally:
    print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


def send(port, *args):
    """Send, and answer the peak of the sender's memory in KiB."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, "send", "--accept-new", *map(str, args), f"xfer://alice@127.0.0.1:{port}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=SECONDS, check=False,
    )  # fmt: skip
    said = done.stderr.decode()
    assert done.returncode == 0, said
    return int(said.split("peak ")[-1])


def peak_of(daemon):
    """The most memory that the daemon had, in KiB."""
    with open(f"/proc/{daemon.pid}/status") as stream:
        return next(int(line.split()[1]) for line in stream if line.startswith("VmHWM"))


def grown(places, daemon, *args):
    """How much more both ends need for what is sent than for one small file."""
    port = daemon.address("xfer")[1]
    (places / "one").write_bytes(b"one")
    sender, receiver = send(port, places / "one"), peak_of(daemon)
    return send(port, *args) - sender, peak_of(daemon) - receiver


@pytest.mark.parametrize("plain", [[], ["--plain"]], ids=["tls", "plain"])
def test_a_sparse_file_needs_no_memory(places, serving, plain):
    """Neither the holes nor the content between them, which is more than may be held."""
    assert 4 * CONTENT > 2 * GROWTH_KIB * 1024
    with open(places / "sparse", "wb") as stream:
        stream.truncate(SPARSE)
        for part in range(4):
            stream.seek(part * (SPARSE // 4))
            stream.write(os.urandom(CONTENT))
    sender, receiver = grown(places, serving, *plain, places / "sparse")
    assert sender < GROWTH_KIB
    assert receiver < GROWTH_KIB
    assert (places / "root/alice/sparse").stat().st_size == SPARSE


@pytest.mark.parametrize("plain", [[], ["--plain"]], ids=["tls", "plain"])
def test_a_large_file_goes_in_frames_as_short_as_the_daemon_wants(places, plain):
    """An operator may allow less than the sender would take."""
    (places / "xfer.toml").write_text("[protocols.xfer]\nmax_data = 65536\n")
    (places / "large").write_bytes(os.urandom(1_000_000))
    with Daemon([*arguments(places), "--config", str(places / "xfer.toml")]) as daemon:
        send(daemon.address("xfer")[1], *plain, places / "large")
    assert (places / "root/alice/large").read_bytes() == (places / "large").read_bytes()


def test_a_tree_of_empty_files_needs_no_memory(places, serving):
    """The walk, the window and the books of both ends hold a part of it at any time."""
    for folder in range(FILES // 1000):
        (places / f"tree/{folder}").mkdir(parents=True)
        for number in range(1000):
            (places / f"tree/{folder}/{number}").touch()
    sender, receiver = grown(places, serving, places / "tree")
    assert sender * 1024 < GROWTH_BYTES_A_FILE * FILES
    assert receiver * 1024 < GROWTH_BYTES_A_FILE * FILES
    assert sum(len(names) for _, _, names in os.walk(places / "root/alice/tree")) == FILES


@pytest.mark.parametrize("plain", [[], ["--plain"]], ids=["tls", "plain"])
@pytest.mark.parametrize("killed", [0, 1])
def test_one_of_several_connections_is_killed(places, serving, killed, plain):
    """What it carried is sent again over a new one; all files are there and whole."""
    (places / "tree").mkdir()
    for number in range(12):
        (places / f"tree/{number}").write_bytes(os.urandom(3_000_000 + number))
    with Proxy(serving.address("xfer")) as proxy:
        proxy.plan.extend(Harm(at=4_000_000) if number == killed else Harm() for number in range(3))
        send(proxy.port, "-j", "3", *plain, places / "tree")
        assert len(proxy.carried) > 3
    for number in range(12):
        assert (places / f"root/alice/tree/{number}").read_bytes() == (places / f"tree/{number}").read_bytes()
    assert not list((places / "root").rglob("*.xpart"))


@pytest.mark.parametrize("plain", [[], ["--plain"]], ids=["tls", "plain"])
def test_small_files_between_large_ones(places, serving, plain):
    """While a thread has the line for a large file the next ones are offered, and none of them gets between its bytes."""
    content = os.urandom(12 * 1024**2)
    for directory in range(4):
        (places / f"tree/{directory}").mkdir(parents=True)
        (places / f"tree/{directory}/large").write_bytes(content)
        for number in range(150):
            (places / f"tree/{directory}/small{number}").write_bytes(content[number : number + 45_000])
    send(serving.address("xfer")[1], places / "tree", "--retry", "0", *plain)
    for path in (places / "tree").rglob("*"):
        if path.is_file():
            assert (
                places / "root/alice/tree" / path.relative_to(places / "tree")
            ).read_bytes() == path.read_bytes()
