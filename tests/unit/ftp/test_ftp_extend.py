"""Commands that plugins add to FTP, in whole sessions in memory."""

from __future__ import annotations

import attrs
import pytest
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted_xfer.errors import ConfigError, NotFound, PluginError
from twisted_xfer.interfaces import API_VERSION, Account, ICommandPlugin, Right
from twisted_xfer.interfaces.answers import resolve
from twisted_xfer.protocols.ftp.extend import Verb, multiline, reply
from twisted_xfer.protocols.ftp.options import FTPOptions
from twisted_xfer.protocols.ftp.plugin import plugin as ftp
from twisted_xfer.testing.host import MemoryHost
from twisted_xfer.testing.protocols import connect


@attrs.frozen
class Options:
    word: str = "hello"


@implementer(ICommandPlugin)
class Plugin:
    """A command plugin with the rows of a test."""

    name = "extra"
    api_version = API_VERSION
    options = Options

    def __init__(self, make):
        self.make = make

    def describe(self):
        return "rows of a test"

    def rows(self, options, host):
        return self.make(options, host)


class Session:
    """A client of a host whose FTP has the rows of a test."""

    def __init__(self, make, commands=("extra",), **host):
        self.host = MemoryHost({"alice": "secret"}, commands=[Plugin(make)], **host)
        self.connection = connect(ftp.stream_factory(FTPOptions(commands=commands), self.host))
        self.connection.received()

    def say(self, *lines):
        answer = b""
        for line in lines:
            answer += self.connection.send(line + b"\r\n")
            self.host.reactor.settle()
        return answer + self.last()

    def last(self):
        return self.connection.received()

    def login(self):
        assert b"230 " in self.say(b"USER alice", b"PASS secret")
        return self


def rows(*pairs):
    return lambda options, host: pairs


def fixed(text):
    return lambda session, argument: reply(200, text)


def test_plugin_is_what_its_interface_says():
    """The plugin of these tests is one that the registry would take."""
    verifyObject(ICommandPlugin, Plugin(rows()))


def test_command_with_options_feature_and_help():
    """A row is dispatched, listed in FEAT and HELP, has its options, and its arity holds."""

    def make(options, host):
        yield (
            Verb(b"XGRT", "required", feat=b"XGRT", help="XGRT <name>: greet", raw=True),
            lambda session, argument: reply(200, options.word.encode() + b" " + argument),
        )

    client = Session(make, [{"plugin": "extra", "word": "good day"}]).login()
    assert client.say(b"xgrt bob") == b"200 good day bob\r\n"
    assert client.say(b"XGRT").startswith(b"501 ")
    assert b"\r\n XGRT\r\n" in client.say(b"FEAT")
    assert b"XGRT" in client.say(b"HELP")
    assert client.say(b"HELP XGRT") == b"214 XGRT <name>: greet\r\n"


def test_commands_wait_for_the_login():
    """The default rule is after the login; others are taken as they stand."""
    made = rows((Verb(b"XAFT"), fixed("after")), (Verb(b"XANY", login="any"), fixed("any")))
    client = Session(made)
    assert client.say(b"XAFT").startswith(b"530 ")
    assert client.say(b"XANY") == b"200 any\r\n"
    assert client.login().say(b"XAFT") == b"200 after\r\n"


def test_later_answers_and_preliminary_ones():
    """A Deferred and a coroutine are waited for, in order, and say() comes before them."""
    waiting = Deferred()

    async def slow(session, argument):
        session.say(reply(150, "wait"))
        return await waiting

    client = Session(
        rows((Verb(b"XSLO"), slow), (Verb(b"XNOW"), lambda s, a: succeed(reply(200, "now"))))
    ).login()
    assert client.say(b"XSLO") == b"150 wait\r\n"
    assert client.say(b"XNOW") == b""
    waiting.callback(multiline(200, "first", ["second"]))
    assert client.last() == b"200-first\r\n second\r\n200 End.\r\n200 now\r\n"


