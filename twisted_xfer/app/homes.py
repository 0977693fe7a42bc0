"""Accounts that can be listed, and where they live: for sweeps and counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from twisted_xfer.accounts.realm import home_of
from twisted_xfer.app.accounts import inline_accounts
from twisted_xfer.app.config import Config
from twisted_xfer.interfaces import Account


def homes_of(config: Config, root: str, checkers: Iterable[object]) -> Iterator[tuple[Account, str]]:
    """Each account that the configuration or a checker can name, once, with its home.

    Checkers name theirs by ``usernames()`` and ``account(name)``; those that cannot are passed over.
    """
    inline = inline_accounts(config)
    for account in inline.values():
        yield account, home_of(account, root, config.home)
    seen = set(inline)
    for checker in checkers:
        names, settings = getattr(checker, "usernames", None), getattr(checker, "account", None)
        if not callable(names) or not callable(settings):
            continue
        for name in names():
            found = settings(name) if name not in seen else None
            if isinstance(found, Account):
                seen.add(name)
                yield found, home_of(found, root, config.home)
