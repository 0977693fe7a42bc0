"""The xfer plugin keeps the contract of every protocol plugin."""

from twisted_xfer.protocols.xfer.plugin import plugin
from twisted_xfer.testing.contracts_protocol import ProtocolContract


class TestXfer(ProtocolContract):
    """Before the login, which this protocol cannot do without hearing the other side."""

    plugin = plugin
