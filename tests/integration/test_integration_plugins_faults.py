"""The fixture's faults in the native protocol and the small ones, seen by ``xfer`` as people run it."""

import json
import os
import socket
import ssl
import subprocess
import sys

import pytest

from twisted_xfer.cli.exits import Exit

pytestmark = pytest.mark.integration

DATA = os.urandom(3_000_000)
CUT = 2_000_000


def command(directory, *words):
    """An ``xfer`` in ``directory`` with nothing of ours but the password."""
    environment = {**os.environ, "XFER_PASSWORD": "secret", "XFER_CONFIG_DIR": str(directory / "config")}
    arguments = [sys.executable, "-m", "twisted_xfer.cli.main", *map(str, words), "--json"]
    return arguments, {"cwd": directory, "env": environment, "text": True}


def xfer(directory, *words):
    """The exit code and the events of one."""
    arguments, how = command(directory, *words)
    done = subprocess.run(arguments, capture_output=True, timeout=100, check=False, **how)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def place(server, scheme="xfer"):
    host, port = server.address(scheme)
    return f"{scheme}://alice@{host}:{port}"


@pytest.mark.xfer_server(faults={"download_cut_at": CUT, "times": 1})
def test_a_cut_download_goes_on(xfer_server, tmp_path):
    """One connection breaks at the byte that was said, the next one brings the rest."""
    (xfer_server.home / "file").write_bytes(DATA)
    code, events, said = xfer(tmp_path, "get", f"{place(xfer_server)}/file", "--plain")
    assert code == 0, said
    assert (tmp_path / "file").read_bytes() == DATA
    assert [event["event"] for event in events].count("reconnecting") == 1
    assert max(event["position"] for event in before(events, "reconnecting", "progress")) <= CUT


def before(events, end, kind):
    """The events of one kind before the first ``end``."""
    names = [event["event"] for event in events]
    return [event for event in events[: names.index(end)] if event["event"] == kind] or [{"position": 0}]


@pytest.mark.xfer_server(faults={"upload_cut_at": CUT, "times": 1})
def test_a_cut_upload_goes_on(xfer_server, tmp_path):
    """What was stored before the cut is not sent again."""
    (tmp_path / "file").write_bytes(DATA)
    code, events, said = xfer(tmp_path, "send", "file", f"{place(xfer_server)}/", "--plain")
    assert code == 0, said
    assert (xfer_server.home / "file").read_bytes() == DATA
    assert [event["event"] for event in events].count("reconnecting") == 1
    (done,) = [event for event in events if event["event"] == "done"]
    assert 0 < done["resumed"] <= CUT


@pytest.mark.parametrize("words", [("get", "{}/file"), ("send", "up", "{}/")])
@pytest.mark.xfer_server(faults={"download_cut_at": 0, "upload_cut_at": 0})
def test_what_is_cut_each_time_fails(xfer_server, tmp_path, words):
    """A client that never gives up would hang here."""
    (xfer_server.home / "file").write_bytes(DATA)
    (tmp_path / "up").write_bytes(DATA)
    code, _, _ = xfer(tmp_path, *(word.format(place(xfer_server)) for word in words), "--plain", "--retry", 0)
    assert code == Exit.RESUMABLE
    assert not (tmp_path / "file").exists()
    assert not (xfer_server.home / "up").exists()


@pytest.mark.parametrize("words", [("get", "{}/file"), ("send", "up", "{}/")])
@pytest.mark.xfer_server(
    faults={"download_stalls_at": CUT, "upload_stalls_at": CUT}, config={"timeouts": {"stall": 0}}
)
def test_a_stall(xfer_server, tmp_path, words):
    """Something moves, then nothing: the connection stays, and the file is nowhere."""
    (xfer_server.home / "file").write_bytes(DATA)
    (tmp_path / "up").write_bytes(DATA)
    arguments, how = command(tmp_path, *(word.format(place(xfer_server)) for word in words), "--plain")
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, **how) as process:
        line = process.stdout.readline()
        while json.loads(line)["event"] != "progress":
            line = process.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        process.kill()
    assert not (tmp_path / "file").exists()
    assert not (xfer_server.home / "up").exists()


