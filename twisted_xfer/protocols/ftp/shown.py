"""Paths by the names that listings showed: what fits no charset went out as it is, and comes back so.

It may well be that a client's bytes can be converted all the same, to another name. So where there is
nothing of the converted names, each of them is looked for.
"""

from __future__ import annotations

from typing import Final

from twisted_xfer.errors import NotADirectory, NotFound, XferError
from twisted_xfer.interfaces import IAvatar
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.paths import ROOT, VirtualPath
from twisted_xfer.protocols.ftp.charset import NameCodec

#: Names of one path that are looked for. Each look walks from the root, and no tree has that many
#: directories below each other whose names are in a wrong charset.
MOST_LOOKS: Final = 16


async def as_shown(
    avatar: IAvatar, codec: NameCodec, spelled: bytes, cwd: VirtualPath, *, makes: bool
) -> VirtualPath | None:
    """Another path that ``spelled`` may mean than the converted one, which is not there; None without.

    ``spelled`` is what the client sent, relative to ``cwd`` unless it says otherwise. With ``makes`` its last
    name is of something that is not there yet, and so is what the charset says. Raises NameInvalid.
    """
    names = [name for name in spelled.split(b"/") if name]
    path = ROOT if spelled[:1] == b"/" else cwd
    looks = 0
    other = False
    for at, name in enumerate(names, 1):
        meant = codec.to_storage(name)
        if meant == name or (makes and at == len(names)):
            path = VirtualPath.parse(meant, path)
            continue
        if looks == MOST_LOOKS:
            return None
        looks += 1
        # Of a path whose other names are converted, the last one has been looked for.
        known = at == len(names) and not other
        there = VirtualPath.parse(meant, path)
        if not known and await _is_there(avatar, there):
            path = there
        else:
            path = VirtualPath.parse(name, path)
            other = True
    return path if other else None


async def _is_there(avatar: IAvatar, path: VirtualPath) -> bool:
    try:
        await resolve(avatar.stat(path))
    except (NotFound, NotADirectory):
        return False
    except XferError:
        # Who may not look is told nothing.
        return True
    return True