def test_what_is_said_late_is_sent_at_once():
    """After a wait nothing else would send a preliminary reply before the last one."""
    first, second = Deferred(), Deferred()

    async def slow(session, argument):
        await first
        session.say(reply(150, "going on"))
        return await second

    client = Session(rows((Verb(b"XSLO"), slow))).login()
    assert client.say(b"XSLO") == b""
    first.callback(None)
    assert client.last() == b"150 going on\r\n"
    second.callback(reply(200, "done"))
    assert client.last() == b"200 done\r\n"


def test_errors_get_their_reply():
    """Errors of the family by the one table, others as 451 with a log entry, and the session goes on."""

    def missing(session, argument):
        raise NotFound(b"/secret/place")

    def broken(session, argument):
        raise ZeroDivisionError("secret")

    client = Session(rows((Verb(b"XMIS"), missing), (Verb(b"XBRK"), broken))).login()
    assert client.say(b"XMIS").startswith(b"550 ")
    answer = client.say(b"XBRK")
    assert answer.startswith(b"451 ")
    assert b"secret" not in answer
    assert any(entry.get("verb") == "XBRK" for entry in client.host.logged)
    assert client.say(b"NOOP").startswith(b"200 ")


def test_files_go_through_the_avatar():
    """A handler has the rights of the account and nothing more, and paths below its directory."""

    async def make_directory(session, argument):
        path = session.path(argument)
        await resolve(session.user().make_directory(path))
        return reply(257, session.shown(path))

    row = (Verb(b"XDIR", "required", right="mkdir", path=True), make_directory)
    client = Session(rows(row)).login()
    client.say(b"MKD sub", b"CWD sub")
    assert client.say(b"XDIR deep") == b"257 /sub/deep\r\n"
    reader = {"alice": Account("alice", rights=frozenset({Right.LIST}))}
    assert Session(rows(row), accounts=reader).login().say(b"XDIR a").startswith(b"550 ")


def test_site_command():
    """SITE NAME is dispatched, told in SITE HELP, has its arity, and is no verb of its own."""
    row = (Verb(b"SITE GREET", "required", raw=True, help="SITE GREET <name>"), lambda s, a: reply(200, a))
    client = Session(rows(row)).login()
    assert client.say(b"SITE greet bob") == b"200 bob\r\n"
    assert client.say(b"SITE GREET").startswith(b"501 ")
    assert b" SITE GREET <name>\r\n" in client.say(b"SITE HELP")
    assert client.say(b"GREET bob").startswith(b"500 ")


def test_alias():
    """An alias runs the handler of its verb."""
    client = Session(rows((Verb(b"XONE"), fixed("one")), (Verb(b"XALS", alias=b"XONE"), None))).login()
    assert client.say(b"XALS") == b"200 one\r\n"


def test_only_where_it_is_configured():
    """Without its name in the options a plugin adds nothing."""
    client = Session(rows((Verb(b"XONE"), fixed("one"))), commands=()).login()
    assert client.say(b"XONE").startswith(b"500 ")


@pytest.mark.parametrize(
    "pair",
    [
        (Verb(b"STOR"), fixed("")),
        (Verb(b"SITE CHMOD"), fixed("")),
        (Verb(b"lower"), fixed("")),
        (Verb(b"SITE "), fixed("")),
        (Verb(b"A" * 17), fixed("")),
        (Verb(b"XALS", alias=b"NONE"), None),
        (Verb(b"XALS", alias=b"NOOP"), fixed("")),
        (Verb(b"SITE ALS", alias=b"NOOP"), None),
        (Verb(b"XNON"), None),
        (Verb(b"XRGT", right="fly"), fixed("")),
        (b"XRAW", fixed("")),
        Verb(b"XONE"),
        None,
    ],
    ids=repr,
)
def test_rows_that_are_none_stop_the_start(pair):
    """No row takes a command that is there, and each mistake names the plugin."""
    with pytest.raises(PluginError) as caught:
        Session(rows(pair))
    assert caught.value.subject == "extra"


@pytest.mark.parametrize(
    ("commands", "kind"),
    [
        (("none",), PluginError),
        (({"word": "x"},), ConfigError),
        (({"plugin": "extra", "wrod": "x"},), ConfigError),
    ],
)
def test_entries_that_name_nothing_stop_the_start(commands, kind):
    """A missing plugin, an entry without one, and an unknown option."""
    with pytest.raises(kind):
        Session(rows(), commands=commands)
