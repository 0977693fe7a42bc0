"""The one table from the error family to FTP replies.

Codes are those of RFC 959 section 4.2, RFC 2228 (53z), RFC 2428 (522) and RFC 3659 section 5.4 (554).
Only what stands here reaches a client: an error of unknown type is a plain 451.
"""

from __future__ import annotations

from typing import Final

from twisted_xfer import errors as e
from twisted_xfer.protocols.ftp.wire.replies import reply

_NO_TLS: Final = "TLS on the data connection failed"
_START_IT: Final = "after PROT P start it there, as client."
#: Error class to (reply code, text). The nearest class in the error's own order of bases counts.
TABLE: Final[dict[type[e.XferError], tuple[int, str]]] = {
    e.XferError: (451, "Requested action aborted: local error in processing."),
    e.NotFound: (550, "No such file or directory."),
    e.NotADirectory: (550, "Not a directory."),
    e.IsADirectory: (550, "Is a directory."),
    e.NotAFile: (550, "Not a plain file."),
    e.AlreadyExists: (550, "Already exists."),
    e.DirectoryNotEmpty: (550, "Directory not empty."),
    e.PermissionDenied: (550, "Permission denied."),
    e.RightMissing: (550, "Permission denied: your account may not do that."),
    e.ForbiddenPath: (550, "Permission denied: the path leads outside."),
    e.NameInvalid: (553, "File name not allowed."),
    e.CrossDevice: (553, "Cannot rename to another file system."),
    e.NoSpace: (452, "Insufficient storage space."),
    e.ReadOnly: (550, "Read-only file system."),
    e.StorageFailure: (451, "Requested action aborted: storage failure."),
    e.TooLarge: (552, "File larger than allowed."),
    e.QuotaExceeded: (552, "Quota exceeded."),
    e.Busy: (450, "Busy: in use by another transfer, or all places are taken; try again later."),
    e.OffsetInvalid: (554, "Restart point beyond the end of the file."),
    e.Unsupported: (504, "Not possible with this storage."),
    e.TransferError: (426, "Connection closed; transfer aborted."),
    e.TimedOut: (426, "Data connection timed out; transfer aborted."),
    e.ConnectionLost: (426, "Data connection lost; transfer aborted."),
    e.Truncated: (426, "Data ended early; transfer aborted, what came is kept for resuming."),
    e.Cancelled: (426, "Transfer aborted."),
    e.DataConnectionFailed: (425, "Can't open data connection."),
    e.DataPeerRefused: (425, "Data connection refused: it must be with the control connection's address."),
    e.DataTLSRefused: (522, f"{_NO_TLS}: {_START_IT}"),
    e.DigestMismatch: (451, "What arrived is not what was announced."),
    e.SourceChanged: (451, "The file changed while it was read."),
    e.PrefixMismatch: (451, "What was kept is not the beginning of this file."),
    e.LoginFailed: (530, "Login incorrect."),
    e.ChannelBindingFailed: (530, "Login incorrect."),
    e.LoginRefused: (530, "Login refused."),
    e.TLSRequired: (530, "This server wants TLS: use AUTH TLS first."),
    e.LimitReached: (421, "Too many connections; try again later."),
    e.Banned: (421, "Not now; try again later."),
    e.ShuttingDown: (421, "Service closing control connection."),
    e.Vetoed: (550, "Refused by a check of this server."),
    e.ConfigError: (451, "Requested action aborted: local error in processing."),
    e.PluginError: (451, "Requested action aborted: local error in processing."),
    e.WireError: (451, "Requested action aborted: local error in processing."),
    e.LocalProtocolError: (451, "Requested action aborted: local error in processing."),
    e.RemoteProtocolError: (501, "Syntax error in parameters or arguments."),
}

_NOT_RESUMED: Final = (
    "TLS session of the control connection not resumed on the data connection: "
    "let the client reuse TLS sessions, or tls_resumption here be off."
)
_OTHER_CERTIFICATE: Final = (
    "Client certificate of the control connection not shown on the data connection: "
    "let the client show it there too, or reuse TLS sessions."
)
_UNKNOWN: Final = reply(451, "Requested action aborted: local error in processing.")


def reply_for(error: BaseException) -> bytes:
    """The reply that tells a client of ``error``; nothing of an unknown error leaks."""
    for kind in type(error).__mro__:
        row = TABLE.get(kind)
        if row is not None:
            break
    else:
        return _UNKNOWN
    code, text = row
    if isinstance(error, e.DataTLSRefused) and error.fields.get("resumption"):
        text = _NOT_RESUMED
    elif isinstance(error, e.DataTLSRefused) and error.fields.get("certificate"):
        text = _OTHER_CERTIFICATE
    elif isinstance(error, e.DataTLSRefused) and error.detail:
        # OpenSSL's words and ours; of the peer's only a name, in quotes and cut short.
        text = f"{_NO_TLS} ({error.detail}): {_START_IT}"
    elif isinstance(error, e.QuotaExceeded) and "left" in error.fields:
        text = f"Quota exceeded: {error.fields['left']} {error.fields.get('unit', 'bytes')} left."
    elif isinstance(error, e.RemoteProtocolError) and error.detail:
        asked = error.fields.get("reply")
        if isinstance(asked, int):
            return reply(asked, f"{error.detail[:1].upper()}{error.detail[1:]}.")
        text = f"Syntax error: {error.detail}."
    return reply(code, text)


def closes_connection(error: BaseException) -> bool:
    """Whether the control connection ends with this reply (421)."""
    return isinstance(error, e.LimitReached | e.Banned | e.ShuttingDown)
