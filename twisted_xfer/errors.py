"""The error family: a stable code and fields, no user text and no protocol numbers.

Each protocol has one table from these classes to its own reply codes; each front end
writes its own sentences from the fields.
"""

from __future__ import annotations

from typing import ClassVar


class XferError(Exception):
    """Base of every error that the kernel reports on purpose.

    Attributes:
        code: stable machine-readable name, the same in logs, events and JSON output.
        subject: what the error is about (a path as bytes, a user, a key), if anything.
        detail: a short reason for operators; never a secret, never peer-controlled markup.
    """

    code: ClassVar[str] = "error"

    def __init__(self, subject: bytes | str | None = None, detail: str = "", **fields: object) -> None:
        super().__init__(self.code, subject, detail)
        self.subject = subject
        self.detail = detail
        self.fields = fields

    def __str__(self) -> str:
        """Code, subject and detail on one line, with control bytes escaped."""
        subject = "" if self.subject is None else f" {self.subject!r}"
        detail = f": {self.detail}" if self.detail else ""
        return f"{self.code}{subject}{detail}"


# --- paths and storage -------------------------------------------------------------------


class NotFound(XferError):
    """No such file or directory."""

    code = "not_found"


class NotADirectory(XferError):
    """A directory was needed."""

    code = "not_a_directory"


class IsADirectory(XferError):
    """A file was needed."""

    code = "is_a_directory"


class NotAFile(XferError):
    """Neither a file nor a directory: devices, sockets and FIFOs are never opened."""

    code = "not_a_file"


class AlreadyExists(XferError):
    """The name is taken."""

    code = "exists"


class DirectoryNotEmpty(XferError):
    """The directory still has entries."""

    code = "not_empty"


class PermissionDenied(XferError):
    """The operating system refused."""

    code = "permission_denied"


class RightMissing(XferError):
    """The account lacks a right; field ``right`` names it."""

    code = "right_missing"


class ForbiddenPath(XferError):
    """The path leads outside the root, or through a symlink that policy refuses."""

    code = "forbidden_path"


class NameInvalid(XferError):
    """A name that cannot be one: NUL, too long, too deep, or not in the session's charset."""

    code = "name_invalid"


class CrossDevice(XferError):
    """A rename across file systems."""

    code = "cross_device"


class NoSpace(XferError):
    """The disk is full."""

    code = "no_space"


class ReadOnly(XferError):
    """The file system is read-only."""

    code = "read_only"


class StorageFailure(XferError):
    """Any other failure of the storage; field ``errno`` where there is one."""

    code = "io"


class TooLarge(XferError):
    """Over the largest size allowed; field ``limit`` in bytes."""

    code = "too_big"


class QuotaExceeded(XferError):
    """Over quota; fields ``left`` (bytes or files) and ``unit``."""

    code = "quota"


class Busy(XferError):
    """In use by another session or short of a resource for now; ``retry_after`` seconds if known."""

    code = "busy"


class OffsetInvalid(XferError):
    """A restart point beyond the end of the file; field ``size``."""

    code = "offset_invalid"


class Unsupported(XferError):
    """This storage or this build cannot do it."""

    code = "unsupported"


# --- transfers ---------------------------------------------------------------------------


class TransferError(XferError):
    """Base of what ends a transfer early; field ``transferred`` in bytes."""

    code = "transfer_failed"


class TimedOut(TransferError):
    """A deadline passed."""

    code = "timeout"


class ConnectionLost(TransferError):
    """The peer went away."""

    code = "connection_lost"


class Truncated(TransferError):
    """The data ended without the end that was promised (close_notify, size or digest)."""

    code = "truncated"


class Cancelled(TransferError):
    """Ended on request (ABOR, logout, shutdown)."""

    code = "aborted"


class DataConnectionFailed(TransferError):
    """No data connection could be made."""

    code = "data_connection_failed"


class DataPeerRefused(DataConnectionFailed):
    """The data connection did not come from, or would not go to, the control peer."""

    code = "data_peer_refused"


class DataTLSRefused(DataConnectionFailed):
    """The data connection's TLS was missing, failed, or did not resume the control session."""

    code = "data_tls_refused"


class DigestMismatch(TransferError):
    """What was stored is not what was sent."""

    code = "digest_mismatch"


class SourceChanged(TransferError):
    """The source was written to while it was being sent."""

    code = "source_changed"


class PrefixMismatch(TransferError):
    """The part that was kept is not the beginning of the file that is offered."""

    code = "prefix_mismatch"


# --- accounts and limits -----------------------------------------------------------------


class LoginFailed(XferError):
    """Unknown user or wrong password: which of the two is never told."""

    code = "login_failed"


class ChannelBindingFailed(LoginFailed):
    """The two ends see different TLS sessions or handshakes: somebody is in between."""

    code = "channel_binding"


class LoginRefused(XferError):
    """Right credentials, but the account may not log in now or from here."""

    code = "login_refused"


class TLSRequired(XferError):
    """Policy wants TLS first."""

    code = "tls_required"


class LimitReached(XferError):
    """Too many sessions; field ``limit`` names which one."""

    code = "limit_reached"


class Banned(XferError):
    """The address is banned for now; ``retry_after`` seconds."""

    code = "banned"


class ShuttingDown(XferError):
    """The daemon is draining."""

    code = "shutting_down"


class Vetoed(XferError):
    """A listener refused; field ``listener``."""

    code = "vetoed"


# --- configuration and plugins -----------------------------------------------------------


class ConfigError(XferError):
    """A wrong configuration: fields ``file``, ``key``, ``value`` and ``remedy``."""

    code = "config"

    def __init__(self, key: str, *, remedy: str, value: object = None, file: str = "") -> None:
        super().__init__(key, remedy, value=value, file=file)
        self.key = key
        self.remedy = remedy
        self.value = value
        self.file = file


class PluginError(XferError):
    """A plugin that is missing, doubled, broken or of another API version."""

    code = "plugin"


# --- wires -------------------------------------------------------------------------------


class WireError(XferError):
    """Base of the two ways in which a wire's rules are broken."""

    code = "wire"


class LocalProtocolError(WireError):
    """Our side asked the wire for something that the rules forbid now: a bug of ours."""

    code = "local_protocol"


class RemoteProtocolError(WireError):
    """The peer broke the rules; ``detail`` says which one."""

    code = "remote_protocol"
