"""The built-in storages as plugins: ``local`` and ``memory``."""

from __future__ import annotations

import attrs
from zope.interface import implementer

from twisted_xfer.errors import ConfigError
from twisted_xfer.interfaces import API_VERSION, IHost, IStorage, IStoragePlugin
from twisted_xfer.storage.jail import SymlinkPolicy
from twisted_xfer.storage.local import LocalStorage
from twisted_xfer.storage.local_tree import UploadPolicy
from twisted_xfer.storage.memory import MemoryStorage
from twisted_xfer.storage.memory_files import DEFAULT_CAPACITY
from twisted_xfer.storage.threaded import ThreadedStorage


def _permissions(_options: object, _attribute: object, value: int | None) -> None:
    if value is not None and not 0 <= value <= 0o777:
        raise ValueError("must be from 0 to 0o777, and is decimal without the 0o: write 0o750, not 750")


def _not_negative(_options: object, _attribute: object, value: int) -> None:
    if value < 0:
        raise ValueError("must be 0 bytes or more")


@attrs.frozen
class LocalOptions:
    """Options of the ``local`` storage.

    Attributes:
        root: the directory below which homes live.
        symlinks: ``inside``, ``none`` or ``follow``.
        uploads: ``staged`` or ``in-place``.
        fsync: wait for the disk before an upload is answered.
        threads: run every operation in the disk pool, for slow disks and NFS.
        umask: for new files and directories; None takes the process's.
        home_mode: of homes made at first login.
    """

    root: str = "."
    symlinks: SymlinkPolicy = "inside"
    uploads: UploadPolicy = "staged"
    fsync: bool = False
    threads: bool = False
    umask: int | None = attrs.field(default=None, validator=_permissions)
    home_mode: int = attrs.field(default=0o700, validator=_permissions)


@attrs.frozen
class MemoryOptions:
    """Options of the ``memory`` storage: ``capacity`` in bytes."""

    capacity: int = attrs.field(default=DEFAULT_CAPACITY, validator=_not_negative)


def _one_of(key: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigError(key, value=value, remedy="one of " + ", ".join(choices))


@implementer(IStoragePlugin)
class LocalPlugin:
    """Files on a local disk."""

    name = "local"
    api_version = API_VERSION
    options = LocalOptions

    def describe(self) -> str:
        """One line for people."""
        return "files on a local disk, behind a jail; uploads appear whole or not at all"

    def open(self, options: object, host: IHost) -> IStorage:
        """Open the root.

        Raises:
            ConfigError: a wrong option.
            NotFound, NotADirectory, PermissionDenied: of the root.
        """
        if not isinstance(options, LocalOptions):
            raise ConfigError("storage", value=type(options).__name__, remedy="options of the local storage")
        _one_of("symlinks", options.symlinks, ("inside", "none", "follow"))
        _one_of("uploads", options.uploads, ("staged", "in-place"))
        storage = LocalStorage(
            options.root,
            symlinks=options.symlinks,
            uploads=options.uploads,
            fsync=options.fsync,
            umask=options.umask,
            home_mode=options.home_mode,
            random=host.random,
            # With a pool around everything, long work is in a thread already.
            blocking=None if options.threads else host.blocking,
        )
        return ThreadedStorage(storage, host.blocking) if options.threads else storage


@implementer(IStoragePlugin)
class MemoryPlugin:
    """Files in memory."""

    name = "memory"
    api_version = API_VERSION
    options = MemoryOptions

    def describe(self) -> str:
        """One line for people."""
        return "files in memory, gone when the daemon stops"

    def open(self, options: object, host: IHost) -> IStorage:
        """An empty tree. Raises ConfigError for options of another kind."""
        if not isinstance(options, MemoryOptions):
            raise ConfigError("storage", value=type(options).__name__, remedy="options of the memory storage")
        return MemoryStorage(host.wall_time, capacity=options.capacity, random=host.random)


local = LocalPlugin()
memory = MemoryPlugin()
