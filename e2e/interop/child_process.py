"""Processes that end when the process of the tests has ended, whichever way."""

import os
import subprocess

# `fanout` ends when the last writer of this pipe has ended: see cli/src/parent_process.rs. Only this process has the write end.
_READ, _WRITE = os.pipe()


def start(command: list, environment: dict[str, str] | None = None, **keywords) -> subprocess.Popen:
    """Starts a `fanout` without standard input. The environment is added to that of the tests, without its OTEL_ variables."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    env = inherited | (environment or {}) | {"FANOUT_PARENT_PIPE": f"/dev/fd/{_READ}"}
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, env=env, pass_fds=[_READ], **keywords)


def start_other(command: list, **keywords) -> subprocess.Popen:
    """Starts a program that knows nothing of the pipe. It is killed with the thread that calls this, which pytest has for all tests."""
    return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", *command], **({"stdin": subprocess.DEVNULL} | keywords))
