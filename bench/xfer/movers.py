"""Who moves files: how each is obtained, and how its two ends are started.

Each in its cheapest honest configuration: the receiver stores files in a directory in memory, keeps modification times where it
can, and checks what it can check.  Nothing is compressed.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.goals import OURS
from bench.isolate import UID, USER
from bench.packages import CACHE, PeerError, Unpacked
from bench.peers import PYTHON, REPOSITORY, Launch

PASSWORD = "bench"
WORMHOLE_PACKAGES = ("magic-wormhole", "magic-wormhole-mailbox-server", "magic-wormhole-transit-relay")
PIP_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Place:
    """One mover's ports and folders: `store` is where its receiver puts files, `state` is for its own."""

    port: int
    store: Path
    state: Path

    @property
    def source(self) -> Path:
        """Return the folder that holds what is sent."""
        return self.store.parent / "source"


@dataclass(frozen=True, slots=True)
class Mover:
    """`daemons` run through all rounds, the last of them counts as the receiver; `receive` is started for each sample.

    `send` gets what is to be sent: a name below `source`, a file or a folder.
    """

    name: str
    note: str
    obtain: Callable[[], str]
    send: Callable[[Place, str], Launch]
    daemons: Callable[[Place], list[Launch]] | None = None
    receive: Callable[[Place, str], Launch] | None = None
    #: TCP ports that listen, counted from the place's own, before a sample may begin.
    listening: tuple[int, ...] = (0,)


def _python_path() -> dict[str, str]:
    return {"PYTHONPATH": str(REPOSITORY)}


# --- ours ------------------------------------------------------------------------------------------------------------


def _ours_version() -> str:
    from bench.peers import _ours_version as version

    return version()


def _ours_daemons(*, secure: bool) -> Callable[[Place], list[Launch]]:
    def daemons(place: Place) -> list[Launch]:
        command = [str(Path(PYTHON).with_name("twistd")), "--nodaemon", "--pidfile=", "xfer"]
        command += ["--root", str(place.store), "--home", "{root}"]
        command += ["--listen", f"xfer=tcp:{place.port}:interface=127.0.0.1"]
        command += ["--auth", f"memory:bench:{PASSWORD}"]
        if secure:
            pem = _certificate(place.state)
            command += ["--tls-certificate", str(pem), "--tls-key", str(pem)]
        return [Launch(command, _python_path())]

    return daemons


def _certificate(state: Path) -> Path:
    pem = state / "tls.pem"
    if not pem.exists():
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        command += ["-nodes", "-days", "30", "-subj", "/CN=bench", "-keyout", str(pem), "-out", f"{pem}.crt"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        pem.write_bytes(pem.read_bytes() + Path(f"{pem}.crt").read_bytes())
    return pem


def _ours_send(*, secure: bool, more: tuple[str, ...] = ()) -> Callable[[Place, str], Launch]:
    def send(place: Place, what: str) -> Launch:
        command = [str(Path(PYTHON).with_name("xfer")), "send", str(place.source / what)]
        command += [f"xfer://bench@127.0.0.1:{place.port}/", "--accept-new" if secure else "--plain", *more]
        own = {"XFER_PASSWORD": PASSWORD, "XDG_DATA_HOME": str(place.state), "HOME": str(place.state)}
        return Launch(command, {**_python_path(), **own})

    return send


# --- rsync -----------------------------------------------------------------------------------------------------------


def _unpacked(name: str) -> Callable[[], str]:
    def obtain() -> str:
        package = Unpacked(name)
        package.obtain()
        return package.version

    return obtain


def _rsync_daemons(place: Place) -> list[Launch]:
    config = place.state / "rsyncd.conf"
    config.write_text(
        f"port = {place.port}\naddress = 127.0.0.1\nuse chroot = no\n"
        f"[store]\npath = {place.store}\nread only = no\n"
        + (f"uid = {os.geteuid()}\ngid = {os.getegid()}\n" if os.geteuid() == 0 else "")
    )
    package = Unpacked("rsync")
    command = [str(package.path("usr/bin/rsync")), "--daemon", "--no-detach", "--config", str(config)]
    return [Launch(command, package.environment())]


def _rsync_send(place: Place, what: str) -> Launch:
    package = Unpacked("rsync")
    command = [str(package.path("usr/bin/rsync")), "-a", str(place.source / what)]
    return Launch([*command, f"rsync://127.0.0.1:{place.port}/store/"], package.environment())


# --- scp -------------------------------------------------------------------------------------------------------------


def _sshd(place: Place) -> list[Launch]:
    package = Unpacked("openssh")
    state = place.state
    for name in ("host", "user"):
        if not (state / name).exists():
            keygen = [
                str(package.path("usr/bin/ssh-keygen")),
                "-q",
                "-t",
                "ed25519",
                "-N",
                "",
                "-f",
                str(state / name),
            ]
            subprocess.run(keygen, check=True, capture_output=True, timeout=60, env=package.environment())
    keys = state / "authorized"
    shutil.copyfile(state / "user.pub", keys)
    config = state / "sshd_config"
    config.write_text(
        f"ListenAddress 127.0.0.1:{place.port}\nHostKey {state}/host\nAuthorizedKeysFile {keys}\nPidFile none\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nUseDNS no\nSubsystem sftp internal-sftp\nLogLevel ERROR\n"
    )
    command = [str(package.path("usr/sbin/sshd")), "-D", "-e", "-f", str(config)]
    if os.geteuid() == 0:
        # Not as root it needs no account and no folder of its own, and serves only its own user.
        for path in (place.store, state / "host"):
            os.chown(path, UID, UID)
        command = ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", *command]
    return [Launch(command, package.environment())]


def _scp(*ciphers: str) -> Callable[[Place, str], Launch]:
    def send(place: Place, what: str) -> Launch:
        package = Unpacked("openssh")
        user = USER if os.geteuid() == 0 else str(os.environ.get("USER", ""))
        command = [str(package.path("usr/bin/scp")), "-S", str(package.path("usr/bin/ssh"))]
        command += ["-q", "-p", "-r", "-F", "none", "-P", str(place.port), "-i", str(place.state / "user")]
        command += [
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
            "-o",
            "LogLevel=ERROR",
        ]
        command += [word for cipher in ciphers for word in ("-c", cipher)]
        return Launch(
            [*command, str(place.source / what), f"{user}@127.0.0.1:{place.store}/"], package.environment()
        )

    return send


# --- nc --------------------------------------------------------------------------------------------------------------


def _nc(place: Place, what: str, *, sender: bool) -> Launch:
    package = Unpacked("netcat")
    nc = shlex.quote(str(package.path("bin/nc.openbsd")))
    source, store = shlex.quote(str(place.source)), shlex.quote(str(place.store))
    folder = (place.source / what).is_dir()
    if sender:
        feed = f"tar -C {source} -cf - {what} |" if folder else ""
        text = f"{feed} {nc} -N 127.0.0.1 {place.port}" + ("" if folder else f" < {source}/{what}")
    else:
        text = f"{nc} -l 127.0.0.1 {place.port} < /dev/null" + (
            f" | tar -C {store} -xf -" if folder else f" > {store}/{what}"
        )
    return Launch(["/bin/sh", "-c", text], package.environment())


# --- magic-wormhole --------------------------------------------------------------------------------------------------


def _wormhole_home() -> Path:
    return (CACHE / "wormhole").resolve()


def _wormhole_obtain() -> str:
    home = _wormhole_home()
    stamp = home / "version"
    if not stamp.exists():
        shutil.rmtree(home, ignore_errors=True)
        pip = [str(home / "bin/python"), "-m", "pip", "install", "--quiet", *WORMHOLE_PACKAGES]
        for command in ([sys.executable, "-m", "venv", str(home)], pip):
            done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_SECONDS, check=False)
            if done.returncode:
                raise PeerError(f"{command[1:4]}: {(done.stderr.strip() or 'failed').splitlines()[-1]}")
        shown = subprocess.run(
            [str(home / "bin/wormhole"), "--version"], capture_output=True, text=True, timeout=60, check=True
        )
        stamp.write_text(shown.stdout.split()[-1] + "\n")
    return stamp.read_text().strip()


