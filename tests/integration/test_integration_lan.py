"""The local network by mDNS, on the loopback interface, with the real library at both ends."""

import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import threading

import pytest

pytestmark = pytest.mark.integration
SECONDS = 60.0
GROUP = ("224.0.0.251", 5353)
SERVICE = "_xfer._tcp.local."


@pytest.fixture
def xfer(tmp_path):
    """Starts ``xfer ARGS``; what is left of them at the end is killed."""
    started = []

    def start(*args, **env):
        process = subprocess.Popen(
            [sys.executable, "-m", "twisted_xfer.cli", *map(str, args)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={
                **os.environ, "XFER_CONFIG_DIR": str(tmp_path / "config"), "XFER_LAN_INTERFACES": "127.0.0.1", **env,
            },
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def ended(process):
    out, err = process.communicate(timeout=SECONDS)
    return process.returncode, out, err


def waiting(xfer, tmp_path, name, *flags):
    """A receiver that announces itself, and what it said at its start."""
    (tmp_path / "inbox").mkdir(exist_ok=True)
    args = ("receive", tmp_path / "inbox", "--host", "127.0.0.1", "--port", "0", "--json", "--name", name)
    process = xfer(*args, *flags)
    return process, json.loads(process.stdout.readline())


def listed(xfer, good, *flags):
    """What ``xfer receivers`` says once it is ``good``: on a slow machine it may take more than one listening."""
    for _ in range(30):
        code, out, err = ended(xfer("receivers", "--wait", "1.5", *flags))
        if good(out):
            assert code == 0
            return out, err
    raise AssertionError(out + err)


def test_a_receiver_is_listed_and_sent_to_by_its_name(xfer, tmp_path):
    """receive --name, receivers, send @name/DIR; when the receiver is gone its name is too."""
    name = f"Bob's box {os.getpid()}"
    (tmp_path / "file").write_bytes(b"content")
    receiver, said = waiting(xfer, tmp_path, name, "--once")
    line = f"@{name}  xfer://127.0.0.1:{said['url'].rpartition(':')[2]}\n"
    listed(xfer, lambda out: line in out)
    listed(xfer, lambda out: name in [json.loads(line)["name"] for line in out.splitlines()], "--json")
    code, out, err = ended(xfer("send", tmp_path / "file", f"@{name}/sub", "--code", said["code"]))
    assert (code, out) == (0, "/sub/file\n"), err
    assert receiver.wait(SECONDS) == 0
    assert (tmp_path / "inbox/sub/file").read_bytes() == b"content"
    code, _, err = ended(xfer("send", tmp_path / "file", f"@{name}", "--code", said["code"]))
    assert code == 4
    assert "xfer receivers" in err


def labels(*parts):
    """A DNS name; a part may be anything up to 255 bytes, whatever the RFCs say."""
    return b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def advertisement(name, addresses, port, target=b"evil"):
    """A response with PTR, SRV, TXT and addresses, as nobody honest would make it."""
    kind = labels(b"_xfer", b"_tcp", b"local")
    instance = labels(name, b"_xfer", b"_tcp", b"local")
    host = labels(target, b"local")

    def record(owner, number, data):
        return owner + struct.pack(">HHIH", number, 1, 120, len(data)) + data

    records = [
        record(kind, 12, instance),
        record(instance, 33, struct.pack(">HHH", 0, 0, port) + host),
        record(instance, 16, b"\x09txtvers=1"),
    ]
    for address in addresses:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        number = 28 if ":" in address else 1
        records.append(record(host, number, socket.inet_pton(family, address)))
    return struct.pack(">HHHHHH", 0, 0x8400, 0, len(records), 0, 0) + b"".join(records)


@contextlib.contextmanager
def announced(*packets):
    """The packets, again and again, as answers of a peer that never heard a question."""
    over = threading.Event()
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)

    def work():
        while not over.wait(0.1):
            for packet in packets:
                sock.sendto(packet, GROUP)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        sock.close()


def test_hostile_announcements(xfer, tmp_path):
    """Nothing in a name reaches the terminal as it is; odd addresses and ports are not even listed."""
    bidi = "\N{RIGHT-TO-LEFT OVERRIDE}\x9b31mtxt.exe".encode()
    good = f"good-{os.getpid()}".encode()
    packets = [
        advertisement(b"red\x1b[31m\x07\r\nname", ["127.0.0.1"], 7, b"h1"),
        advertisement(bidi, ["127.0.0.1"], 7, b"h2"),
        advertisement(b"x" * 63, ["127.0.0.1"], 7, b"h3"),
        advertisement(b"\xff\xfe", ["127.0.0.1"], 7, b"h4"),
        advertisement(
            b"nowhere", ["0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "::ffff:127.0.0.1"], 7, b"h5"
        ),
        advertisement(b"portless", ["127.0.0.1"], 0, b"h6"),
        advertisement(b"addressless", [], 7, b"h7"),
        b"\0" * 12,
        os.urandom(64),
        advertisement(good, ["127.0.0.1"], 7, b"h8"),
    ]
    with announced(*packets):
        wanted = (f"@{good.decode()}  xfer://127.0.0.1:7\n", "@\\u202e\\x9b31mtxt.exe  xfer")
        out, err = listed(xfer, lambda out: all(line in out for line in wanted))
    assert all(letter.isprintable() or letter == "\n" for letter in out + err)
    for name in ("nowhere", "portless", "addressless"):
        assert name not in out
    assert "Traceback" not in err


def test_a_name_that_is_taken_gets_a_number(xfer, tmp_path):
    """A receiver whose name another machine has already is told apart, and says what it is called."""
    name = f"twin-{os.getpid()}"
    with announced(advertisement(name.encode(), ["127.0.0.1"], 7)):
        assert waiting(xfer, tmp_path, name)[1]["name"] == f"{name}-2"


def test_an_announcement_is_no_proof(xfer, tmp_path):
    """Whoever announces the wanted name gets neither the code nor the content out of it."""
    (tmp_path / "file").write_bytes(b"content")
    name = f"mallory-{os.getpid()}"
    receiver, _ = waiting(xfer, tmp_path, name)
    code, _, err = ended(xfer("send", tmp_path / "file", f"@{name}", "--code", "222-222-222"))
    assert code == 5
    assert "wrong code" in err
    assert receiver.wait(SECONDS) == 5
    assert not list((tmp_path / "inbox").iterdir())


@pytest.mark.parametrize(
    "args", [("receivers",), ("send", "/etc/hostname", "@bob", "--code", "x"), ("receive", "--announce")]
)
def test_without_the_extra(xfer, tmp_path, args):
    """What is missing is said in one line, with what to type."""
    (tmp_path / "zeroconf.py").write_text("raise ImportError")
    code, out, err = ended(
        xfer(*args, PYTHONPATH=os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    )
    assert code == 2
    assert "pip install 'twisted-xfer[lan]'" in err
    assert (out, err.count("\n")) == ("", 1)
