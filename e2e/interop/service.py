"""One service as a process on a free port, which can be ended and started again."""

import signal
import socket
import subprocess
import time
from pathlib import Path

import child_process
from fanout_up import BINARY, END, START


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def own_flags(name: str, directory: Path) -> tuple[str, ...]:
    """The flags that keep a service's files in a test's directory."""
    return ("--database", f"sqlite:{directory}/users.db", "--seed") if name == "user-service" else ()


def url_flags(backends: "dict[str, list[Service]]") -> list[str]:
    """The gateway's flags for the URLs of the replicas of each backend."""
    urls = lambda replicas: ",".join(f"http://{replica.address}" for replica in replicas)
    return [text for name, replicas in backends.items() for text in (f"--{name}", urls(replicas))]


class Service:
    """A service that keeps its address when it is restarted."""

    def __init__(self, name: str, log: Path, *flags: str, env: dict[str, str] | None = None):
        self.name, self.flags, self.log, self.env = name, flags, log, env or {}
        self.address = f"127.0.0.1:{free_port()}"
        self.process: subprocess.Popen | None = None

    def start(self):
        """Starts it, and waits until it is serving."""
        self._begun = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            command = [BINARY, self.name, "--listen", self.address, "--reflection", *self.flags]
            self.process = child_process.start(command, self.env, stdout=log, stderr=log)
        until = time.monotonic() + START
        while not self.is_serving():
            assert self.process.poll() is None, self.log.read_text()[-2000:]
            assert time.monotonic() < until, self.log.read_text()[-2000:]
        return self

    def is_serving(self) -> bool:
        check = [BINARY, self.name, "healthcheck", "--listen", self.address]
        return subprocess.run(check, capture_output=True, timeout=START).returncode == 0

    def wait_served(self, requests: int):
        """Waits until it has finished this many requests since its start. Polls its log."""
        until = time.monotonic() + START
        while self.served() < requests:
            assert time.monotonic() < until, f"{self.name} at {self.address} finished {self.served()} requests"
            time.sleep(0.01)

    def served(self) -> int:
        """The number of requests that it has finished since its start."""
        with self.log.open("rb") as log:
            log.seek(self._begun)
            return log.read().count(b"request finished")

    def send_signal(self, number: signal.Signals):
        self.process.send_signal(number)

    def stop(self) -> int:
        """Ends it with SIGTERM, and returns its exit code."""
        self.send_signal(signal.SIGTERM)
        return self.process.wait(END)

    def kill(self):
        """Ends it in whatever state it is."""
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(END)

    def memory(self, line: str) -> int:
        """A line of /proc/…/status in bytes, such as VmHWM, the peak of the resident memory."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(text.split()[1]) * 1024 for text in status.splitlines() if text.startswith(f"{line}:"))
