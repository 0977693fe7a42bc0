"""Counting anew what the quota ledger holds: ``xfer user recount``."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final, NamedTuple

from twisted_xfer.accounts.quota import charges
from twisted_xfer.app.config import Config
from twisted_xfer.app.homes import homes_of
from twisted_xfer.errors import ConfigError, NotFound, StorageFailure
from twisted_xfer.interfaces import Account, ICountsAnew, IQuotaLedger, Usage
from twisted_xfer.paths import ROOT, VirtualPath
from twisted_xfer.storage.local import LocalStorage

#: Counts of one scope before it is left as it is, because uploads keep changing it.
ATTEMPTS: Final = 3
#: No account has a slash in its name, so nobody's parts are this owner's.
_OWNER: Final = "/recount"


class Recount(NamedTuple):
    """One scope of the ledger: what it held, and what it holds now (None: uploads are under way)."""

    name: str
    before: Usage
    after: Usage | None


def recount(
    config: Config, root: str, checkers: Sequence[object], ledger: IQuotaLedger, only: Collection[str] = ()
) -> Iterator[Recount]:
    """Count each account with a quota, or those in ``only``, with its directories; then the groups.

    A group is the sum of its members, and counted only when all accounts are.

    Raises:
        ConfigError: the storage or the ledger cannot be counted, or ``only`` names nobody.
        StorageFailure: a home cannot be read.
    """
    if config.storage.get("plugin", "local") != "local":
        raise ConfigError(
            "storage.plugin",
            value=config.storage["plugin"],
            remedy="only files of the local storage can be counted; this one has its own way to count",
        )
    counts = ICountsAnew(ledger, None)
    if counts is None:
        raise ConfigError(
            "quota.plugin", value=config.quota.get("plugin"), remedy="this ledger takes no count"
        )
    accounts = [(account, home) for account, home in homes_of(config, root, checkers) if charges(account)]
    unknown = set(only) - {account.username for account, _ in accounts}
    if unknown:
        raise ConfigError("account", value=min(unknown), remedy="name accounts that have a quota")
    groups: dict[str, list[str]] = {}
    with_storage = LocalStorage(root, symlinks="inside")
    try:
        for account, home in accounts:
            for scope in account.quota_scopes:
                if scope.below == "/":
                    groups.setdefault(scope.name, []).append(account.username)
            if not only or account.username in only:
                yield from _account(with_storage, account, home, ledger, counts)
    finally:
        with_storage.close()
    if not only:
        for name, members in groups.items():
            yield _group(ledger, name, members)


def _account(
    storage: LocalStorage, account: Account, home: str, ledger: IQuotaLedger, counts: ICountsAnew
) -> Iterator[Recount]:
    places = [(account.username, ROOT)]
    places += [
        (scope.name, VirtualPath.parse(scope.below.encode("utf-8", "surrogateescape")))
        for scope in account.quota_scopes
        if scope.below != "/"
    ]
    try:
        view = storage.view(home, owner=_OWNER)
    except NotFound:
        # Never logged in: there is no home, and nothing in it.
        view = None
    for name, path in places:
        before = _usage(ledger, name)
        after: Usage | None = None
        for _attempt in range(ATTEMPTS):
            counts.doubt(name)
            began = counts.begin_count(name)
            if began is None:
                break
            size, files = (0, 0) if view is None else _now(view.count(path))
            if counts.end_count(name, size, files, began):
                after = Usage(size, files)
                break
        yield Recount(name, before, after)
    if view is not None:
        view.close()


def _group(ledger: IQuotaLedger, name: str, members: Sequence[str]) -> Recount:
    before = _usage(ledger, name)
    of_members = [_usage(ledger, member) for member in members]
    size = sum(usage.bytes for usage in of_members)
    files = sum(usage.files for usage in of_members)
    ledger.adjust(name, size - before.bytes, files - before.files)
    return Recount(name, before, Usage(size, files))


def _usage(ledger: IQuotaLedger, name: str) -> Usage:
    usage: Usage = _now(ledger.usage(name))
    return usage


def _now(answer: object) -> Any:
    """Values only: nothing here runs a reactor."""
    if not isinstance(answer, tuple):
        raise StorageFailure(None, "the ledger or the storage does not answer at once")
    return answer
