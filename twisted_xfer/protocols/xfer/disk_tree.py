"""Trees of this machine as offers: walked as they are sent, in an order that a second walk repeats."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from stat import S_IFMT, S_ISDIR, S_ISLNK, S_ISREG
from typing import Final, Literal, NamedTuple, get_args

from twisted_xfer.errors import NameInvalid, NotAFile, NotFound, PermissionDenied
from twisted_xfer.interfaces import IReadFile
from twisted_xfer.protocols.xfer.choosing import EVERYTHING, Chosen, Ignored, ignored_above
from twisted_xfer.protocols.xfer.content import from_system
from twisted_xfer.protocols.xfer.sources import AFTER_NAMES, AT_THE_END, KINDS, DiskContent, Offer
from twisted_xfer.protocols.xfer.wire.paths import MAX_DEPTH, is_sendable

#: What a sender does with symbolic links: offer them as such, what they lead to, or not at all.
Links = Literal["send", "follow", "skip"]
Order = tuple[int, tuple[bytes, ...]]
_NOT_CARRIED: Final = "a name that the protocol does not carry"
#: Offers, and at the end whether there was one.
_Walk = Generator[Offer, None, bool]


class _Place(NamedTuple):
    """A directory or file on the way: ``inside`` something that a filter named.

    A named tuple because a walk makes one for each file. ``top`` is how many of its parts the walk began with: files that ignore know nothing of those.
    """

    path: bytes
    parts: tuple[bytes, ...]
    number: int
    top: int
    inside: bool
    ignored: Ignored
    #: Device and inode of the directories above: a link that leads back to one is not followed.
    above: tuple[tuple[int, int], ...] = ()

    def child(self, prefix: bytes, name: bytes) -> _Place:
        """What is in this directory; ``prefix`` is its own path with a slash."""
        # tuple.__new__ halves the cost of a named tuple.
        return tuple.__new__(_Place, (prefix + name, (*self.parts, name), *self[2:]))

    def order(self, *last: bytes) -> Order:
        return self.number, (*self.parts, *last)


class DiskSource:
    """Files and trees of this machine, in a fixed order: one directory is open at each level.

    ``paths`` are offered under their last component, ``.`` and ``/`` (``./`` as well) by what is in them; those named are
    always offered, links among them as what they lead to. In a directory come its files and directories,
    then its links, then it itself: so its time stays what it is set to.
    """

    def __init__(self, paths: Sequence[bytes], chosen: Chosen = EVERYTHING, links: Links = "send") -> None:
        if links not in get_args(Links):
            # Each other value would leave links out without a word.
            raise ValueError(f"links is one of {', '.join(get_args(Links))}, not {links!r}")
        self._chosen = chosen
        self._everything = not (chosen.exclude or chosen.include or chosen.gitignore)
        self._links = links
        self._walk = self._offers(paths)

    def next(self) -> Offer | None:
        """The next offer."""
        return next(self._walk, None)

    def close(self) -> None:
        """Let go of open directories."""
        self._walk.close()

    def _offers(self, paths: Sequence[bytes]) -> Generator[Offer, None, None]:
        for index, path in enumerate(paths):
            name = name_of(path)
            try:
                status = os.stat(path)
            except OSError as error:
                yield _broken(name or path, error, (index, (name,)))
                continue
            except ValueError as error:
                yield _failed(name, NameInvalid(path, str(error)), (index, (name,)))
                continue
            above = ignored_above(path) if self._chosen.gitignore else Ignored()
            parts = (name,) if name else ()
            place = _Place(path, parts, index, len(parts), not self._chosen.include, above)
            yield from self._one(place, status)

    def _one(self, place: _Place, status: os.stat_result) -> _Walk:
        if S_ISDIR(status.st_mode):
            return (yield from self._directory(place, status))
        yield _disk_offer(place, status, place.order())
        return True

    def _directory(self, place: _Place, status: os.stat_result) -> _Walk:
        identity = (status.st_dev, status.st_ino)
        if identity in place.above:
            yield _problem(place, "a link that leads back to where it is")
            return True
        try:
            names = sorted(os.listdir(place.path))
        except OSError as error:
            yield _broken(b"/".join(place.parts), error, place.order(AT_THE_END))
            return True
        if names and len(place.parts) >= MAX_DEPTH:
            yield _problem(place, "a directory too deep to be sent")
            return True
        if self._chosen.gitignore:
            ignored = place.ignored.within(place.path, len(place.parts) - place.top)
            place = place._replace(ignored=ignored)
        place = place._replace(above=(*place.above, identity))
        offered = yield from self._children(place, names)
        if place.parts and (place.inside or offered or len(place.parts) == 1):
            yield _disk_offer(place, status, place.order(AT_THE_END))
            return True
        return offered

    def _children(self, place: _Place, names: list[bytes]) -> _Walk:
        offered = False
        links: list[tuple[_Place, os.stat_result]] = []
        prefix = os.path.join(place.path, b"")
        above, number = place.parts, place.number
        relative = b"".join([part + b"/" for part in above])
        for name in names:
            try:
                status = os.lstat(prefix + name)
            except FileNotFoundError:
                # It went between listing and look.
                continue
            except OSError as error:
                below = place.child(prefix, name)
                yield _broken(b"/".join(below.parts), error, below.order())
                continue
            if self._everything and S_ISREG(status.st_mode):
                # As most are: nothing is asked about them, and nothing is below.
                yield _file_offer(prefix + name, relative + name, status, (number, (*above, name)))
                offered = True
                continue
            below = place.child(prefix, name)
            link = S_ISLNK(status.st_mode)
            if link and self._links == "follow":
                try:
                    status = os.stat(below.path)
                except OSError as error:
                    if self._wanted(below, directory=False) is not None:
                        yield _broken(b"/".join(below.parts), error, below.order())
                    continue
                link = False
            directory = S_ISDIR(status.st_mode)
            wanted = below if self._everything else self._wanted(below, directory=directory)
            if wanted is None:
                continue
            if directory:
                offered = (yield from self._one(wanted, status)) or offered
            elif not link:
                yield _disk_offer(wanted, status, wanted.order())
                offered = True
            elif self._links == "send":
                links.append((wanted, status))
        for below, status in links:
            order = place.order(AFTER_NAMES, below.parts[-1])
            yield _disk_offer(below, status, order)
        return offered or bool(links)

    def _wanted(self, place: _Place, *, directory: bool) -> _Place | None:
        """The place if it is to be looked at, or None."""
        chosen = self._chosen
        if not chosen.takes(place.parts, directory=directory):
            return None
        if chosen.gitignore and place.ignored.ignores(place.parts[place.top :], directory=directory):
            return None
        if place.inside:
            return place
        if chosen.names(place.parts, directory=directory):
            return place._replace(inside=True)
        return place if directory else None


def name_of(path: bytes) -> bytes:
    """What ``path`` is offered under; nothing for the working directory and the root, which are what is in them."""
    if not path.strip(b"./") and b".." not in path:
        return b""
    name = os.path.basename(os.path.normpath(path))
    return os.path.basename(os.path.abspath(path)) if name in {b"..", b"."} else name


def _unopened(problem: Exception) -> Callable[[], IReadFile]:
    def unopened() -> IReadFile:
        raise problem

    return unopened


def _failed(path: bytes, problem: Exception, order: Order) -> Offer:
    return Offer(path, "other", None, None, None, _unopened(problem), problem=problem, order=order)


def _broken(path: bytes, error: OSError, order: Order) -> Offer:
    for kind, meaning in ((FileNotFoundError, NotFound), (PermissionError, PermissionDenied)):
        if isinstance(error, kind):
            return _failed(path, meaning(path), order)
    return _failed(path, from_system(error), order)


def _problem(place: _Place, why: str) -> Offer:
    path = b"/".join(place.parts)
    return _failed(path, NotAFile(path, why), place.order(AT_THE_END))


def _file_offer(path: bytes, relative: bytes, status: os.stat_result, order: Order) -> Offer:
    content = DiskContent(path)
    problem = None if is_sendable(relative) else NotAFile(relative, _NOT_CARRIED)
    size, mtime_ns = status.st_size, status.st_mtime_ns
    # tuple.__new__ halves the cost of a named tuple.
    return tuple.__new__(
        Offer,
        (
            relative,
            "file",
            size,
            status.st_mode & 0o777,
            mtime_ns,
            content,
            None,
            problem,
            order,
            content.whole,
        ),
    )


def _disk_offer(place: _Place, status: os.stat_result, order: Order) -> Offer:
    relative = b"/".join(place.parts)
    mode = status.st_mode
    kind = KINDS.get(S_IFMT(mode), "other")
    if kind == "file":
        return _file_offer(place.path, relative, status, order)
    target = None
    problem: Exception | None = None
    if kind == "symlink":
        try:
            target = os.readlink(place.path)
        except OSError as error:
            problem = from_system(error)
    elif kind == "other":
        problem = NotAFile(relative)
    if not is_sendable(relative):
        problem = NotAFile(relative, _NOT_CARRIED)
    content = DiskContent(place.path)
    return Offer(relative, kind, None, mode & 0o777, status.st_mtime_ns, content, target, problem, order)
