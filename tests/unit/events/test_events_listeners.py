"""The listeners that come with the daemon: JSON lines, xferlog, counters."""

import errno
import json
import os
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zope.interface.verify import verifyObject

from twisted_xfer.errors import ConfigError
from twisted_xfer.events import Counters, JsonLines, LineFile, XferLog, json_line, xferlog_line
from twisted_xfer.events import plugin as plugins
from twisted_xfer.interfaces import Event, IEventListener, IHoldsFile, IListenerPlugin
from twisted_xfer.plugins import is_frozen_with_defaults, options_from_table

DONE = Event(
    "upload.complete",
    1_800_000_000.25,
    "ftp",
    "s1",
    "alice",
    "192.0.2.1",
    "t1",
    {"path": b"/a b", "size": 9, "bytes": 4, "seconds": 2.4, "mode": "image"},
)


def test_a_line_holds_common_values_and_fields():
    """Keys are flat; a time to the microsecond."""
    assert json_line(DONE) == (
        b'{"time":1800000000.25,"id":"upload.complete","protocol":"ftp","session":"s1","username":"alice",'
        b'"peer":"192.0.2.1","transfer":"t1","path":"/a b","size":9,"bytes":4,"seconds":2.4,"mode":"image"}\n'
    )


def test_empty_common_values_are_left_out():
    """A line says what is known."""
    assert json.loads(json_line(Event("daemon.stop", 1.0, fields={"reason": "", "x": None}))) == {
        "time": 1.0,
        "id": "daemon.stop",
        "reason": "",
        "x": None,
    }


def test_names_that_are_not_utf8_are_kept_exactly():
    """Readable text, and base64 with the truth."""
    row = json.loads(json_line(Event("file.delete", 1.0, fields={"path": b"/caf\xe9"})))
    assert row["path"] == "/caf\\xe9"
    assert row["path_b64"] == "L2NhZuk="


def test_utf8_names_are_written_as_they_are():
    """A log in Cyrillic stays readable with grep."""
    line = json_line(Event("file.delete", 1.0, fields={"path": "/отчёт".encode()}))
    assert "/отчёт".encode() in line
    assert b"_b64" not in line


@settings(derandomize=True, deadline=None)
@given(path=st.binary(max_size=60), username=st.text(max_size=20), surrogate=st.binary(max_size=5))
def test_no_name_breaks_a_line(path, username, surrogate):
    """Whatever a peer sends is one line of valid JSON in valid UTF-8."""
    username += surrogate.decode("utf-8", "surrogateescape")
    line = json_line(Event("file.delete", 1.0, username=username, fields={"path": path}))
    assert line.count(b"\n") == 1
    line.decode("utf-8")
    row = json.loads(line)
    assert row.get("username", "") == username
    exact = row.get("path_b64")
    assert exact is not None or row["path"].encode() == path


@pytest.fixture
def file(tmp_path):
    made = LineFile(str(tmp_path / "log"))
    yield made
    made.close()


def test_json_lines_writes_what_was_asked_for(file):
    """With ``only``, other events are left out."""
    listener = JsonLines(file, frozenset({"file.delete"}))
    verifyObject(IEventListener, listener)
    verifyObject(IHoldsFile, listener)
    listener.on_event(DONE)
    event = Event("file.delete", 1.0, fields={"path": b"/a"})
    listener.on_event(event)
    with open(file.path, "rb") as log:
        assert log.read() == json_line(event)


def test_a_log_file_is_appended_to_and_not_for_others(tmp_path):
    """What is there stays; the mode shuts out the world."""
    path = tmp_path / "log"
    for line in (b"one\n", b"two\n"):
        file = LineFile(str(path))
        file.write(line)
        file.close()
    assert path.read_bytes() == b"one\ntwo\n"
    assert path.stat().st_mode & 0o007 == 0


def test_reopen_follows_log_rotation(file, tmp_path):
    """The moved file keeps its lines, new ones go to the name."""
    file.write(b"old\n")
    os.rename(file.path, tmp_path / "log.1")
    file.write(b"still old\n")
    file.reopen()
    file.write(b"new\n")
    assert (tmp_path / "log.1").read_bytes() == b"old\nstill old\n"
    assert (tmp_path / "log").read_bytes() == b"new\n"


def test_a_reopen_that_fails_keeps_the_old_file(file, tmp_path):
    """Nothing is lost while the directory is wrong."""
    old = tmp_path / "log.1"
    os.rename(file.path, old)
    os.mkdir(file.path)
    with pytest.raises(IsADirectoryError):
        file.reopen()
    file.write(b"kept\n")
    assert old.read_bytes() == b"kept\n"


def test_a_closed_file_refuses_and_closes_twice(file):
    """After close() nothing is written, and reopen() does not bring it back."""
    file.close()
    file.close()
    file.reopen()
    with pytest.raises(ValueError, match="closed"):
        file.write(b"late\n")


