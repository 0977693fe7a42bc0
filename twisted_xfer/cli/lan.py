"""Receivers of the local network by mDNS (RFC 6762) and DNS-SD (RFC 6763): announced, listed, found by name.

What is announced proves nothing: anybody in the network may say anything. It says where to dial; the
pairing code, a pin or a known key says whether that is who was meant, and no announcement makes us
speak without TLS.
"""

from __future__ import annotations

import ipaddress
import os
import queue
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import attrs
import click

from twisted_xfer.cli.exits import Exit
from twisted_xfer.cli.output import fail
from twisted_xfer.cli.url import parse_target

if TYPE_CHECKING:
    from twisted_xfer.protocols.xfer.caller import Target

SERVICE: Final = "_xfer._tcp.local."
#: RFC 6763, section 4.1.1: the label of an instance, in bytes of UTF-8.
MAX_NAME: Final = 63
#: More than a network for people has; whoever announces more is heard no further.
MAX_FOUND: Final = 100
#: Announcements looked at, good and bad, before we stop to listen.
MAX_HEARD: Final = 1000
#: A machine has a handful; the rest is not dialled.
MAX_ADDRESSES: Final = 8
#: Seconds to look for one name: mDNS repeats its question after one, and after two more (RFC 6762, 5.2).
FIND_SECONDS: Final = 4.0
#: Seconds for the details of one receiver, and for those of all that are asked for when the time is over.
_DETAILS: Final = 1.0
#: For those that come after that: what was announced with the name is there at once.
_AT_ONCE: Final = 0.001


@attrs.frozen
class Found:
    """A receiver that announces itself. ``addresses`` are checked, the likeliest first; ``name`` is not."""

    name: str
    addresses: tuple[str, ...]
    port: int

    @property
    def place(self) -> str:
        """Host and port for a URL."""
        host = self.addresses[0]
        return f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"


def zeroconf_library() -> Any:
    """The library, or the end of the process with what to install."""
    try:
        import zeroconf
    except ImportError:
        fail("the local network needs one more package: pip install 'twisted-xfer[lan]'", Exit.USAGE)
    return zeroconf


def _open(zeroconf: Any, host: str = "") -> Any:
    """Listen for mDNS at ``host``, at the addresses in XFER_LAN_INTERFACES, or everywhere."""
    named = [host] if host else _interfaces()
    try:
        return zeroconf.Zeroconf(interfaces=named or zeroconf.InterfaceChoice.All)
    except (OSError, RuntimeError, ValueError) as error:
        fail(f"the local network cannot be asked: {error}", Exit.NO_CONNECTION)


def _interfaces() -> list[str]:
    return [one.strip() for one in os.environ.get("XFER_LAN_INTERFACES", "").split(",") if one.strip()]


def own_name(given: str) -> str:
    """The name to announce: what was given, or the machine's; at most MAX_NAME bytes, no control characters, no slash.

    Its dots part it in the network, where nothing may be between two of them, or behind the last.
    """
    import socket

    name = given or socket.gethostname().partition(".")[0] or "xfer"
    # Behind a slash ``find`` looks for a directory.
    name = "".join(letter for letter in name if letter.isprintable()).replace("/", "-")
    name = name.strip().encode("utf-8", "replace")[:MAX_NAME].decode("utf-8", "ignore")
    return ".".join(filter(str.strip, name.split("."))) or "xfer"


class Announcement:
    """Says where we are until ``close``. Making one takes a second: others are asked for the name first.

    Attributes:
        name: as announced; another number behind it when the name was taken.
    """

    def __init__(self, name: str, port: int, host: str = "") -> None:
        library = zeroconf_library()
        addresses = [host] if host else _own_addresses()
        if not addresses:
            fail("no address of this machine can be announced: give --host", Exit.NO_CONNECTION)
        self._zeroconf = _open(library, host)
        try:
            info = library.ServiceInfo(
                SERVICE,
                f"{own_name(name)}.{SERVICE}",
                port=port,
                parsed_addresses=addresses,
                properties={"txtvers": "1"},
            )
            self._zeroconf.register_service(info, allow_name_change=True)
        except (library.Error, OSError, ValueError) as error:
            self._zeroconf.close()
            fail(f"{name or 'this machine'} cannot be announced: {error or type(error).__name__}")
        self.name: str = info.name.removesuffix(f".{SERVICE}")

    def close(self) -> None:
        """Say goodbye."""
        self._zeroconf.close()


