"""The built-in ledgers as plugins: ``sqlite`` and ``memory``."""

from __future__ import annotations

import hashlib
import os
from typing import Final

import attrs
import platformdirs
from zope.interface import implementer

from twisted_xfer.errors import ConfigError
from twisted_xfer.interfaces import API_VERSION, IHost, IQuotaLedger, IQuotaPlugin
from twisted_xfer.quota.memory import MemoryLedger
from twisted_xfer.quota.sqlite import SqliteLedger

#: Where systemd says that state belongs; a list, of which the first counts.
STATE_VARIABLE: Final = "STATE_DIRECTORY"


def default_file(root: str) -> str:
    """The ledger of a daemon over ``root``: in the state directory, and not another root's."""
    state = os.environ.get(STATE_VARIABLE, "").partition(":")[0]
    directory = state or platformdirs.user_state_dir("twisted-xfer", appauthor=False)
    tag = hashlib.blake2b(os.fsencode(os.path.realpath(root)), digest_size=6).hexdigest()
    return os.path.join(directory, f"quota-{tag}.sqlite")


@attrs.frozen
class SqliteOptions:
    """Options of the ``sqlite`` ledger: its ``file``, or none for one of ``root`` in the state directory."""

    file: str = ""
    root: str = ""


@attrs.frozen
class MemoryOptions:
    """The ``memory`` ledger has no options."""


@implementer(IQuotaPlugin)
class SqlitePlugin:
    """A ledger in a file."""

    name = "sqlite"
    api_version = API_VERSION
    options = SqliteOptions

    def describe(self) -> str:
        """One line for people."""
        return "quota in one SQLite file, shared by processes and kept over restarts"

    def open(self, options: object, host: IHost) -> IQuotaLedger:
        """The ledger; its file is opened at the first login of an account with a quota.

        Raises:
            ConfigError: options of another kind, or a file in a directory that is not there.
        """
        if not isinstance(options, SqliteOptions):
            raise ConfigError("quota", value=type(options).__name__, remedy="options of the sqlite ledger")
        if options.file and not os.path.isdir(os.path.dirname(os.path.abspath(options.file))):
            raise ConfigError(
                "quota.file", value=options.file, remedy="make the directory that it is to be in"
            )
        return SqliteLedger(options.file or default_file(options.root), random=host.random)


@implementer(IQuotaPlugin)
class MemoryPlugin:
    """A ledger in memory."""

    name = "memory"
    api_version = API_VERSION
    options = MemoryOptions

    def describe(self) -> str:
        """One line for people."""
        return "quota in memory: for one process, counted anew after each start"

    def open(self, options: object, host: IHost) -> IQuotaLedger:
        """An empty ledger."""
        return MemoryLedger()


sqlite: Final = SqlitePlugin()
memory: Final = MemoryPlugin()
