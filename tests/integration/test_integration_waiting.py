"""What waits for somebody, and does not any more: standard input that brings nothing, a receiver that is to end."""

import json
import os
import signal
import subprocess
import sys

import pytest

from twisted_xfer.testing.server import XferServer

pytestmark = pytest.mark.integration
SECONDS = 60.0


def start(tmp_path, *args, **others):
    environment = {**os.environ, "XFER_CONFIG_DIR": str(tmp_path / "config"), "XFER_PASSWORD": "secret"}
    return subprocess.Popen(
        [sys.executable, "-m", "twisted_xfer.cli", *args, "--json", "--plain"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        # Whoever runs the tests in the background has children that would never hear of it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler), **others,
    )  # fmt: skip


def read_until(process, event):
    for line in process.stdout:
        found = json.loads(line)
        if found["event"] == event:
            return found
    pytest.fail(f"no {event}: {process.stderr.read()}")


@pytest.mark.parametrize("end", ["interrupt", "server"])
def test_standard_input_that_brings_nothing(tmp_path, end):
    """Neither Ctrl-C nor a listener that has gone waits for it."""
    with XferServer() as server:
        place = f"xfer://alice@127.0.0.1:{server.daemon.address('xfer')[1]}/"
        sender = start(tmp_path, "send", "-", place, stdin=subprocess.PIPE)
        with sender:
            sender.stdin.write("some")
            sender.stdin.flush()
            read_until(sender, "progress")
            if end == "interrupt":
                sender.send_signal(signal.SIGINT)
            else:
                server.daemon.kill()
            assert sender.wait(SECONDS) == (130 if end == "interrupt" else 9)
            sender.stdin.close()
            assert len(sender.stderr.read().splitlines()) == 1


def test_a_receiver_that_is_to_end_now(tmp_path):
    """The first Ctrl-C lets what is under way come to its end, a second one cuts it: it can be gone on with."""
    (tmp_path / "big").write_bytes(os.urandom(3_000_000))
    (tmp_path / "inbox").mkdir()
    receiver = start(tmp_path, "receive", str(tmp_path / "inbox"), "--host", "127.0.0.1", "--port", "0")
    with receiver:
        listening = read_until(receiver, "listening")
        send = ("send", str(tmp_path / "big"), listening["url"], "--code", listening["code"])
        sender = start(tmp_path, *send, "--limit-rate", "1", "--retry", "0")
        with sender:
            read_until(receiver, "started")
            receiver.send_signal(signal.SIGINT)
            # It listens no more as soon as it has heard of it.
            for _ in range(50):
                late = start(tmp_path, *send, "--retry", "0")
                late.communicate(timeout=SECONDS)
                if late.returncode == 4:
                    break
            else:
                pytest.fail("it listens")
            receiver.send_signal(signal.SIGINT)
            assert receiver.wait(SECONDS) == 130
            assert "Traceback" not in receiver.stderr.read()
            assert sender.wait(SECONDS) == 9
    assert not (tmp_path / "inbox/big").exists()
    assert len(list((tmp_path / "inbox").iterdir())) == 1


ANNOUNCING = """
import sys
from twisted_xfer.cli import lan, main, output

def announce(*_arguments):
    {failing}

lan.Announcement = announce
main.main(["receive", sys.argv[1], "--host", "127.0.0.1", "--port", "0", "--announce"])
"""


@pytest.mark.parametrize(
    ("failing", "code", "words"),
    [
        ("output.fail('no address', output.Exit.NO_CONNECTION)", 4, "xfer: no address\n"),
        ("raise KeyboardInterrupt", 130, "\nxfer: interrupted\n"),
    ],
)
def test_a_receiver_that_cannot_be_announced(tmp_path, failing, code, words):
    """It ends, though it listens already; so does one that is interrupted then."""
    done = subprocess.run(
        [sys.executable, "-c", ANNOUNCING.format(failing=failing), str(tmp_path)],
        env={**os.environ, "XFER_CONFIG_DIR": str(tmp_path / "config")},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.endswith(words)
    assert "Traceback" not in done.stderr