def _own_addresses() -> list[str]:
    """Every address of this machine that others may reach."""
    import ifaddr

    found = [ip.ip if ip.is_IPv4 else ip.ip[0] for adapter in ifaddr.get_adapters() for ip in adapter.ips]
    named = _interfaces()
    return [str(one) for one in found if (str(one) in named if named else _is_near(str(one), ()))]


class _Listener:
    """Hands over names as they are heard; called from zeroconf's thread."""

    def __init__(self) -> None:
        self.names: queue.Queue[str] = queue.Queue(MAX_HEARD)

    def add_service(self, _zeroconf: Any, _kind: str, name: str) -> None:
        """Heard of for the first time."""
        if not self.names.full():
            self.names.put_nowait(name)

    update_service = add_service

    def remove_service(self, _zeroconf: Any, _kind: str, name: str) -> None:
        """It said goodbye: nothing was promised."""


def browse(seconds: float, wanted: str = "") -> list[Found]:
    """The receivers that are heard of within ``seconds``, by name; the search ends with ``wanted``."""
    library = zeroconf_library()
    listening = _open(library)
    listener = _Listener()
    found: dict[str, Found] = {}
    deadline = time.monotonic() + seconds
    browser = library.ServiceBrowser(listening, SERVICE, listener=listener)
    try:
        for _ in range(MAX_HEARD):
            try:
                heard = listener.names.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                break
            name = heard.removesuffix(f".{SERVICE}")
            if wanted and name != wanted:
                continue
            left = deadline + _DETAILS - time.monotonic()
            one = _details(library, listening, heard, name, max(_AT_ONCE, min(_DETAILS, left)))
            if one is not None:
                found[name] = one
            if len(found) >= MAX_FOUND or wanted in found:
                break
    finally:
        browser.cancel()
        listening.close()
    return sorted(found.values(), key=lambda one: one.name)


def _details(library: Any, listening: Any, heard: str, name: str, seconds: float) -> Found | None:
    """Where the receiver is; None for one that does not say in time, or says nonsense."""
    if not name or len(name.encode("utf-8", "replace")) > MAX_NAME:
        return None
    try:
        info = listening.get_service_info(SERVICE, heard, timeout=seconds * 1000)
        addresses = info.parsed_scoped_addresses() if info is not None else []
    except (library.Error, OSError, ValueError, UnicodeError):
        return None
    interfaces = _interfaces()
    near = [one for one in addresses if _is_near(one, interfaces)][:MAX_ADDRESSES]
    if info is None or not near or not 0 < (info.port or 0) <= 65535:
        return None
    return Found(name, tuple(sorted(near, key=_likeliness)), info.port)


def _is_near(text: str, interfaces: list[str] | tuple[str, ...]) -> bool:
    """Whether an announced address may be dialled: one host's, and our own only when we asked ourselves."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if address.is_loopback:
        return any(ipaddress.ip_address(one).is_loopback for one in interfaces)
    mapped = address.version == 6 and address.ipv4_mapped is not None
    return not (mapped or address.is_unspecified or address.is_multicast or address.is_reserved)


def _likeliness(text: str) -> tuple[bool, bool]:
    """Addresses that need no scope first, then IPv4, which every network has."""
    address = ipaddress.ip_address(text)
    return address.is_link_local, address.version == 6


def find(text: str, seconds: float = FIND_SECONDS) -> Target:
    """The place that ``@NAME[/DIR]`` is; ends the process when nobody of that name is heard.

    Raises:
        click.UsageError: no name, or no directory that the protocol carries.
    """
    name, _, path = text.removeprefix("@").partition("/")
    target = parse_target(f"xfer://name/{quote(path, errors='surrogateescape')}")
    if not name:
        raise click.UsageError(f"{text}: whom? `xfer receivers` lists who waits")
    found = browse(seconds, name)
    if not found:
        fail(
            f"no {text.partition('/')[0]} was heard in the local network; `xfer receivers` lists who waits",
            Exit.NO_CONNECTION,
        )
    return attrs.evolve(target, host=found[0].addresses[0], port=found[0].port)
