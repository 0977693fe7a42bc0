"""``xfer chat``: the line at the bottom of the terminal, and what typed lines mean."""

import pytest

from twisted_xfer.cli.chat_screen import MAX_LINE, Screen, width_of
from twisted_xfer.cli.cmd_chat import Talk, clean
from twisted_xfer.errors import LocalProtocolError
from twisted_xfer.protocols.jim.client import Heard


class Terminal:
    """A screen, what was written to it, and the lines that were typed."""

    def __init__(self, columns=80):
        self.out = ""
        self.lines = []
        self.ended = 0
        self.prompt = "#tea> "
        self.screen = Screen(self.write, self.lines.append, self.end, lambda: columns, lambda: self.prompt)

    def write(self, text):
        self.out += text

    def end(self):
        self.ended += 1

    def key(self, data):
        self.out = ""
        self.screen.feed(data)
        return self.bottom

    @property
    def bottom(self):
        """What stands in the last row now."""
        return self.out.rpartition("\n")[2].rpartition("\x1b[K")[2]


def test_a_line_stays_when_somebody_speaks():
    """What is being typed is drawn again below the message, and sent as it was typed."""
    terminal = Terminal()
    assert terminal.key(b"hel") == "#tea> hel"
    terminal.screen.show("bob: hi")
    assert "\r\x1b[Kbob: hi\n" in terminal.out
    assert terminal.bottom == "#tea> hel"
    assert terminal.key(b"lo\r") == "#tea> "
    assert terminal.lines == ["hello"]


@pytest.mark.parametrize(
    ("keys", "left"),
    [
        (b"ab\x7f", "a"),
        (b"ab\x08\x08\x08", ""),
        ("a\u0301\x7f".encode(), ""),
        ("\u65e5\u672c\x7f".encode(), "\u65e5"),
        (b"one two\x17", "one "),
        (b"one\x17", ""),
        (b"one\x15two", "two"),
        (b"a\x1b[Ab\x1bOBc\x1b[1;5Cd\x1bxe", "abcde"),
        (b"a\tb\x00\x07", "ab"),
        (b"\xff", "\ufffd"),
    ],
)
def test_keys(keys, left):
    """Backspace, words, whole lines; other control keys do nothing."""
    terminal = Terminal()
    assert terminal.key(keys) == "#tea> " + left
    assert terminal.key(b"\n") == "#tea> "
    assert terminal.lines == [left]


def test_a_character_may_come_in_pieces():
    """As reads cut it."""
    terminal = Terminal()
    for byte in "\u2615\n".encode():
        terminal.key(bytes([byte]))
    assert terminal.lines == ["\u2615"]


def test_ctrl_d_ends_only_an_empty_line():
    """As everywhere."""
    terminal = Terminal()
    terminal.key(b"a\x04")
    assert terminal.ended == 0
    terminal.key(b"\x7f\x04")
    assert terminal.ended == 1


def test_a_long_line_never_wraps():
    """Its end is shown, in columns: letters of two count as such."""
    terminal = Terminal(columns=20)
    assert terminal.key(b"x" * 30) == "x" * 19
    terminal.key(b"\x15")
    assert width_of(terminal.key("\u65e5".encode() * 30)) <= 19


@pytest.mark.parametrize(("extra", "size"), [(0, MAX_LINE), (1, MAX_LINE)])
def test_a_line_is_bounded(extra, size):
    """At the limit, and one beyond."""
    terminal = Terminal()
    terminal.key(b"x" * (MAX_LINE + extra) + b"\n")
    assert [len(line) for line in terminal.lines] == [size]


# --- what lines mean -----------------------------------------------------------------------------


class Chat:
    """Notes what it is told."""

    def __init__(self):
        self.told = []

    def __getattr__(self, name):
        return lambda *words: self.told.append((name, *words))


@pytest.fixture
def talk():
    shown = []
    talk = Talk(Chat(), shown.append, lambda: shown.append("done"))
    talk.chat.shown = shown
    return talk


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("/join tea", [("join", "#tea")]),
        ("/JOIN #tea", [("join", "#tea")]),
        ("/leave #tea", [("leave", "#tea")]),
        ("/msg bob  hello there ", [("say", "bob", "hello there", "")]),
        ("/add bob", [("add_contact", "bob")]),
        ("/del bob", [("drop_contact", "bob")]),
        ("/contacts", [("ask_contacts",)]),
        ("  ", []),
    ],
)
def test_commands(talk, line, told):
    """One call each."""
    talk.typed(line)
    assert talk.chat.told == told


@pytest.mark.parametrize(
    "line",
    [
        "hello",
        "/join",
        "/join two words",
        f"/join {'x' * 25}",
        "/leave",
        "/msg bob",
        "/msg",
        "/offer",
        "/add",
        "/del",
        "/x",
    ],
)
def test_what_cannot_be_is_explained(talk, line):
    """Nothing is sent, and something is said."""
    talk.typed(line)
    assert talk.chat.told == []
    assert len(talk.chat.shown) == 1
    assert talk.target == ""


def test_text_goes_to_whom_one_talks(talk):
    """The room that was joined, or whoever was chosen; nobody after leaving."""
    for line in (
        "/join tea",
        "one",
        "/to bob",
        "two",
        "/offer jsonftp://h/f",
        "/join tea",
        "/leave",
        "three",
    ):
        talk.typed(line)
    said = [told[1:] for told in talk.chat.told if told[0] == "say"]
    assert said == [("#tea", "one", ""), ("bob", "two", ""), ("bob", "offers jsonftp://h/f", "jsonftp://h/f")]


def test_an_error_of_sending_is_shown(talk):
    """And the chat goes on."""

    def say(*_words):
        raise LocalProtocolError(detail="too long")

    talk.chat.say = say
    talk.target = "bob"
    talk.typed("x")
    assert talk.chat.shown == ["not sent: too long"]


@pytest.mark.parametrize(
    ("heard", "shown"),
    [
        (Heard(0, "hi\x1b[2J", "bob", "#tea"), ["bob in #tea: hi?[2J"]),
        (Heard(0, "hi", "bob", "alice", "http://x/\x07"), ["bob: hi", "  (a file: http://x/?)"]),
        (Heard(200, "OK"), []),
        (Heard(404, "no such user or room"), ["[404] no such user or room"]),
        (Heard(202, ""), ["[202] nobody"]),
        (Heard(101, "we close at six"), ["[101] we close at six"]),
    ],
)
def test_what_is_heard_is_shown(talk, heard, shown):
    """Nothing in it that a terminal would obey."""
    talk.heard(heard)
    assert talk.chat.shown == shown
    assert clean("\x1b") == "?"
