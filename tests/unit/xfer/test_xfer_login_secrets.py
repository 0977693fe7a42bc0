"""What a login must not leave anywhere: passwords, tokens and hashes."""

import io

from twisted.logger import FileLogObserver, LogLevel, formatEventAsClassicLogText
from twisted.python.failure import Failure
from xfer_logins import HASH, SECRET, TLS, login

from twisted_xfer.accounts.users_file import UsersFile
from twisted_xfer.protocols.xfer.mechanisms import PLAIN
from twisted_xfer.protocols.xfer.options import XferOptions
from twisted_xfer.protocols.xfer.wire import messages as m


def test_secrets_are_nowhere(site):
    """Not in logs, events, representations and tracebacks of good logins, wrong ones and broken checkers."""

    class Broken:
        credentialInterfaces = (*UsersFile.credentialInterfaces,)

        def requestAvatarId(self, credentials):
            raise ValueError(credentials)

    seen = io.StringIO()
    observe = FileLogObserver(seen, lambda event: formatEventAsClassicLogText(event) or "")
    logins = [login(), login(mechanisms=(PLAIN,)), login(token=site.token), login(password="wr0ng")]
    for entrance in (site.host.login, site.entrance([Broken()])):
        site.host.login = entrance
        site.net.factory.options = XferOptions(scram="always")
        for mine in logins:
            seen.write(repr(mine))
            answer = site.call(mine, TLS)
            seen.write(f"{answer!r} {answer}")
            if isinstance(answer, Exception):
                Failure(answer).printDetailedTraceback(seen)
            for line in site.net.lines:
                seen.write(repr([line.listener.protocol._proof, line.caller.protocol._exchange]))
                if line.caller.protocol._exchange is not None:
                    seen.write(repr(line.caller.protocol._exchange.auth))
    for event in site.host.logged:
        observe({"log_level": LogLevel.info, **event})
    seen.write(repr(site.host.recorder.events))
    text = seen.getvalue()
    assert "checker" in text
    for secret in (SECRET, "wr0ng", site.token, HASH):
        assert secret not in text
        assert secret.encode().hex() not in text


def test_messages_show_no_secret():
    """Not what begins a login and not what answers."""
    auth = m.Auth(mechanism="TOKEN", hello_digest=bytes(32), password=SECRET, data=b"tok", username="alice")
    assert SECRET not in repr(auth)
    assert "tok" not in repr(auth)
    assert "proof" not in repr(m.Response(data=b"proof"))
