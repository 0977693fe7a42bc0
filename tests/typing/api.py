"""Never run, always type-checked: the public API as a user would write it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, assert_type

import attrs
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import DatagramProtocol, Factory
from zope.interface import implementer

from twisted_xfer import (
    Login,
    Receiver,
    Summary,
    Target,
    TransferEvent,
    Work,
    get,
    ls,
    receive,
    rm,
    send,
    send_stream,
)
from twisted_xfer.errors import NotFound, Vetoed, XferError
from twisted_xfer.interfaces import (
    API_VERSION,
    Account,
    Event,
    Expected,
    FileInfo,
    IAvatar,
    ICommandPlugin,
    IEventListener,
    IHost,
    IListenerPlugin,
    IProtocolPlugin,
    IStorage,
    IStoragePlugin,
    IUpload,
    IVetoListener,
    LoginContext,
    Right,
    WriteIntent,
)
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.paths import ROOT, VirtualPath
from twisted_xfer.plugins import PluginRecord, Registry, options_from_table
from twisted_xfer.protocols.ftp.extend import CommandHandler, CommandSession, Row, Verb, multiline, reply
from twisted_xfer.protocols.ftp.options import FTPOptions
from twisted_xfer.protocols.ftp.plugin import plugin as ftp
from twisted_xfer.storage.memory import MemoryStorage
from twisted_xfer.storage.threaded import ThreadedStorage
from twisted_xfer.testing.contracts_checker import CheckerContract
from twisted_xfer.testing.contracts_listener import ListenerContract
from twisted_xfer.testing.contracts_protocol import ProtocolContract
from twisted_xfer.testing.contracts_storage import StorageContract
from twisted_xfer.testing.faults import Faults, FaultyStorage
from twisted_xfer.testing.host import MemoryHost
from twisted_xfer.testing.protocols import Connection, connect
from twisted_xfer.testing.server import XferServer

record = PluginRecord("protocol", "acme", "acme.plugin:plugin", "what it is")


@attrs.frozen
class Options:
    """Options of a plugin."""

    limit: int = 5


@implementer(IProtocolPlugin)
class Protocol:
    """A protocol over streams."""

    name = "acme"
    api_version = API_VERSION
    options: type[attrs.AttrsInstance] = Options
    needs_account = False

    def describe(self) -> str:
        return "acme"

    def stream_factory(self, options: object, host: IHost) -> IProtocolFactory | None:
        return Factory()

    def datagram(self, options: object, host: IHost) -> DatagramProtocol | None:
        return None

    def sniff(self, prefix: bytes) -> Literal["yes", "no", "more"]:
        return "no"


@implementer(IStoragePlugin)
class Storage:
    """A storage that blocks, in threads."""

    name = "acme"
    api_version = API_VERSION
    options: type[attrs.AttrsInstance] = Options

    def describe(self) -> str:
        return "acme"

    def open(self, options: object, host: IHost) -> IStorage:
        return ThreadedStorage(MemoryStorage(host.wall_time), host.blocking)


@implementer(IVetoListener)
class Veto:
    """Listens, and may refuse."""

    def on_event(self, event: Event) -> None:
        assert_type(event.username, str)

    async def before(self, event: Event) -> None:
        raise Vetoed(event.fields["path"], "no")


@implementer(IListenerPlugin)
class Listener:
    """A veto listener is a listener."""

    name = "acme"
    api_version = API_VERSION
    options: type[attrs.AttrsInstance] = Options

    def describe(self) -> str:
        return "acme"

    def open(self, options: object, host: IHost) -> IEventListener:
        return Veto()


async def size_of(session: CommandSession, argument: bytes) -> bytes:
    """A handler as a coroutine."""
    info = await resolve(session.user().stat(session.path(argument)))
    assert_type(info, FileInfo)
    session.say(reply(150, "wait"))
    return multiline(213, "Size:", [str(info.size), session.shown(session.cwd)])


def later(session: CommandSession, argument: bytes) -> Deferred[bytes]:
    """A handler that answers with a Deferred."""
    waiting: Deferred[bytes] = Deferred()
    session.host.clock.callLater(1.0, waiting.callback, reply(200, session.username))
    return waiting


@implementer(ICommandPlugin)
class Commands:
    """Rows for FTP."""

    name = "acme"
    api_version = API_VERSION
    options: type[attrs.AttrsInstance] = Options

    def describe(self) -> str:
        return "acme"

    def rows(self, options: object, host: IHost) -> list[Row]:
        handler: CommandHandler = size_of
        return [
            (Verb(b"XSIZ", "required", right=Right.LIST, path=True), handler),
            (Verb(b"SITE LATE"), later),
            (Verb(b"XSZE", alias=b"XSIZ"), None),
        ]


async def upload(avatar: IAvatar, data: bytes) -> FileInfo:
    """Every verb of an avatar may answer at once or later."""
    path = VirtualPath.parse(b"pub/a.txt", ROOT)
    opened: IUpload = await resolve(avatar.open_write(path, WriteIntent(if_exists="refuse")))
    try:
        await resolve(opened.write(data))
        done: FileInfo = await resolve(opened.commit(Expected(size=len(data))))
    except XferError as error:
        assert_type(error.code, str)
        await resolve(opened.abort())
        raise
    return done


def drive() -> None:
    """A daemon in memory."""
    host = MemoryHost(
        {"alice": "secret"},
        accounts={"alice": Account("alice", rights=frozenset({Right.READ}))},
        commands=[Commands()],
        storage=FaultyStorage(MemoryStorage(lambda: 0.0), Faults(read_ends_at=5)),
    )
    options = options_from_table(FTPOptions, {"commands": ["acme"]}, where="protocols.ftp")
    assert_type(options, FTPOptions)
    connection = connect(ftp.stream_factory(options, host))
    assert_type(connection, Connection | None)
    context = LoginContext("acme", host.new_session_id(), "192.0.2.1")
    assert_type(context.secure, bool)
    assert_type(Registry.discover().get("protocol", "ftp"), IProtocolPlugin)
    raise NotFound(b"/a", "with a reason")


class TestProtocol(ProtocolContract):
    """Contracts are inherited."""

    plugin = Protocol()


class TestListener(ListenerContract):
    """With options of their own."""

    plugin = Listener()

    def make_options(self, tmp_path: Path) -> Options:
        return Options(limit=1)


class TestStorage(StorageContract):
    """With a way to make one."""

    def make_storage(self) -> IStorage:
        return MemoryStorage(lambda: 0.0)


class TestChecker(CheckerContract):
    """With one that may log in."""

    good = (b"alice", b"secret")

    def make_checker(self) -> Any:
        return object()


@pytest.mark.xfer_server(tls=True, faults={"no_close_notify": True})
def test_fixture(xfer_server: XferServer) -> None:
    """What the fixture gives."""
    assert_type(xfer_server.port, int)
    assert_type(xfer_server.home, Path)
    assert_type(xfer_server.url("a.txt", scheme="ftps"), str)
    assert_type(xfer_server.wait_for("login.ok", username="alice"), dict[str, Any])


def servers() -> Iterator[XferServer]:
    """Without pytest."""
    with XferServer(users={"bob": "pw"}, config={"storage": {"plugin": "memory"}}) as server:
        yield server


async def move(reactor: object, storage: IStorage) -> None:
    """What a program sends and receives with."""
    target, login, work = Target("host", path=b"pub"), Login(code="a"), Work(retries=1)

    def watch(event: TransferEvent) -> None:
        assert_type(event.position, int)

    assert_type(await send(reactor, [b"a"], target, login, work, watch), Summary)
    assert_type(await send_stream(reactor, 0, b"name", target, login), Summary)
    assert_type(await get(reactor, target, login, storage), Summary)
    assert_type([entry.size for entry in await ls(reactor, target, login)], list[int | None])
    await rm(reactor, target, login)
    receiver = receive(reactor, Path("inbox"), on_event=watch)
    assert_type(receiver, Receiver)
    assert_type(receiver.received(), Deferred[Summary])
    assert_type(await send(reactor, [b"a", "b", Path("c")], receiver.target, receiver.login), Summary)
    await receiver.stop()
