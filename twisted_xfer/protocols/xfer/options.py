"""What an administrator can set for an xfer listener."""

from __future__ import annotations

from typing import Literal

import attrs


@attrs.frozen
class XferOptions:
    """The ``[protocols.xfer]`` table. Seconds, bytes and counts as the names say.

    ``plain`` is who may speak without TLS; ``scram`` when SCRAM is offered, auto being where every user
    with a password has a verifier. ``anonymous`` offers the ANONYMOUS mechanism, if the
    daemon lets anonymous users in at all. ``window`` is how many entries a sender may have in the
    air, ``login_seconds`` how long a login may take in all. ``code``, with the account that it
    stands for, is the one-off pairing code of ``xfer receive``. ``modes`` and ``times`` say whether
    a sender's permission bits (never more than 0755) and modification times are applied; ``compress``
    whether callers may have content compressed; ``links`` whether symbolic links are refused, or made
    where they lead nowhere out of the account's root.
    ``connections`` is how many one sender may have for one session.
    """

    plain: Literal["never", "loopback", "always"] = "loopback"
    scram: Literal["auto", "always", "never"] = "auto"
    anonymous: bool = False
    max_data: int = 4 * 1024 * 1024
    window: int = 64
    login_seconds: float = 10.0
    connections: int = 8
    modes: bool = True
    times: bool = True
    compress: bool = True
    links: Literal["refuse", "inside"] = "refuse"
    code: str = attrs.field(default="", repr=False)
    code_username: str = ""
    code_password: str = attrs.field(default="", repr=False)
