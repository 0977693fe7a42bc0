"""The command table: one row a verb, and everything that the kernel decides by it.

Sources: RFC 959 (base), 1123 (STOU, X-aliases by RFC 775), 2228 and 4217 (security), 2389
(FEAT, OPTS), 2428 (EPRT, EPSV), 3659 (SIZE, MDTM, MLST, REST), draft-somers-ftp-mfxx (MFMT).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from twisted_xfer.errors import LocalProtocolError

ArgumentRule = Literal["none", "optional", "required"]
LoginRule = Literal["before", "after", "any"]

#: Longer words are no verbs of anyone; also what is kept of an unknown one for the log.
MAX_VERB: Final = 16
#: How a table tells a SITE command from a command; no verb on the wire has a blank in it.
SITE_PREFIX: Final = b"SITE "


class Verb(NamedTuple):
    """One command.

    ``argument`` is the arity; ``login`` tells when the command is legal; ``right`` is the value
    of an ``interfaces.Right`` that its path needs, or empty; ``feat`` is its line in FEAT.
    ``secret`` arguments are masked in reprs; ``priority`` commands pass a running transfer;
    ``path`` means that the argument is one path, spaces and all; ``raw`` that it holds a path
    or a password somewhere, so its bytes are kept as they are. ``alias`` names the verb that
    this one is another spelling of. ``tls`` rows are offered only where TLS is configured.
    """

    name: bytes
    argument: ArgumentRule = "none"
    login: LoginRule = "after"
    right: str = ""
    feat: bytes = b""
    secret: bool = False
    priority: bool = False
    path: bool = False
    help: str = ""
    alias: bytes = b""
    raw: bool = False
    tls: bool = False

    @property
    def canonical(self) -> bytes:
        """The verb to dispatch on."""
        return self.alias or self.name


def _path(name: bytes, help_text: str, right: str = "", argument: ArgumentRule = "required") -> Verb:
    return Verb(name, argument, right=right, path=True, help=help_text)


_ROWS: Final = (
    # access control, RFC 959 section 4.1.1
    Verb(b"USER", "required", "before", raw=True, help="USER <name>: begin a login"),
    Verb(b"PASS", "optional", "before", secret=True, raw=True, help="PASS <password>: finish a login"),
    Verb(b"ACCT", "required", "any", secret=True, raw=True, help="ACCT <account>: not needed here"),
    Verb(b"REIN", "none", "any", help="REIN: log out, keep the connection"),
    Verb(b"QUIT", "none", "any", priority=True, help="QUIT: end the session"),
    _path(b"CWD", "CWD <path>: change the directory"),
    Verb(b"CDUP", help="CDUP: change to the parent directory"),
    Verb(b"PWD", help="PWD: show the directory"),
    _path(b"SMNT", "SMNT: not implemented"),
    # security, RFC 2228 and 4217
    Verb(b"AUTH", "required", "any", feat=b"AUTH TLS", tls=True, help="AUTH TLS: secure this connection"),
    Verb(b"PBSZ", "required", "any", feat=b"PBSZ", tls=True, help="PBSZ 0: needed before PROT"),
    Verb(b"PROT", "required", "any", feat=b"PROT", tls=True, help="PROT C|P: clear or private data"),
    Verb(b"CCC", "none", "after", tls=True, help="CCC: clear command channel"),
    # transfer parameters, RFC 959 section 4.1.2, RFC 2428
    Verb(b"TYPE", "required", help="TYPE A|I|L 8: text or binary"),
    Verb(b"MODE", "required", help="MODE S: stream"),
    Verb(b"STRU", "required", help="STRU F: file"),
    Verb(b"PASV", help="PASV: the server opens a data port"),
    Verb(b"EPSV", "optional", feat=b"EPSV", help="EPSV [1|2|ALL]: the same for IPv4 and IPv6"),
    Verb(b"PORT", "required", help="PORT h1,h2,h3,h4,p1,p2: the client opened a data port"),
    Verb(b"EPRT", "required", feat=b"EPRT", help="EPRT |1 or 2|address|port|: the same for IPv4 and IPv6"),
    # service, RFC 959 section 4.1.3, RFC 3659
    _path(b"RETR", "RETR <path>: download", "read"),
    _path(b"STOR", "STOR <path>: upload", "write"),
    _path(b"APPE", "APPE <path>: upload to the end of a file", "append"),
    _path(b"STOU", "STOU [path]: upload under a free name", "write", "optional"),
    Verb(b"REST", "required", feat=b"REST STREAM", help="REST <bytes>: where the next transfer starts"),
    Verb(b"ALLO", "required", help="ALLO <bytes> [R <record>]: announce the size of an upload"),
    Verb(b"ABOR", priority=True, help="ABOR: end the transfer"),
    _path(b"LIST", "LIST [-al] [path]: list for people", "list", "optional"),
    _path(b"NLST", "NLST [-al] [path]: list names", "list", "optional"),
    _path(b"MLSD", "MLSD [path]: list for programs", "list", "optional"),
    _path(b"MLST", "MLST [path]: facts of one entry", "list", "optional")._replace(feat=b"MLST"),
    Verb(b"STAT", "optional", "any", priority=True, path=True, help="STAT [path]: session, or list by reply"),
    _path(b"SIZE", "SIZE <path>: bytes as a transfer would send them", "list")._replace(feat=b"SIZE"),
    _path(b"MDTM", "MDTM <path>: modification time", "list")._replace(feat=b"MDTM"),
    Verb(b"MFMT", "required", right="utime", feat=b"MFMT", raw=True, help="MFMT <time> <path>: set it"),
    _path(b"DELE", "DELE <path>: delete a file", "delete"),
    _path(b"RNFR", "RNFR <path>: what to rename", "rename"),
    _path(b"RNTO", "RNTO <path>: the new name", "rename"),
    _path(b"MKD", "MKD <path>: make a directory", "mkdir"),
    _path(b"RMD", "RMD <path>: remove a directory", "rmdir"),
    _path(b"AVBL", "AVBL [path]: bytes that may still be stored", argument="optional")._replace(feat=b"AVBL"),
    Verb(b"SITE", "required", raw=True, help="SITE <command>: see SITE HELP"),
    # what is always answered
    Verb(b"FEAT", "none", "any", help="FEAT: list the extensions"),
    Verb(b"OPTS", "required", "any", help="OPTS UTF8 ON|OFF, OPTS MLST <facts>: set an option"),
    Verb(b"HELP", "optional", "any", help="HELP [command]: this text"),
    Verb(b"SYST", "none", "any", help="SYST: the kind of system"),
    Verb(b"NOOP", "none", "any", priority=True, help="NOOP: nothing"),
    Verb(b"CLNT", "required", "any", feat=b"CLNT", help="CLNT <name>: the client's name, for the log"),
)

#: RFC 775 spellings that old clients still send.
_ALIASES: Final = (
    (b"XCWD", b"CWD"),
    (b"XCUP", b"CDUP"),
    (b"XPWD", b"PWD"),
    (b"XMKD", b"MKD"),
    (b"XRMD", b"RMD"),
)

_SITE_ROWS: Final = (
    Verb(b"CHMOD", "required", right="chmod", raw=True, help="SITE CHMOD <octal> <path>: set permissions"),
    Verb(b"UTIME", "required", right="utime", raw=True, help="SITE UTIME <time> <path>: set times"),
    _path(b"QUOTA", "SITE QUOTA [path]: what is used and left", argument="optional"),
    Verb(b"IDLE", "optional", help="SITE IDLE [seconds]: show or set the idle timeout"),
    Verb(b"HELP", "optional", help="SITE HELP [command]: this text"),
)


def with_rows(table: Mapping[bytes, Verb], extra: Iterable[Verb]) -> Mapping[bytes, Verb]:
    """A new table with ``extra`` rows, as command plugins bring them.

    Raises:
        LocalProtocolError: a name twice, one that is not 1-16 upper-case letters or digits (with
            ``SITE`` and a blank in front for a SITE command), or an alias of nothing.
    """
    merged = dict(table)
    for verb in extra:
        name = verb.name
        word = name.removeprefix(SITE_PREFIX)
        if not (0 < len(word) <= MAX_VERB and word.isalnum() and word.isascii() and word == word.upper()):
            raise LocalProtocolError(name, "not a verb")
        if name in merged:
            raise LocalProtocolError(name, "verb is there already")
        if verb.alias and verb.alias not in merged:
            raise LocalProtocolError(name, "alias of an unknown verb")
        merged[name] = verb
    return MappingProxyType(merged)


_BASE: Final = with_rows({}, _ROWS)
VERBS: Final[Mapping[bytes, Verb]] = with_rows(
    _BASE,
    [
        _BASE[name]._replace(name=old, alias=name, feat=b"", help=f"{old.decode()}: same as {name.decode()}")
        for old, name in _ALIASES
    ],
)
SITE_VERBS: Final[Mapping[bytes, Verb]] = with_rows({}, _SITE_ROWS)
#: Verbs that use a data connection.
DATA_VERBS: Final = frozenset({b"RETR", b"STOR", b"APPE", b"STOU", b"LIST", b"NLST", b"MLSD"})
#: First words of HTTP and SMTP, without those that are commands of FTP as well.
FOREIGN_VERBS: Final = frozenset(
    b"GET POST HEAD PUT DELETE CONNECT OPTIONS PATCH TRACE PRI PROPFIND "
    b"EHLO HELO LHLO MAIL RCPT DATA BDAT RSET VRFY EXPN ETRN STARTTLS".split()
)
