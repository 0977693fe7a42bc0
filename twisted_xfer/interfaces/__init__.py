"""The seams: everything that strangers implement or call, and the values that pass through.

Answers typed ``Eventually[T]`` may be a value, a coroutine or a Deferred; callers go through
``maybeDeferred`` or test for the value first where a turn of the reactor matters.

What only a daemon needs is loaded when it is asked for: a client pays neither for that nor for what it stands on.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from twisted_xfer.interfaces._both import (
    IBlocking,
    ILimiter,
    RandomBytes,
)
from twisted_xfer.interfaces._storage import (
    Eventually,
    Expected,
    FileInfo,
    IEnters,
    IHasFileno,
    IHasParts,
    IHasRoom,
    IListing,
    IMakesLinks,
    IPublished,
    IReadFile,
    IStorage,
    IStoresNew,
    IUpload,
    Kind,
    NewFile,
    WriteIntent,
)

if TYPE_CHECKING:
    from twisted_xfer.interfaces._avatar import (
        ALL_RIGHTS,
        READ_ONLY,
        Account,
        IAvatar,
        ILogin,
        LoginContext,
        Right,
    )
    from twisted_xfer.interfaces._certificate import (
        CertificateFacts,
    )
    from twisted_xfer.interfaces._credentials import (
        ClientCertificate,
        IClientCertificate,
        IKnowsVerifiers,
        IScramProof,
        IToken,
    )
    from twisted_xfer.interfaces._events import (
        Event,
        IEventListener,
        IEvents,
        IHoldsFile,
        IVetoListener,
    )
    from twisted_xfer.interfaces._host import (
        ITLS,
        IHost,
        IRounds,
        ISecureChannel,
        ITLSSession,
        Timeouts,
    )
    from twisted_xfer.interfaces._plugin import (
        API_VERSION,
        ICommandPlugin,
        IListenerPlugin,
        IPluginRecord,
        IProtocolPlugin,
        IQuotaPlugin,
        IStoragePlugin,
        IXferPlugin,
        PluginKind,
    )
    from twisted_xfer.interfaces._quota import (
        ICountsAnew,
        IHasQuota,
        IQuotaLedger,
        IReservation,
        QuotaScope,
        QuotaStatus,
        Usage,
    )
    from twisted_xfer.interfaces._transfer import (
        IChannel,
        IDataPorts,
        ILease,
        ILimits,
        IPassivePort,
        ITransfer,
        ITransfers,
        TransferMode,
        WantRead,
        WantWrite,
    )
    from twisted_xfer.interfaces._transport import (
        IPromptTransport,
    )

__all__ = [
    "ALL_RIGHTS",
    "API_VERSION",
    "ITLS",
    "READ_ONLY",
    "Account",
    "CertificateFacts",
    "ClientCertificate",
    "Event",
    "Eventually",
    "Expected",
    "FileInfo",
    "IAvatar",
    "IBlocking",
    "IChannel",
    "IClientCertificate",
    "ICommandPlugin",
    "ICountsAnew",
    "IDataPorts",
    "IEnters",
    "IEventListener",
    "IEvents",
    "IHasFileno",
    "IHasParts",
    "IHasQuota",
    "IHasRoom",
    "IHoldsFile",
    "IHost",
    "IKnowsVerifiers",
    "ILease",
    "ILimiter",
    "ILimits",
    "IListenerPlugin",
    "IListing",
    "ILogin",
    "IMakesLinks",
    "IPassivePort",
    "IPluginRecord",
    "IPromptTransport",
    "IProtocolPlugin",
    "IPublished",
    "IQuotaLedger",
    "IQuotaPlugin",
    "IReadFile",
    "IReservation",
    "IRounds",
    "IScramProof",
    "ISecureChannel",
    "IStorage",
    "IStoragePlugin",
    "IStoresNew",
    "ITLSSession",
    "IToken",
    "ITransfer",
    "ITransfers",
    "IUpload",
    "IVetoListener",
    "IXferPlugin",
    "Kind",
    "LoginContext",
    "NewFile",
    "PluginKind",
    "QuotaScope",
    "QuotaStatus",
    "RandomBytes",
    "Right",
    "Timeouts",
    "TransferMode",
    "Usage",
    "WantRead",
    "WantWrite",
    "WriteIntent",
]

_DAEMON: Final = {
    "_avatar": (
        "ALL_RIGHTS",
        "READ_ONLY",
        "Account",
        "IAvatar",
        "ILogin",
        "LoginContext",
        "Right",
    ),
    "_certificate": ("CertificateFacts",),
    "_credentials": (
        "ClientCertificate",
        "IClientCertificate",
        "IKnowsVerifiers",
        "IScramProof",
        "IToken",
    ),
    "_events": (
        "Event",
        "IEventListener",
        "IEvents",
        "IHoldsFile",
        "IVetoListener",
    ),
    "_host": (
        "ITLS",
        "IHost",
        "IRounds",
        "ISecureChannel",
        "ITLSSession",
        "Timeouts",
    ),
    "_plugin": (
        "API_VERSION",
        "ICommandPlugin",
        "IListenerPlugin",
        "IPluginRecord",
        "IProtocolPlugin",
        "IQuotaPlugin",
        "IStoragePlugin",
        "IXferPlugin",
        "PluginKind",
    ),
    "_quota": (
        "ICountsAnew",
        "IHasQuota",
        "IQuotaLedger",
        "IReservation",
        "QuotaScope",
        "QuotaStatus",
        "Usage",
    ),
    "_transfer": (
        "IChannel",
        "IDataPorts",
        "ILease",
        "ILimits",
        "IPassivePort",
        "ITransfer",
        "ITransfers",
        "TransferMode",
        "WantRead",
        "WantWrite",
    ),
    "_transport": ("IPromptTransport",),
}


def __getattr__(name: str) -> Any:
    """One of the names above, from the module that has it."""
    for module, names in _DAEMON.items():
        if name in names:
            value = globals()[name] = vars(import_module(f"{__name__}.{module}"))[name]
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
