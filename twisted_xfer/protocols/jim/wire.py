"""The objects of JIM, JSON instant messaging, and the rules they keep. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from twisted_xfer.errors import LocalProtocolError
from twisted_xfer.sansio.json import JSONReader

#: The largest object, in characters, as the course has it; and what these are in bytes at most.
MAX_OBJECT: Final = 640
MAX_BYTES: Final = 4 * MAX_OBJECT
#: What a client takes from a server: contact lists of some servers are longer than the rule.
MAX_REPLY: Final = 64 * 1024
MAX_ACTION: Final = 15
MAX_NAME: Final = 25
MAX_MESSAGE: Final = 500

Action: TypeAlias = Literal[
    "authenticate",
    "presence",
    "probe",
    "msg",
    "join",
    "leave",
    "quit",
    "get_contacts",
    "add_contact",
    "del_contact",
]
#: Names of actions; the published list spells probe with a Cyrillic letter.
ACTIONS: Final[dict[str, Action]] = {
    "authenticate": "authenticate",
    "presence": "presence",
    "probe": "probe",
    "pr\u043ebe": "probe",
    "msg": "msg",
    "join": "join",
    "leave": "leave",
    "quit": "quit",
    "get_contacts": "get_contacts",
    "add_contact": "add_contact",
    "del_contact": "del_contact",
}
#: Every code of the course, with the text that goes with it.
CODES: Final[dict[int, str]] = {
    100: "notice",
    101: "important notice",
    200: "OK",
    201: "created",
    202: "accepted",
    400: "wrong request or JSON object",
    401: "authentication required",
    402: "wrong account name or password",
    403: "forbidden",
    404: "no such user or room",
    409: "already connected",
    410: "the user is offline",
    500: "server error",
}


class Bad(NamedTuple):
    """An object that breaks the rules; ``detail`` says which."""

    detail: str


class Said(NamedTuple):
    """An action with its fields: all of them that matter here are right."""

    action: Action
    fields: Mapping[str, Any]


def encode(value: Mapping[str, Any]) -> bytes:
    """One object as it goes out: in ASCII where that keeps the rule, else in UTF-8.

    Raises:
        LocalProtocolError: over MAX_OBJECT.
    """
    text = json.dumps(value, separators=(",", ":"))
    if len(text) > MAX_OBJECT:
        # A letter beyond ASCII is six characters or twelve when escaped, and one as it is.
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    if len(text) > MAX_OBJECT:
        raise LocalProtocolError(detail="object too long", limit=MAX_OBJECT)
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise LocalProtocolError(detail="text that cannot be sent") from None


def response(code: int, now: float, text: str = "", **extra: object) -> bytes:
    """A server's answer: ``alert`` for good ones, ``error`` for bad ones."""
    key = "alert" if code < 400 else "error"
    return encode({"response": code, "time": int(now), key: text or CODES[code], **extra})


def make(action: Action, now: float, **fields: object) -> bytes:
    """A client's object. Raises LocalProtocolError."""
    if action == "quit":
        return encode({"action": action})
    return encode({"action": action, "time": int(now), **fields})


def check(value: Any) -> Said | Bad:
    """Whether an object from a client keeps the rules."""
    action = value.get("action") if isinstance(value, dict) else None
    if not isinstance(action, str) or len(action) > MAX_ACTION:
        return Bad("no action")
    known = ACTIONS.get(action)
    if known is None:
        return Bad("unknown action")
    when = value.get("time")
    if known != "quit" and (isinstance(when, bool) or not isinstance(when, int | float)):
        return Bad("no time")
    detail = _RULES[known](value)
    return Bad(detail) if detail else Said(known, value)


def user_of(fields: Mapping[str, Any]) -> tuple[str, str, str]:
    """Account name, password and status of an object with a user; empty where there is none."""
    user = fields.get("user")
    if not isinstance(user, dict):
        return "", "", ""
    texts = [user.get(key) for key in ("account_name", "password", "status")]
    name, password, status = (text if isinstance(text, str) else "" for text in texts)
    return name, password, status


def is_name(value: object) -> bool:
    """Whether it can be the name of a user or a room: printable, without blanks, up to MAX_NAME."""
    return isinstance(value, str) and 0 < len(value) <= MAX_NAME and value.isprintable() and " " not in value


def is_room(value: object) -> bool:
    """Whether it is the name of a room."""
    return is_name(value) and isinstance(value, str) and value[:1] == "#" and len(value) > 1


def _nothing(_value: Mapping[str, Any]) -> str:
    return ""


def _user(value: Mapping[str, Any]) -> str:
    name = user_of(value)[0]
    return "" if is_name(name) and name[:1] != "#" else "no account name"


def _msg(value: Mapping[str, Any]) -> str:
    message, encoding = value.get("message"), value.get("encoding", "ascii")
    if not is_name(value.get("to")):
        return "nobody to send to"
    if not isinstance(message, str) or not message or len(message) > MAX_MESSAGE:
        return f"a message has 1 to {MAX_MESSAGE} characters"
    return "" if isinstance(encoding, str) and len(encoding) <= MAX_NAME else "no encoding"


def _room(value: Mapping[str, Any]) -> str:
    return "" if is_room(value.get("room")) else "no room"


def _contact(value: Mapping[str, Any]) -> str:
    return "" if is_name(contact_of(value)) else "no contact"


def contact_of(value: Mapping[str, Any]) -> object:
    """Who is to be a contact: lessons differ in the key."""
    return value.get("user_id", value.get("contact", value.get("account_name")))


_RULES: Final = {
    "authenticate": _user,
    "presence": _user,
    "probe": _nothing,
    "msg": _msg,
    "join": _room,
    "leave": _room,
    "quit": _nothing,
    "get_contacts": _nothing,
    "add_contact": _contact,
    "del_contact": _contact,
}


class ServerReader:
    """The server's side: Said or Bad for each object. Bounded: MAX_OBJECT characters of one, and one read."""

    def __init__(self) -> None:
        self._json = JSONReader(MAX_BYTES, characters=MAX_OBJECT)
        self.receive_data = self._json.receive_data

    def next_event(self) -> Said | Bad | None:
        """The next one, or None. Raises RemoteProtocolError: not JSON, or over MAX_OBJECT."""
        value = self._json.next_value()
        return None if value is None else check(value)


class ClientReader:
    """The client's side: objects as they are, but objects. Bounded: MAX_REPLY bytes of one."""

    def __init__(self) -> None:
        self._json = JSONReader(MAX_REPLY)
        self.receive_data = self._json.receive_data

    def next_event(self) -> dict[str, Any] | None:
        """The next object, or None. Raises RemoteProtocolError: not JSON, no object, or over MAX_REPLY."""
        value: dict[str, Any] | None = self._json.next_value()
        return value
