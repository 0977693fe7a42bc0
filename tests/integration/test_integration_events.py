"""Programs and webhooks that hear of events, or refuse uploads, with real daemons and processes."""

import ftplib
import hashlib
import hmac
import http.server
import io
import json
import threading
import time

import pytest

from twisted_xfer.testing.daemon import Daemon, DaemonFailed

pytestmark = pytest.mark.integration

SECRET = "canary-canary-canary"


@pytest.fixture
def site(tmp_path):
    """A configuration file, to be completed by a test, and programs in sh."""
    (tmp_path / "root").mkdir()

    class Site:
        path = tmp_path
        home = tmp_path / "root" / "alice"

        def daemon(self, more, **options):
            config = tmp_path / "xfer.toml"
            config.write_text(
                'root = "root"\nlisten = ["ftp=tcp:0:interface=127.0.0.1"]\nauth = ["memory:alice:secret"]\n'
                + more
            )
            return Daemon(["--config", str(config)], **options)

        def program(self, text):
            program = tmp_path / "program"
            program.write_text(f"#!/bin/sh\n{text}\n")
            program.chmod(0o755)
            return f'argv = ["{program}", "{tmp_path}"]\n'

    return Site()


def wait_for(condition, seconds=60.0):
    """Poll until ``condition()`` is true; the bound only keeps a failing test from hanging."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen"
        time.sleep(0.05)


def store(daemon, name, data=b"content"):
    with ftplib.FTP(timeout=30) as ftp:
        ftp.connect(*daemon.address("ftp"))
        ftp.login("alice", "secret")
        return ftp.storbinary(f"STOR {name}", io.BytesIO(data))


def paths(file):
    """The paths in a file of JSON lines."""
    if not file.exists():
        return []
    return [json.loads(line)["path"] for line in file.read_text().splitlines() if line.endswith("}")]


@pytest.mark.parametrize("workers", [1, 2])
def test_program_hears_of_events_without_our_secrets(site, workers):
    """JSON on its standard input; of the daemon's variables only what it may know."""
    argv = site.program('cat >> "$1/heard"\nenv > "$1/env"')
    with site.daemon(
        f"workers = {workers}\n"
        f'[events.exec]\n{argv}only = ["upload.complete"]\nenvironment = {{ MINE = "1" }}\n'
        f'outbox = "{site.path}/outbox"\n',
        env={"XFER_PASSWORD": "canary"},
    ) as daemon:
        store(daemon, "a")
        store(daemon, "b")
        wait_for(lambda: sorted(paths(site.path / "heard")) == ["/a", "/b"])
        variables = (site.path / "env").read_text()
        assert "XFER_EVENT=upload.complete" in variables
        assert "MINE=1" in variables
        assert "canary" not in variables
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.output


def test_slow_and_failing_programs_harm_nothing(site):
    """Uploads go on while every run of the program hangs until it is killed; the stop does not wait."""
    argv = site.program('echo x >> "$1/runs"\nexec sleep 1000')
    with site.daemon(f"[events.exec]\n{argv}at_once = 2\ntimeout = 0.5\n") as daemon:
        for number in range(20):
            assert store(daemon, f"f{number}").startswith("226")
        wait_for(lambda: "not delivered" in daemon.output)
        wait_for(lambda: (site.path / "runs").read_text().count("x") > 2)
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.output
    assert len(list(site.home.glob("f*"))) == 20


def test_events_survive_kill_9(site):
    """What could not be delivered before the daemon was killed is delivered by the next one."""
    argv = site.program('test -e "$1/open" || exit 1\ncat >> "$1/heard"')
    settings = (
        f'[events.exec]\n{argv}only = ["upload.complete"]\ntimeout = 1\noutbox = "{site.path}/outbox"\n'
    )
    with site.daemon(settings) as daemon:
        for name in "abc":
            store(daemon, name)
        wait_for(lambda: "not delivered" in daemon.output)
        daemon.kill()
    assert not (site.path / "heard").exists()
    (site.path / "open").touch()
    with site.daemon(settings) as daemon:
        wait_for(lambda: set(paths(site.path / "heard")) == {"/a", "/b", "/c"})
        store(daemon, "d")
        wait_for(lambda: "/d" in paths(site.path / "heard"))
        assert daemon.stop() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_veto_reads_the_upload_and_refuses_it(site, workers):
    """A program looks into the bytes before they have their name: refused ones never get it."""
    argv = site.program('if grep -q EICAR /dev/fd/3; then echo "virus found"; exit 1; fi')
    with site.daemon(f"workers = {workers}\n[events.veto]\n{argv}") as daemon:
        assert store(daemon, "good", b"nothing in it").startswith("226")
        with pytest.raises(ftplib.error_perm):
            store(daemon, "bad", b"here is EICAR, a test")
        with pytest.raises(ftplib.error_perm):
            store(daemon, "good", b"EICAR again")
        assert (site.home / "good").read_bytes() == b"nothing in it"
        assert [entry.name for entry in site.home.iterdir()] == ["good"]
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.output