@pytest.mark.parametrize(
    "clean",
    [
        pytest.param(True, marks=pytest.mark.xfer_server(tls=True, faults={})),
        pytest.param(False, marks=pytest.mark.xfer_server(tls=True, faults={"no_close_notify": True})),
    ],
)
def test_an_end_without_close_notify(xfer_server, tmp_path, clean):
    """A socket can tell the two apart; our client needs neither, since all is confirmed before."""
    with socket.create_connection(xfer_server.address("xfer"), 20) as plain:
        context = xfer_server.ssl_context()
        with context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False) as secured:
            secured.sendall(b"this is not the preamble of the native protocol" * 10)
            try:
                while secured.recv(65536):
                    pass
                ended = True
            except ssl.SSLEOFError:
                ended = False
    assert ended is clean
    (xfer_server.home / "file").write_bytes(DATA)
    code, _, said = xfer(tmp_path, "get", f"{place(xfer_server)}/file", "--ca", xfer_server.ca_file)
    assert code == 0, said
    assert (tmp_path / "file").read_bytes() == DATA


@pytest.mark.xfer_server(faults={"download_cut_at": CUT, "times": 1}, protocols=["jsonftp"])
def test_a_cut_jsonftp_download_goes_on(xfer_server, tmp_path):
    """By the breakpoint, from a little before the cut, so that it is seen to be the same file."""
    (xfer_server.home / "file").write_bytes(DATA)
    code, events, said = xfer(tmp_path, "get", f"{place(xfer_server, 'jsonftp')}/file")
    assert code == 0, said
    assert (tmp_path / "file").read_bytes() == DATA
    assert events[-1] == {
        "event": "done",
        "path": "file",
        "size": len(DATA),
        "verified": False,
        "resumed": CUT - 65536,
    }
    assert sorted(os.listdir(tmp_path)) == ["file", "xfer-server"]


@pytest.mark.xfer_server(faults={"download_cut_at": CUT, "times": 1}, protocols=["jsonftp"])
@pytest.mark.parametrize("change", ["other", "shorter", "gone"])
def test_a_part_of_another_file_is_not_gone_on_with(xfer_server, tmp_path, change):
    """The file changed between two commands: all of it is fetched, or nothing."""
    file = xfer_server.home / "file"
    file.write_bytes(DATA)
    url = f"{place(xfer_server, 'jsonftp')}/file"
    code, _, _ = xfer(tmp_path, "get", url, "--retry", 0)
    assert code == Exit.RESUMABLE
    assert (tmp_path / ".file.xfer-part").read_bytes() == DATA[:CUT]
    if change == "gone":
        file.unlink()
        assert xfer(tmp_path, "get", url)[0] == Exit.STORAGE
        assert not (tmp_path / "file").exists()
        return
    data = DATA[::-1] if change == "other" else DATA[:1000]
    file.write_bytes(data)
    code, events, said = xfer(tmp_path, "get", url)
    assert (code, events[-1]["verified"]) == (0, True), said
    assert (tmp_path / "file").read_bytes() == data


@pytest.mark.xfer_server(
    faults={"download_cut_at": CUT, "times": 1, "upload_cut_at": 100_000},
    protocols=["fetch@alice", "push@alice"],
)
def test_cuts_of_push_and_fetch(xfer_server, tmp_path):
    """A download is begun anew; an upload that is cut is known to have failed."""
    (xfer_server.home / "file").write_bytes(DATA)
    url = place(xfer_server, "fetch@alice").replace("fetch@alice://alice@", "fetch://")
    code, events, said = xfer(tmp_path, "get", f"{url}/file")
    assert (code, events[-1]["verified"]) == (0, True), said
    assert (tmp_path / "file").read_bytes() == DATA
    url = place(xfer_server, "push@alice").replace("push@alice://alice@", "push://")
    (tmp_path / "up").write_bytes(DATA)
    assert xfer(tmp_path, "send", "up", url, "--retry", 0)[0] in {Exit.RESUMABLE, Exit.NO_CONNECTION}
    assert not (xfer_server.home / "up").exists()
