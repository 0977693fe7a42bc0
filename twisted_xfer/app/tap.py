"""``twistd xfer``: the command line, and the service it makes."""

from __future__ import annotations

import atexit
import os
import sys
from typing import Any, ClassVar

from twisted.application.service import IService
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.strcred import AuthOptionMixin
from twisted.python import usage

from twisted_xfer.app import load, logs
from twisted_xfer.app.build import Daemon, build
from twisted_xfer.app.check import check
from twisted_xfer.app.explain import explain, install_excepthook
from twisted_xfer.app.reactor import chosen_reactor
from twisted_xfer.errors import ConfigError
from twisted_xfer.interfaces import IClientCertificate

#: Flags whose values are numbers in the file.
_NUMBERS = frozenset({"workers", "max-clients", "max-per-address", "max-per-user", "idle-timeout"})


#: The exit code of a daemon that ended since it could not serve.
FAILED = 1


class Options(usage.Options, AuthOptionMixin):
    """The options of ``twistd xfer``; each has its key in the TOML file, and wins over it."""

    synopsis = "[options]"
    longdesc = "Serve files over FTP and whatever other protocols are installed. Every option has its key in the file of --config."
    supportedInterfaces = (IUsernamePassword, IClientCertificate)

    optFlags: ClassVar[list[list[Any]]] = [
        [
            "check",
            None,
            "Load and build everything, print the configuration without secrets, listen nowhere.",
        ],
        ["require-tls", None, "No login and no data in clear."],
    ]
    optParameters: ClassVar[list[list[Any]]] = [
        ["config", "c", None, "TOML file; options given here win over it."],
        ["root", "r", None, "Directory where the homes live; default: the working directory."],
        [
            "anonymous",
            None,
            None,
            "Anonymous read-only access to this directory, relative to the root ('.': the root).",
        ],
        ["home", None, None, "Template of homes; default: {root}/{username}, made at the first login."],
        ["tls-certificate", None, None, "PEM file with the certificate chain."],
        ["tls-client-ca", None, None, "PEM file with the authorities that sign certificates of clients."],
        ["tls-client-crl", None, None, "PEM file with their lists of revoked certificates."],
        [
            "tls-client-certificate",
            None,
            None,
            "ask: clients may show one; require: they must; off. Default: ask, if there is a client CA.",
        ],
        ["tls-key", None, None, "PEM file with the private key."],
        ["passive-ports", None, None, "LOW-HIGH: the ports of passive data connections; default: any."],
        ["public-address", None, None, "IPv4 address or host name to tell passive clients, behind NAT."],
        ["workers", "w", None, "Processes that serve; default: 1."],
        ["log-format", None, None, "text or json; default: text."],
        ["log-file", None, None, "Where diagnostics go; reopened at SIGHUP. Default: as twistd's --logfile."],
        ["xferlog", None, None, "File for one line per transfer, as wu-ftpd wrote it."],
        ["max-clients", None, None, "Connections at once; default: no limit."],
        ["max-per-address", None, None, "Connections at once from one address; default: no limit."],
        ["max-per-user", None, None, "Sessions at once of one account; default: no limit."],
        ["idle-timeout", None, None, "Seconds without a command that end a session; 0: never; default: 300."],
        ["charset", None, None, "Codec of names for accounts that set none; default: utf-8."],
        [
            "uploads",
            None,
            None,
            "staged: appear when whole; in-place: written under their name. Default: staged.",
        ],
        ["symlinks", None, None, "inside: resolved below the home; none: refused; follow. Default: inside."],
    ]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._lists: dict[str, list[str]] = {}

    def opt_listen(self, place: str) -> None:
        """PROTOCOL[@ACCOUNT]=ENDPOINT, repeatable: ftp=tcp:2121:interface=127.0.0.1. Default: ftp=tcp:2121 and xfer=tcp:5001."""
        self._lists.setdefault("listen", []).append(place)

    opt_l = opt_listen

    def opt_auth(self, description: str) -> None:
        """TYPE[:ARGUMENT], repeatable, asked in order: users:FILE, unix, file:... (see --help-auth)."""
        self._lists.setdefault("auth", []).append(description)

    def flags(self) -> dict[str, object]:
        """What was given, keyed as load.FLAG_KEYS, in the types of the file."""
        given: dict[str, object] = dict(self._lists)
        for name in load.FLAG_KEYS:
            value = self.get(name)
            if value is None or value == 0:
                continue
            given[name] = (
                _number(value) if name in _NUMBERS else bool(value) if name == "require-tls" else value
            )
        return given

    def postOptions(self) -> None:
        """Refuse what is wrong in itself; with ``--check``, check everything and end.

        Raises:
            UsageError: a wrong value, with the remedy.
        """
        try:
            load.read_flags(self.flags())
        except ConfigError as error:
            raise usage.UsageError(explain(error)) from error
        if self["check"]:
            raise SystemExit(check(self["config"] or "", self.flags(), sys.stdout, sys.stderr))
        self._take_over_logging()

    def _take_over_logging(self) -> None:
        """Let twistd use our observer, unless it was told where to log."""
        twistd = getattr(self, "parent", None)
        if twistd is not None and not any(twistd.get(name) for name in ("logger", "logfile", "syslog")):
            twistd["logger"] = logs.CHOSEN_NAME


def _number(text: str) -> object:
    """``text`` as a number, or as it is, for the rule to refuse."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def makeService(options: Options) -> IService:
    """The daemon that ``options`` ask for.

    Raises:
        ConfigError: a wrong configuration file, or something that it names.
        PluginError: a plugin that is missing or broken.
    """
    reactor = chosen_reactor()
    install_excepthook()
    path, flags = options["config"] or "", options.flags()
    twistd = getattr(options, "parent", None) or {}
    detached = not twistd.get("nodaemon", True)
    with load.located(path, flags):
        config = load.load(path, flags)
        daemon = build(config, reactor)
        daemon.source = path, flags
        logs.CHOSEN.observer = observer = logs.make_observer(config.log, detached=detached)
    if daemon.workers is not None and detached:
        daemon.workers.log_file = os.path.abspath(logs.DETACHED_FILE)
    # First, so that the lines about the others stand in the new file.
    daemon.reloads.add("log file", observer.reopen, first=True)
    # twistd ends with 0 whatever happened; what it does at its own end, it has done by then.
    atexit.register(_tell_failure, daemon)
    return daemon


def _tell_failure(daemon: Daemon) -> None:
    """End the process with 1 if ``daemon`` could not serve, for a service manager to see."""
    if daemon.failed:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(FAILED)