def test_short_writes_are_finished(file, monkeypatch):
    """A line that the kernel takes in pieces is whole."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:3]))
    file.write(b"a longer line\n")
    monkeypatch.undo()
    with open(file.path, "rb") as log:
        assert log.read() == b"a longer line\n"


def test_after_a_torn_line_the_next_stands_alone(file, monkeypatch):
    """A full disk spoils one line, not the one that follows."""
    real = os.write
    left = [3, 0]

    def full(descriptor, data):
        room = left.pop(0)
        if not room:
            raise OSError(errno.ENOSPC, "full")
        return real(descriptor, data[:room])

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="full"):
        file.write(b"first\n")
    monkeypatch.undo()
    file.write(b"second\n")
    file.write(b"third\n")
    with open(file.path, "rb") as log:
        assert log.read() == b"fir\nsecond\nthird\n"


def test_a_dash_is_standard_output(capfd):
    """Containers collect what is printed; closing leaves the real one open."""
    file = LineFile("-")
    file.write(b"hello\n")
    file.close()
    os.write(1, b"still open\n")
    assert capfd.readouterr().out == "hello\nstill open\n"


def test_xferlog_has_the_words_of_the_manual():
    """xferlog(5): the date in five words, then thirteen more."""
    line = xferlog_line(DONE, time.gmtime(DONE.time))
    assert line == b"Fri Jan 15 08:00:00 2027 2 192.0.2.1 4 /a_b b _ i r alice ftp 0 * c\n"
    assert len(line.split()) == 18


@pytest.mark.parametrize(
    ("event_id", "direction", "completion"),
    [
        ("download.complete", b"o", b"c"),
        ("download.aborted", b"o", b"i"),
        ("upload.complete", b"i", b"c"),
        ("upload.truncated", b"i", b"i"),
        ("upload.aborted", b"i", b"i"),
        ("file.delete", b"d", b"c"),
    ],
)
def test_xferlog_tells_direction_and_completion(event_id, direction, completion):
    """Each kind of transfer has its letters; a field that is not there is nothing special."""
    words = xferlog_line(Event(event_id, 0.0, fields={"path": b"/a"}), time.gmtime(0)).split()
    assert (words[11], words[-1]) == (direction, completion)


def test_xferlog_tells_text_mode_and_anonymous_users():
    """``a`` in both columns."""
    event = Event("file.delete", 0.0, username="anonymous", fields={"path": b"/a", "mode": "ascii"})
    words = xferlog_line(event, time.gmtime(0)).split()
    assert (words[9], words[12]) == (b"a", b"a")


@settings(derandomize=True, deadline=None)
@given(path=st.binary(max_size=60), username=st.text(max_size=20))
def test_no_name_adds_a_word_or_a_line_to_xferlog(path, username):
    """Blanks and controls cannot forge a column."""
    username = username.encode("utf-8", "replace").decode()
    line = xferlog_line(Event("file.delete", 0.0, username=username, fields={"path": path}), time.gmtime(0))
    assert line.count(b"\n") == 1
    assert len(line[:-1].split(b" ")) - line.count(b"  ") == 18


def test_xferlog_leaves_other_events_out(file):
    """Only transfers and deletions are lines there."""
    log = XferLog(file, time.gmtime)
    verifyObject(IEventListener, log)
    log.on_event(Event("login.ok", 0.0, fields={"secure": True}))
    log.on_event(DONE)
    with open(file.path, "rb") as written:
        assert written.read() == xferlog_line(DONE, time.gmtime(DONE.time))


def test_counters_count_events_and_bytes():
    """Open connections and sessions are the difference of two counts."""
    counters = Counters()
    verifyObject(IEventListener, counters)
    for event_id in ("connection.open", "connection.open", "connection.close", "login.ok"):
        counters.on_event(Event(event_id, 0.0))
    counters.on_event(DONE)
    counters.on_event(Event("download.aborted", 0.0, fields={"bytes": 7}))
    snapshot = counters.snapshot()
    assert (snapshot["connections"], snapshot["sessions"]) == (1, 1)
    assert (snapshot["bytes_received"], snapshot["bytes_sent"]) == (4, 7)
    assert snapshot["connection.open"] == 2


@pytest.mark.parametrize("plugin", [plugins.json, plugins.xferlog], ids=lambda plugin: plugin.name)
def test_the_plugins_open_what_they_say(plugin, tmp_path):
    """Each provides its interface, and opens a listener on a file."""
    verifyObject(IListenerPlugin, plugin)
    assert is_frozen_with_defaults(plugin.options)
    assert plugin.describe()
    options = options_from_table(plugin.options, {"path": str(tmp_path / "log")}, where="listener.x")
    listener = plugin.open(options, None)
    listener.on_event(DONE)
    listener.reopen()
    listener.close()
    assert (tmp_path / "log").stat().st_size > 0


def test_an_unknown_event_in_only_is_a_configuration_error():
    """A typing error there would otherwise log nothing, for ever."""
    with pytest.raises(ConfigError) as caught:
        options_from_table(plugins.json.options, {"only": ["upload.completed"]}, where="listener.json")
    assert "'upload.completed'" in caught.value.remedy
