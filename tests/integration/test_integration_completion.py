"""Completion, asked for by pressing Tab in the real shells."""

import os
import pty
import select
import shutil
import subprocess
import sys
import time

import pytest
from interop_support import require

from twisted_xfer.cli.commands import COMMANDS

pytestmark = pytest.mark.integration
#: One Tab starts one process; a loaded machine gets this much.
SECONDS = 60.0


@pytest.fixture
def env(tmp_path):
    """An environment whose ``xfer`` is ours, in a directory with one file."""
    program = tmp_path / "bin/xfer"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nexec {sys.executable} -c "from twisted_xfer.cli.main import main; main()" "$@"\n'
    )
    program.chmod(0o755)
    (tmp_path / "here").mkdir()
    (tmp_path / "here/some_film.mkv").touch()
    path = f"{program.parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "HOME": str(tmp_path), "TERM": "dumb", "PS1": "$ "}


def shell(name):
    require(name)
    return shutil.which(name)


class Terminal:
    """A shell at a terminal of its own."""

    def __init__(self, argv, env, cwd):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, env=env, cwd=cwd, start_new_session=True
        )
        os.close(slave)
        self.seen = b""

    def type(self, text, awaited):
        """Type, and read until ``awaited`` is on the screen."""
        self.seen = b""
        os.write(self.master, text)
        deadline = time.monotonic() + SECONDS
        while awaited not in self.seen:
            left = deadline - time.monotonic()
            assert left > 0, self.seen
            if select.select([self.master], [], [], left)[0]:
                self.seen += os.read(self.master, 4096)

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.master)


START = {
    "bash": (["--norc", "--noprofile", "-i"], b'eval "$(xfer completion bash)"; echo rea""dy\n'),
    "zsh": (
        ["-f", "-i"],
        b'autoload -U compinit; compinit -u -D; eval "$(xfer completion zsh)"; echo rea""dy\n',
    ),
}


@pytest.mark.parametrize("name", list(START))
def test_tab(name, env, tmp_path):
    """Commands, options, their values and paths appear where Tab is pressed."""
    flags, begin = START[name]
    terminal = Terminal([shell(name), *flags], env, tmp_path / "here")
    try:
        terminal.type(begin, b"ready")
        terminal.type(b"xfer comple\t", b"completion ")
        terminal.type(b"\x15xfer receive --onc\t", b"--once ")
        terminal.type(b"\x15xfer send --if-exists refu\t", b"refuse ")
        terminal.type(b"some\t", b"some_film.mkv")
    finally:
        terminal.close()


def test_fish(env, tmp_path):
    """The same of fish, which says what Tab would show."""
    for line, wanted in (
        ("xfer rece", "receive\t"),
        ("xfer receive --onc", "--once\t"),
        ("xfer send --if-exists refu", "refuse"),
        ("xfer send some", "some_film.mkv"),
    ):
        script = f"xfer completion fish | source; complete -C '{line}'"
        done = subprocess.run(
            [shell("fish"), "--no-config", "-c", script],
            env=env, cwd=tmp_path / "here", capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        assert wanted in done.stdout, (line, done.stdout, done.stderr)


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_the_script(name, env):
    """It is printed whole, without the shell being there."""
    done = subprocess.run(
        [sys.executable, "-m", "twisted_xfer.cli", "completion", name],
        env={**env, "PATH": ""}, capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "_XFER_COMPLETE" in done.stdout


def test_commands_are_completed_without_importing_them(env):
    """Tab behind ``xfer`` is quick: no command's module is loaded for it."""
    script = "import sys; from twisted_xfer.cli.main import main\ntry: main()\nfinally: print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**env, "_XFER_COMPLETE": "bash_complete", "COMP_WORDS": "xfer ", "COMP_CWORD": "1"},
        capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    for name in COMMANDS:
        assert f"plain,{name}\n" in done.stdout
    assert "twisted_xfer.cli.cmd_" not in done.stdout
