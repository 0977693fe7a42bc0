"""Drop-in: light records only; what they name is imported when it is configured."""

from twisted.application.service import ServiceMaker

from twisted_xfer.accounts.strcred_users import UsersCheckerFactory
from twisted_xfer.plugins.records import PluginRecord

xfer = ServiceMaker(  # type: ignore[no-untyped-call]
    "xfer", "twisted_xfer.app.tap", "Serve files over FTP, FTPS and the xfer protocol.", "xfer"
)

users = UsersCheckerFactory()

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

local = PluginRecord(
    "storage", "local", "twisted_xfer.storage.plugin:local", "A directory of the operating system"
)
memory = PluginRecord(
    "storage", "memory", "twisted_xfer.storage.plugin:memory", "A tree in memory, gone at the end"
)

json = PluginRecord("listener", "json", "twisted_xfer.events.plugin:json", "Every event as one line of JSON")
xferlog = PluginRecord(
    "listener", "xferlog", "twisted_xfer.events.plugin:xferlog", "Transfers in the format of xferlog(5)"
)
