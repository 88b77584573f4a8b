"""`fanout view` as a process on free ports, and its API."""

import json
import queue
import re
import subprocess
import threading
import urllib.request

import child_process
from fanout_up import BINARY

# Upper bounds in seconds, far above what a slow machine needs.
START = 30
REQUEST = 10
END = 30


class View:
    """A running `fanout view`. A thread reads its standard output to the end."""

    def __init__(self):
        free = [f"--{flag}=127.0.0.1:0" for flag in ("listen", "otlp-grpc", "otlp-http")]
        self.process = child_process.start([BINARY, "view", *free], stdout=subprocess.PIPE, text=True)
        self._lines = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self.page = self._match(r"open (http://\S+)\n")[1]
            self.grpc, self.http = self._match(r"send OTLP to (\S+) \(gRPC\) or (\S+) \(HTTP\).*\n").groups()
        except BaseException:
            self.process.kill()
            raise

    def _read(self):
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _match(self, pattern: str) -> re.Match:
        """Matches the next line; an empty one is the end of the output."""
        line = self._lines.get(timeout=START)
        found = re.fullmatch(pattern, line)
        assert found, f"{line!r} is not {pattern!r}"
        return found

    def get(self, path: str) -> dict:
        with urllib.request.urlopen(self.page + path, timeout=REQUEST) as response:
            return json.load(response)

    def stop(self) -> int:
        """Ends it. Returns the exit code."""
        self.process.terminate()
        try:
            return self.process.wait(END)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
