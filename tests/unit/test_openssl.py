"""What is asked of the library below pyOpenSSL: an answer, and never an error, when it is not there."""

from __future__ import annotations

import pytest
from OpenSSL import SSL

from twisted_xfer import openssl


def test_what_is_there():
    """The installed pyOpenSSL has all that anybody here asks for; the other ways are tested by force."""
    assert openssl.LIB is SSL._lib
    assert openssl.has("SSL_read", ffi=("new",), connection=("_ssl",), context=("_context",))


@pytest.mark.parametrize(
    "missing",
    [
        {"ffi": ("no_such_name",)},
        {"connection": ("_ssl", "no_such_name")},
        {"context": ("no_such_name",)},
    ],
)
def test_what_is_missing(missing):
    """One name is enough, wherever it is."""
    assert not openssl.has("SSL_read", **missing)


def test_without_any_of_it(monkeypatch):
    """Another pyOpenSSL may show nothing."""
    assert not openssl.has("SSL_read", "no_such_name")
    monkeypatch.setattr(openssl, "LIB", None)
    monkeypatch.setattr(openssl, "FFI", None)
    assert not openssl.has("SSL_read")
    assert not openssl.has(ffi=("new",))
