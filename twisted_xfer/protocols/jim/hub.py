"""Who is there, in which rooms, and whose contacts are whose: in memory, and bounded."""

from __future__ import annotations

from typing import Final, Protocol

from twisted_xfer.errors import Busy

#: Rooms there are at once, members of one, and rooms that one user is in.
MAX_ROOMS: Final = 1000
MAX_MEMBERS: Final = 500
MAX_JOINED: Final = 20
#: Contacts of one user, as many as fit into one object; users who have any, and names that are remembered.
MAX_CONTACTS: Final = 50
MAX_LISTS: Final = 10_000
MAX_SEEN: Final = 10_000


class Member(Protocol):
    """One who is there."""

    username: str

    def deliver(self, data: bytes) -> None:
        """Send ``data``."""
        ...


class Hub:
    """One chat: all connections of one listener."""

    def __init__(self) -> None:
        self.online: dict[str, Member] = {}
        self.rooms: dict[str, dict[str, Member]] = {}
        #: Names that were here, oldest first: who they are is known, so they are offline and not unknown.
        self._seen: dict[str, None] = {}
        self._contacts: dict[str, list[str]] = {}

    def enter(self, member: Member) -> bool:
        """Come online; False when somebody of that name is."""
        if member.username in self.online:
            return False
        self.online[member.username] = member
        self._seen.pop(member.username, None)
        self._seen[member.username] = None
        if len(self._seen) > MAX_SEEN:
            del self._seen[next(iter(self._seen))]
        return True

    def go(self, member: Member) -> None:
        """Be gone, from all rooms. May be called twice, and without having entered."""
        if self.online.get(member.username) is member:
            del self.online[member.username]
            for room in [name for name, members in self.rooms.items() if member.username in members]:
                self.leave(member, room)

    def knows(self, username: str) -> bool:
        """Whether somebody of that name was here."""
        return username in self._seen

    def join(self, member: Member, room: str) -> bool:
        """Be in ``room``; whether it was made by that.

        Raises:
            Busy: MAX_ROOMS, MAX_MEMBERS or MAX_JOINED.
        """
        members = self.rooms.get(room)
        if members is not None and member.username in members:
            return False
        joined = sum(member.username in others for others in self.rooms.values())
        if joined >= MAX_JOINED or (members is None and len(self.rooms) >= MAX_ROOMS):
            raise Busy(room, "too many rooms")
        if members is None:
            self.rooms[room] = {member.username: member}
            return True
        if len(members) >= MAX_MEMBERS:
            raise Busy(room, "the room is full")
        members[member.username] = member
        return False

    def leave(self, member: Member, room: str) -> bool:
        """Be out of ``room``, which ends with its last member; False when not in it."""
        members = self.rooms.get(room, {})
        if members.pop(member.username, None) is None:
            return False
        if not members:
            del self.rooms[room]
        return True

    def contacts(self, username: str) -> list[str]:
        """The contacts of ``username``."""
        return list(self._contacts.get(username, []))

    def add_contact(self, username: str, contact: str) -> None:
        """One more. Raises Busy: MAX_CONTACTS or MAX_LISTS."""
        mine = self._contacts.get(username, [])
        if contact in mine:
            return
        if len(mine) >= MAX_CONTACTS or (not mine and len(self._contacts) >= MAX_LISTS):
            raise Busy(contact, "too many contacts")
        self._contacts[username] = [*mine, contact]

    def drop_contact(self, username: str, contact: str) -> bool:
        """One less; False when it is none."""
        mine = self._contacts.get(username, [])
        if contact not in mine:
            return False
        left = [name for name in mine if name != contact]
        if left:
            self._contacts[username] = left
        else:
            del self._contacts[username]
        return True