def test_veto_that_hangs_refuses_and_others_go_on(site):
    """No answer is no consent; sessions beside it are served meanwhile."""
    argv = site.program("exec sleep 1000")
    with site.daemon(f"[events.veto]\n{argv}timeout = 2\n") as daemon:
        refused = []

        def upload():
            try:
                store(daemon, "a")
            except ftplib.all_errors as error:
                refused.append(str(error))

        thread = threading.Thread(target=upload)
        thread.start()
        with ftplib.FTP(timeout=30) as ftp:
            ftp.connect(*daemon.address("ftp"))
            ftp.login("alice", "secret")
            ftp.mkd("beside")
        thread.join(60)
        assert len(refused) == 1
        assert [entry.name for entry in site.home.iterdir()] == ["beside"]


def test_veto_without_its_program_does_not_start(site):
    """Uploads that nobody looks at are not what was asked for."""
    daemon = site.daemon('[events.veto]\nargv = ["/nowhere/scanner"]\n')
    try:
        with pytest.raises(DaemonFailed):
            daemon.start()
        assert "/nowhere/scanner" in daemon.output
        assert "Traceback" not in daemon.output
    finally:
        daemon.close()


class Receiver:
    """An HTTP server that keeps what is posted to it, and answers as it is told."""

    def __init__(self):
        self.posts = []
        self.status = 200
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.posts.append((receiver.status, dict(self.headers), body))
                self.send_response(receiver.status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_address[1]}/hook?token=canary-token"

    def taken(self):
        return [json.loads(body)["path"] for status, _, body in self.posts if status == 200]

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def receiver():
    made = Receiver()
    yield made
    made.close()


def test_webhook_is_signed_and_tried_again(site, receiver):
    """A server that answers 503 gets the event again, signed each time; nothing secret is logged."""
    secret = site.path / "secret"
    secret.write_text(SECRET + "\n")
    secret.chmod(0o600)
    receiver.status = 503
    settings = (
        f'[events.webhook]\nurl = "{receiver.url}"\nsecret_file = "{secret}"\n'
        f'only = ["upload.complete"]\noutbox = "{site.path}/outbox"\n'
    )
    with site.daemon(settings) as daemon:
        assert store(daemon, "a").startswith("226")
        wait_for(lambda: receiver.posts)
        receiver.status = 200
        wait_for(lambda: receiver.taken() == ["/a"])
        store(daemon, "b")
        wait_for(lambda: "/b" in receiver.taken())
        assert daemon.stop() == 0
        assert "canary" not in daemon.output
        assert "Traceback" not in daemon.output
    keys = {}
    for _, headers, body in receiver.posts:
        moment, _, digest = headers["X-Xfer-Signature"].partition(",")
        signed = moment.removeprefix("t=").encode() + b"." + body
        assert digest == "v1=" + hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
        keys.setdefault(headers["X-Xfer-Delivery"], set()).add(body)
    assert len(keys) == 2
    assert all(len(bodies) == 1 for bodies in keys.values())


def test_webhook_that_is_down_harms_nothing(site):
    """Nobody listens there: uploads and the stop go on as ever."""
    secret = site.path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    settings = f'[events.webhook]\nurl = "http://127.0.0.1:9/"\nsecret_file = "{secret}"\n'
    with site.daemon(settings) as daemon:
        for number in range(10):
            assert store(daemon, f"f{number}").startswith("226")
        wait_for(lambda: "not delivered" in daemon.output)
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.output