def _relays(place: Place) -> list[Launch]:
    twist = str(_wormhole_home() / "bin/twist")
    mailbox = f"--port=tcp:{place.port}:interface=127.0.0.1"
    transit = f"--port=tcp:{place.port + 1}:interface=127.0.0.1"
    own = {"HOME": str(place.state)}
    return [
        Launch([twist, "wormhole-mailbox", mailbox, "--channel-db", str(place.state / "relay.sqlite")], own),
        Launch([twist, "transitrelay", transit], own),
    ]


def _wormhole(place: Place, *arguments: str) -> Launch:
    command = [str(_wormhole_home() / "bin/wormhole")]
    command += ["--relay-url", f"ws://127.0.0.1:{place.port}/v1"]
    command += ["--transit-helper", f"tcp:127.0.0.1:{place.port + 1}", *arguments]
    return Launch(command, {"HOME": str(place.state)})


#: Given, so that nobody has to read it off the sender's screen.
CODE = "7-bench-mark"

PLAIN = (
    Mover(
        OURS, "`xfer send --plain` to `twistd xfer`, BLAKE3, staged", _ours_version,
        _ours_send(secure=False), _ours_daemons(secure=False),
    ),
    Mover("rsync", "`rsync -a` to `rsync --daemon`: the file's digest is compared", _unpacked("rsync"),
          _rsync_send, _rsync_daemons),
    Mover(
        "nc", "`nc`, for folders between two `tar`: nothing is checked", _unpacked("netcat"),
        lambda place, what: _nc(place, what, sender=True),
        receive=lambda place, what: _nc(place, what, sender=False),
    ),
)  # fmt: skip
SECURE = (
    Mover(
        OURS, "`xfer send` to `twistd xfer`, TLS 1.3, BLAKE3, staged", _ours_version,
        _ours_send(secure=True), _ours_daemons(secure=True),
    ),
    Mover("scp-aes128-gcm", "`scp -c aes128-gcm@openssh.com` to a private sshd", _unpacked("openssh"),
          _scp("aes128-gcm@openssh.com"), _sshd),
    Mover("scp", "`scp` with its default cipher", _unpacked("openssh"), _scp(), _sshd),
    Mover(
        "magic-wormhole", "`wormhole send` to `wormhole receive`, relay on this machine (its CPU is not counted)",
        _wormhole_obtain,
        lambda place, what: _wormhole(place, "send", "--no-qr", "--hide-progress", "--code", CODE, str(place.source / what)),
        _relays,
        lambda place, what: _wormhole(
            place, "receive", "--accept-file", "--hide-progress", "-o", str(place.store / what), CODE
        ),
        (0, 1),
    ),
)  # fmt: skip
