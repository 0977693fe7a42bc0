"""Certificates of two people, as the tests of accounts know them."""

from twisted_xfer.interfaces import CertificateFacts

DIGEST = "ab" * 32
ALICE = CertificateFacts("Alice", ("alice@Example.com", "a.example"), DIGEST)
BOB = CertificateFacts("Bob", (), "cd" * 32)
