"""Moving bytes between files and channels: the pumps, the rule that chooses one, and the one close path."""

from twisted_xfer.transfer.transfers import Transfers

__all__ = ["Transfers"]
