"""The catalogue of events: id, and the fields each carries beside the common ones."""

from __future__ import annotations

from typing import Final

CATALOGUE: Final[dict[str, tuple[str, ...]]] = {
    "daemon.start": ("listeners",),
    "daemon.stop": ("reason",),
    "connection.open": ("local",),
    "connection.close": ("reason", "seconds"),
    "connection.refused": ("code",),
    "connection.injected": (),
    "tls.refused": ("reason",),
    "login.ok": ("secure", "certificate"),
    "login.failed": ("code",),
    "logout": ("seconds",),
    "download.complete": ("path", "size", "bytes", "seconds", "mode"),
    "download.aborted": ("path", "size", "bytes", "seconds", "mode", "code"),
    "upload.publish": ("path", "size", "descriptor"),
    "upload.complete": ("path", "size", "bytes", "seconds", "mode"),
    "upload.truncated": ("path", "bytes", "seconds", "mode"),
    "upload.aborted": ("path", "bytes", "seconds", "mode", "code"),
    "file.delete": ("path",),
    "file.rename": ("path", "target"),
    "file.mode": ("path", "mode"),
    "file.times": ("path",),
    "directory.make": ("path",),
    "link.make": ("path", "target"),
    "directory.remove": ("path",),
    "right.missing": ("path", "right"),
    "data.peer_refused": ("intruder",),
    "data.not_resumed": ("refused",),
    "quota.exceeded": ("path", "left"),
    "ban.added": ("address", "seconds"),
    "ban.removed": ("address",),
    "listener.failed": ("listener", "error", "failures"),
}
