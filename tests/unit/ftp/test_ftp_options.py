"""What an FTP listener takes in its table, and what it says about the rest."""

import pytest

from twisted_xfer.app.config import Config
from twisted_xfer.errors import ConfigError
from twisted_xfer.plugins.options import options_from_table
from twisted_xfer.protocols.ftp.charset import NameCodec
from twisted_xfer.protocols.ftp.options import FTPOptions
from twisted_xfer.protocols.ftp.wire.server import MAX_LINE


@pytest.mark.parametrize(
    ("key", "low", "high"),
    [
        ("max_line", 64, 1_048_576),
        ("max_idle", 1, 86_400),
        ("status_entries", 1, 1_000_000),
        ("bad_commands", 1, 1_000_000),
    ],
)
def test_numbers_have_limits(key, low, high):
    """Both ends are taken; one past either is refused by key, value and what is right."""
    for value in (low, high):
        assert getattr(options_from_table(FTPOptions, {key: value}, where="protocols.ftp"), key) == value
    for value in (low - 1, high + 1):
        with pytest.raises(ConfigError) as caught:
            options_from_table(FTPOptions, {"active": True, key: value}, where="protocols.ftp", file="f")
        error = caught.value
        assert (error.file, error.key, error.value) == ("f", f"protocols.ftp.{key}", value)
        assert error.remedy.startswith(f"must be from {low} to {high} ")


@pytest.mark.parametrize("charset", ["utf-16", "utf-7", "cp037", "rot13", "idna", "hex", "klingon", ""])
def test_charsets_that_no_client_could_speak(charset):
    """In FTP's own charset, as in the daemon's and an account's, ASCII is itself: verbs and names share a line."""
    with pytest.raises(ConfigError) as caught:
        options_from_table(FTPOptions, {"charset": charset}, where="protocols.ftp", file="f")
    assert (caught.value.file, caught.value.key) == ("f", "protocols.ftp.charset")
    assert "gbk" in caught.value.remedy


@pytest.mark.parametrize("charset", ["utf-8", "UTF8", "gbk", "cp1251", "koi8-r", "big5", "latin-1", "ascii"])
def test_charsets_of_clients(charset):
    """Those are taken, however they are written."""
    options = options_from_table(FTPOptions, {"charset": charset}, where="protocols.ftp")
    assert NameCodec(options.charset).to_storage(b"a-Z_0~") == b"a-Z_0~"


def test_one_length_of_lines():
    """The wire, the plugin and the daemon hold to the same 4160 bytes: the longest path and its verb."""
    assert MAX_LINE == FTPOptions().max_line == Config().limits.line_length == 4160
