"""Drop-in: what acme-xfer has for the daemon. Nothing else is imported until a configuration names it."""

from acme_xfer.token import TokenFactory

from twisted_xfer.plugins.records import PluginRecord

peek = PluginRecord("protocol", "peek", "acme_xfer.peek:plugin", "Directory listings for terminals")
sqlite = PluginRecord("storage", "sqlite", "acme_xfer.sqlite:plugin", "Small files in one SQLite database")
tally = PluginRecord("listener", "tally", "acme_xfer.tally:plugin", "One line for each transfer")
suffixes = PluginRecord(
    "listener", "suffixes", "acme_xfer.suffixes:plugin", "Refuses uploads by their suffix"
)
lines = PluginRecord("command", "lines", "acme_xfer.lines:plugin", "XLIN and SITE WHOAMI for FTP")

token = TokenFactory()
