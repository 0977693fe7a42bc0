"""Sentences for operators: errors in one line, and warnings about dangerous settings."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import sys
from collections.abc import Iterable
from types import TracebackType

from twisted.logger import Logger
from twisted.python.failure import Failure

from twisted_xfer.app.config import Config, Listen
from twisted_xfer.app.dump import masked
from twisted_xfer.app.listen import UDP_INTERFACE
from twisted_xfer.app.rules import split_endpoint
from twisted_xfer.app.throttle import RATE
from twisted_xfer.app.tls import certificate_warnings
from twisted_xfer.app.verify import strangers
from twisted_xfer.errors import ConfigError, XferError

#: The longest value that is repeated in a message.
MAX_SHOWN = 80
#: What stands for a value that its reader kept back.
NOT_SHOWN = "(not shown)"


def explain(error: BaseException) -> str:
    """``error`` in one line: file, key, value and remedy where it has them."""
    if isinstance(error, ConfigError):
        where = f"{error.file}: " if error.file else ""
        shown = error.value if error.value == NOT_SHOWN else masked(error.value, error.key.rpartition(".")[2])
        value = "" if shown is None else f" = {_shown(shown)}"
        return f"{where}{error.key}{value}: {error.remedy}"
    if isinstance(error, XferError):
        subject = (
            error.subject.decode("utf-8", "backslashreplace")
            if isinstance(error.subject, bytes)
            else error.subject
        )
        if "key" in error.fields:
            file = f"{error.fields['file']}: " if error.fields.get("file") else ""
            return f"{file}{error.fields['key']} = {_shown(subject)}: {error.detail or error.code}"
        return ": ".join(part for part in (subject, error.detail or error.code) if part)
    if isinstance(error, OSError) and error.strerror:
        name = f": {error.filename}" if error.filename else ""
        return f"{error.strerror}{name}"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def explain_failure(failure: Failure) -> str:
    """The error in ``failure`` in one line."""
    return explain(failure.value) if failure.value is not None else str(failure.type)


def _shown(value: object) -> str:
    text = str(value) if isinstance(value, dt.date | dt.time) else repr(value)  # as TOML has them
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."


def install_excepthook() -> None:
    """Make an error of ours that ends the process one line on standard error, not a traceback.

    twistd lets what makeService and privilegedStartService raise end the process; raising
    SystemExit there instead would leave its pid file behind. In the background it is a line in the log.
    """
    before = sys.excepthook
    began = os.getpid()

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if os.getpid() != began:
            # Meanwhile twistd has gone into the background, where nobody reads standard error.
            log = Logger(namespace="xfer")
            if isinstance(error, XferError):
                log.critical("xfer: {reason}", reason=explain(error))
            else:
                log.failure("xfer: the start failed", Failure(error, kind, trace))  # type: ignore[no-untyped-call]
        elif isinstance(error, XferError) and sys.__stderr__ is not None:
            sys.__stderr__.write(f"xfer: {explain(error)}\n")
            sys.__stderr__.flush()
        else:
            before(kind, error, trace)

    sys.excepthook = hook


def is_loopback(listen: Listen) -> bool:
    """Whether only this machine can reach it, as far as the endpoint string tells."""
    kind, *parts = split_endpoint(listen.endpoint)
    if kind == "unix":
        return True
    named = dict(part.split("=", 1) for part in parts if "=" in part)
    interface = named.get("interface", UDP_INTERFACE if kind == "udp" else "")
    try:
        return ipaddress.ip_address(interface).is_loopback
    except ValueError:
        return False


def warnings(config: Config, *, checkers: bool = False, asked: Iterable[object] = ()) -> list[str]:
    """What in ``config`` works but is dangerous, each with the way out.

    ``checkers``: there are others than it names. ``asked`` are those that may be asked for accounts.
    """
    found: list[str] = []
    open_places = [str(listen) for listen in config.listen if not is_loopback(listen)]
    if open_places and not config.tls.certificate:
        found.append(
            f"passwords and files cross the network in clear at {', '.join(open_places)}: "
            "give --tls-certificate and --tls-key"
        )
    elif open_places and not config.require_tls:
        found.append("clients may log in without TLS: give --require-tls")
    ftp = any(listen.protocol == "ftp" for listen in config.listen)
    if ftp and not (config.auth or config.anonymous or checkers):
        found.append("nobody can log in: give --auth users:FILE or --anonymous DIR")
    if any(auth.type == "anonymous" for auth in config.auth):
        found.append(
            "--auth anonymous lets anybody in with the rights of an account: use --anonymous DIR instead"
        )
    if any(auth.type == "memory" for auth in config.auth):
        found.append(
            "--auth memory keeps passwords in clear, on a command line for everybody to read: use --auth users:FILE"
        )
    if config.accounts.get("anonymous", {}).get("rights") is not None:
        found.append(
            "[accounts.anonymous] sets rights: writing by anybody fills disks, check that you mean it"
        )
    if "username" not in config.home and not config.anonymous and not checkers:
        found.append(f"every account shares the home {config.home}: put {{username}} into home to part them")
    found += certificate_warnings(config, dt.datetime.now(dt.UTC))
    if config.symlinks == "follow":
        found.append(
            'symlinks = "follow" lets links lead out of the homes: only for trees that nobody untrusted writes'
        )
    if config.workers > 1:
        found += _of_workers(config)
    found += strangers(config, asked)
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        found.append(
            "running as root, which serving does not need: run it as another user (twistd --uid and --gid)"
        )
    return found


def _of_workers(config: Config) -> list[str]:
    """What several processes make of numbers that are meant for one."""
    found = []
    each = f"each of the {config.workers} workers"
    limits, throttle = config.limits, config.throttle
    if limits.clients or limits.per_address or limits.per_user:
        found.append(f"limits count in {each} alone: divide them")
    if config.bans.after and not config.bans.file:
        found.append(f"{each} counts failed logins and bans alone: give bans.file, which they share")
    for way in ("up", "down"):
        if whole := getattr(throttle, way):
            found.append(f"throttle.{way} is divided: {each} has {whole // config.workers} bytes per second")
        if rate := getattr(throttle, f"account_{way}"):
            most = rate * config.workers
            found.append(
                f"throttle.account_{way} holds in {each}: an account may have {most} bytes per second in all"
            )
        for name, table in config.accounts.items():
            if rate := RATE.parse(table.get(f"rate_{way}", 0)):
                most = rate * config.workers
                found.append(
                    f"accounts.{name}.rate_{way} holds in {each}: it may have {most} bytes per second in all"
                )
    return found
