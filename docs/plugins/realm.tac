"""FTP for users that an existing Twisted realm knows: twistd -ny realm.tac."""

import os

from twisted.application.service import Application
from twisted.cred.checkers import AllowAnonymousAccess, FilePasswordDB
from twisted.cred.portal import Portal
from twisted.internet import reactor
from twisted.protocols.ftp import FTPRealm
from twisted_xfer.accounts.login import Login
from twisted_xfer.accounts.shell_adapter import ShellRealm
from twisted_xfer.app.build import build
from twisted_xfer.app.config import Config, Listen

ENDPOINT = "tcp:2121:interface=127.0.0.1"

# What there was before: a realm of IFTPShell, and its checkers.
theirs = FTPRealm(anonymousRoot="pub", userHome="homes")
checkers = [FilePasswordDB("passwords"), AllowAnonymousAccess()]

daemon = build(Config(listen=(Listen("ftp", ENDPOINT),)), reactor, checkers=checkers)
host = daemon.host
realm = ShellRealm(theirs, events=host.events, limits=host.limits, clock=reactor, random=os.urandom)
host.login = Login(Portal(realm, checkers), host.limits, host.events, reactor, anonymous=True)

application = Application("ftp")
daemon.setServiceParent(application)
