"""The rule that decides whether the kernel may move the bytes."""

import itertools

import pytest

from twisted_xfer.interfaces import TransferMode
from twisted_xfer.transfer.choose import kernel_may_move


def test_only_one_combination_allows_it():
    """Plain file, channel in clear, binary, and a system call: all four or none."""
    allowed = [
        combination
        for combination in itertools.product(
            (True, False), (True, False), (TransferMode.IMAGE, TransferMode.ASCII), (min, None)
        )
        if kernel_may_move(*combination)
    ]
    assert allowed == [(True, False, TransferMode.IMAGE, min)]


@pytest.mark.parametrize("mode", list(TransferMode))
@pytest.mark.parametrize("has_fileno", [True, False])
def test_never_on_a_secure_channel(has_fileno, mode):
    """TLS forbids it whatever else holds."""
    assert not kernel_may_move(has_fileno, True, mode, min)
