"""The small protocols misbehaving as they are told: ``faulty_push``, ``faulty_fetch``, ``faulty_jsonftp``."""

from __future__ import annotations

from typing import Any, Final

import attrs

from twisted_xfer.interfaces import IHost
from twisted_xfer.protocols.fetch.plugin import FetchOptions, FetchPlugin
from twisted_xfer.protocols.jsonftp.plugin import JSONFTPOptions, JSONFTPPlugin
from twisted_xfer.protocols.push.plugin import PushOptions, PushPlugin
from twisted_xfer.streams import ServedFactory
from twisted_xfer.testing.faulty import Counter, FaultOptions, FaultyHost


@attrs.frozen
class FaultyPushOptions(PushOptions):
    """Those of push, and the faults. A cut is an end in order."""

    faults: FaultOptions = attrs.field(factory=FaultOptions)


@attrs.frozen
class FaultyFetchOptions(FetchOptions):
    """Those of fetch, and the faults. A cut is an end in order."""

    faults: FaultOptions = attrs.field(factory=FaultOptions)


@attrs.frozen
class FaultyJSONFTPOptions(JSONFTPOptions):
    """Those of jsonftp, and the faults. A cut is an end in order."""

    faults: FaultOptions = attrs.field(factory=FaultOptions)


def _host(options: Any, host: IHost) -> Any:
    return FaultyHost(host, Counter(options.faults))


class FaultyPushPlugin(PushPlugin):
    """push with faults."""

    name = "faulty_push"
    options = FaultyPushOptions

    def stream_factory(self, options: Any, host: IHost) -> ServedFactory:
        """See IProtocolPlugin."""
        return super().stream_factory(options, _host(options, host))


class FaultyFetchPlugin(FetchPlugin):
    """fetch with faults."""

    name = "faulty_fetch"
    options = FaultyFetchOptions

    def stream_factory(self, options: Any, host: IHost) -> ServedFactory:
        """See IProtocolPlugin."""
        return super().stream_factory(options, _host(options, host))


class FaultyJSONFTPPlugin(JSONFTPPlugin):
    """jsonftp with faults."""

    name = "faulty_jsonftp"
    options = FaultyJSONFTPOptions

    def stream_factory(self, options: Any, host: IHost) -> ServedFactory:
        """See IProtocolPlugin."""
        return super().stream_factory(options, _host(options, host))


push: Final = FaultyPushPlugin()
fetch: Final = FaultyFetchPlugin()
jsonftp: Final = FaultyJSONFTPPlugin()
