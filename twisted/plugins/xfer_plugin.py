"""Drop-in: light records only; what they name is imported when it is configured."""

from twisted.application.service import ServiceMaker

from twisted_xfer.accounts.strcred_certificates import CertificateCheckerFactory
from twisted_xfer.accounts.strcred_users import UsersCheckerFactory
from twisted_xfer.plugins.records import PluginRecord

xfer = ServiceMaker(  # type: ignore[no-untyped-call]
    "xfer", "twisted_xfer.app.tap", "Serve files over FTP, FTPS and the xfer protocol.", "xfer"
)

users = UsersCheckerFactory()
certificate = CertificateCheckerFactory()

ftp = PluginRecord(
    "protocol", "ftp", "twisted_xfer.protocols.ftp.plugin:plugin", "FTP (RFC 959 and its extensions)"
)
ftps = PluginRecord(
    "protocol", "ftps", "twisted_xfer.protocols.ftp.plugin:implicit", "FTP in TLS from the first byte"
)
xfer_protocol = PluginRecord(
    "protocol",
    "xfer",
    "twisted_xfer.protocols.xfer.plugin:plugin",
    "The native protocol: verified and resumable, for xfer send",
)
timeecho = PluginRecord(
    "protocol",
    "timeecho",
    "twisted_xfer.protocols.timeecho.plugin:timeecho",
    "Time and echo, over TCP and UDP",
)
push = PluginRecord(
    "protocol",
    "push",
    "twisted_xfer.protocols.push.plugin:push",
    "Files from sender.py scripts: NAME<SEPARATOR>SIZE and bytes",
)
fetch = PluginRecord(
    "protocol",
    "fetch",
    "twisted_xfer.protocols.fetch.plugin:fetch",
    "Files for get scripts: size, bytes and MD5",
)
jsonftp = PluginRecord(
    "protocol",
    "jsonftp",
    "twisted_xfer.protocols.jsonftp.plugin:jsonftp",
    "The FTP of a socketserver tutorial: JSON and status codes",
)
jim = PluginRecord(
    "protocol", "jim", "twisted_xfer.protocols.jim.plugin:jim", "JSON instant messaging: users and rooms"
)

local = PluginRecord(
    "storage", "local", "twisted_xfer.storage.plugin:local", "A directory of the operating system"
)
memory = PluginRecord(
    "storage", "memory", "twisted_xfer.storage.plugin:memory", "A tree in memory, gone at the end"
)

sqlite_quota = PluginRecord(
    "quota", "sqlite", "twisted_xfer.quota.plugin:sqlite", "Quota in one SQLite file, kept over restarts"
)
memory_quota = PluginRecord(
    "quota", "memory", "twisted_xfer.quota.plugin:memory", "Quota in memory, counted anew at each start"
)

json = PluginRecord("listener", "json", "twisted_xfer.events.plugin:json", "Every event as one line of JSON")
xferlog = PluginRecord(
    "listener", "xferlog", "twisted_xfer.events.plugin:xferlog", "Transfers in the format of xferlog(5)"
)
webhook = PluginRecord(
    "listener",
    "webhook",
    "twisted_xfer.events.webhook:webhook",
    "Events as signed POST requests, at least once",
)
exec_program = PluginRecord(
    "listener", "exec", "twisted_xfer.events.exec_plugin:exec", "A program that hears events, at least once"
)
veto = PluginRecord(
    "listener", "veto", "twisted_xfer.events.exec_plugin:veto", "A program that may refuse each upload"
)
