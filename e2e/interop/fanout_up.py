"""`fanout up` as a process: where its services are, what it logs, how it ends."""

import functools
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import child_process

REPOSITORY = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("FANOUT", REPOSITORY / "target/debug/fanout")).absolute()

# The delay of the backends of the shared `fanout up`, in seconds.
DELAY = 0.3

# The users of every new database.
SEEDED = [
    "ada",
    "alan",
    "barbara",
    "donald",
    "edsger",
    "grace",
    "katherine",
    "konrad",
    "kristen",
    "margaret",
    "niklaus",
    "radia",
]

# Upper bounds, far above what a slow machine needs.
START = 30.0
END = 30.0
LOG = 10.0


@functools.cache
def services() -> list[str]:
    """The services of the binary under test, in the order of its table; the gateway is the first."""
    assert BINARY.exists(), f"there is no {BINARY}: build it with `cargo build`, or set FANOUT to the path of another"
    shown = subprocess.run([BINARY, "--help"], capture_output=True, text=True, check=True, timeout=START).stdout
    return re.findall(r"^  ([a-z-]+) +Runs the ", shown, re.MULTILINE)


def backends() -> list[str]:
    """The services that the gateway calls."""
    return [service for service in services() if service != "gateway"]


class Up:
    """A running `fanout up --json`. Threads read its standard output and standard error to the end."""

    def __init__(
        self, data_dir: Path, *flags: str, ports: dict[str, int] | None = None, environment: dict[str, str] | None = None
    ):
        all_ports = dict.fromkeys(services(), 0) | (ports or {})
        port_flags = [f"--port={service}={port}" for service, port in all_ports.items()]
        self.process = child_process.start(
            [BINARY, "up", "--json", "--no-view", *port_flags, "--data-dir", data_dir, *flags],
            environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[dict] = []  # standard output, each line parsed
        self.errors: list[str] = []  # standard error
        self._changed = threading.Condition()
        self._open = 2
        for stream, keep in [
            (self.process.stdout, lambda line: self.lines.append(json.loads(line))),
            (self.process.stderr, lambda line: self.errors.append(line.rstrip("\n"))),
        ]:
            threading.Thread(target=self._read, args=(stream, keep), daemon=True).start()

    def _read(self, stream, keep: Callable[[str], None]):
        try:
            for line in stream:
                with self._changed:
                    keep(line)
                    self._changed.notify_all()
        finally:
            with self._changed:
                self._open -= 1
                self._changed.notify_all()

    def wait_line(self, timeout: float = LOG, **fields) -> dict:
        """Waits for a line of standard output with these fields, and returns the first."""
        found = lambda: next((line for line in self.lines if fields.items() <= line.items()), None)
        with self._changed:
            self._changed.wait_for(lambda: found() or self._open == 0, timeout)
            line = found()
            assert line, f"no line with {fields} in {timeout} s; stdout: {self.lines[-20:]}, stderr: {self.errors}"
            return line

    def wait_up(self) -> dict:
        """Waits until all services are healthy, and returns the line that reports it."""
        return self.wait_line(START, message="up")

    def _of(self, service: str) -> dict:
        return next(running for running in self.wait_up()["services"] if running["service"] == service)

    def address(self, service: str) -> str:
        return self._of(service)["address"]

    def pid(self, service: str) -> int:
        return self._of(service)["pid"]

    def pids(self) -> list[int]:
        return [running["pid"] for running in self.wait_up()["services"]]

    def send_signal(self, number: signal.Signals):
        self.process.send_signal(number)

    def wait_end(self) -> int:
        """Waits until it has ended and all of its output is read, and returns the exit code."""
        until = time.monotonic() + END
        code = self.process.wait(END)
        with self._changed:
            is_read = self._changed.wait_for(lambda: self._open == 0, until - time.monotonic())
            assert is_read, "another process still has the output of the ended `up` open"
        return code

    def stop(self):
        """Ends it in whatever state it is."""
        if self.process.poll() is None:
            self.send_signal(signal.SIGTERM)
        try:
            self.wait_end()
        except (subprocess.TimeoutExpired, AssertionError):
            self.process.kill()
            raise


def is_running(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def wait_gone(pids: list[int], timeout: float = END):
    """Waits until the processes have ended. Polls, because only a parent is notified of a process's end."""
    until = time.monotonic() + timeout
    while left := [pid for pid in pids if is_running(pid)]:
        assert time.monotonic() < until, f"processes {left} still run after {timeout} s"
        time.sleep(0.01)
