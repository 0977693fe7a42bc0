"""What the tests of data ports share: some of them, clients, and a kernel without descriptors."""

import errno
import socket

from twisted_xfer.runtime.data_ports import DataPorts
from twisted_xfer.testing.pumps import ManualReactor

HOME = "127.0.0.1"


class Events:
    """Remembers what was emitted."""

    def __init__(self):
        self.seen = []

    def emit(self, event_id, **fields):
        self.seen.append((event_id, fields))


class Lab:
    """DataPorts, and clients that connect to them."""

    def __init__(self):
        self.reactor = ManualReactor()
        self.events = Events()
        self.open = []

    def ports(self, **options):
        return DataPorts(self.reactor, events=self.events, **options)

    def dial(self, port, source=HOME, host=HOME):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        client = socket.socket(family)
        client.settimeout(5)
        client.bind((source, 0))
        client.connect((host, port))
        self.open.append(client)
        return client

    def keep(self, thing):
        self.open.append(thing)
        return thing


def outcome(deferred):
    """The value, or the error, of a Deferred that has fired."""
    seen = []
    deferred.addBoth(seen.append)
    assert seen, "not fired"
    return getattr(seen[0], "value", seen[0])


class Exhausted:
    """``sock`` in a process that has no descriptors left."""

    def __init__(self, sock):
        self._real = sock

    def accept(self):
        raise OSError(errno.EMFILE, "Too many open files")

    _accept = accept

    def __getattr__(self, name):
        return getattr(self._real, name)
