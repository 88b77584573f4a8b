"""A real Prometheus with deploy/metrics/prometheus.yml, which scrapes processes on this machine."""

import json
import shutil
import subprocess
import time
import urllib.parse
import urllib.request
from pathlib import Path

import child_process
import yaml
from fanout_up import START
from metrics_files import METRICS
from service import free_port

# Short, so that tests need not wait long.
EVERY = "500ms"
# No proxy: the server is on this machine.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get(url: str) -> str:
    with OPENER.open(url, timeout=10) as reply:
        return reply.read().decode()


class Prometheus:
    """A running Prometheus, whose files are all in the directory."""

    def __init__(self, directory: Path, targets: dict[str, str]):
        config = yaml.safe_load((METRICS / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": EVERY, "scrape_timeout": EVERY, "evaluation_interval": EVERY}
        (job,) = config["scrape_configs"]
        # No DNS server knows the names.
        del job["dns_sd_configs"], job["relabel_configs"]
        job["static_configs"] = [{"targets": [at], "labels": {"service": service}} for service, at in targets.items()]
        shutil.copy(METRICS / "alerts.yml", directory)
        (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
        self._log = directory / "log"
        self.url = f"http://127.0.0.1:{free_port()}"
        with self._log.open("wb") as log:
            self.process = child_process.start_other(
                [
                    "prometheus",
                    f"--config.file={directory}/prometheus.yml",
                    f"--storage.tsdb.path={directory}/data",
                    f"--web.listen-address={self.url.removeprefix('http://')}",
                ],
                stdout=log,
                stderr=log,
            )

    def ask(self, path: str, **parameters: str):
        """The data of a reply of the HTTP API."""
        query = urllib.parse.urlencode(parameters)
        return json.loads(get(f"{self.url}/api/v1/{path}?{query}"))["data"]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """The labels and the value of each series."""
        result = self.ask("query", query=expression)["result"]
        return [(series["metric"], float(series["value"][1])) for series in result]

    def value(self, expression: str) -> float | None:
        """The value of the only series, or None if there is no series."""
        found = self.query(expression)
        assert len(found) <= 1, found
        return found[0][1] if found else None

    def wait_for(self, expression: str, timeout: float = START) -> list[tuple[dict[str, str], float]]:
        """Waits until an expression has a result, and returns it. Polls, because Prometheus sends no notification."""
        until = time.monotonic() + timeout
        while True:
            assert self.process.poll() is None, self._log.read_text()[-2000:]
            try:
                if found := self.query(expression):
                    return found
            except OSError:
                pass  # not listening yet
            assert time.monotonic() < until, f"no {expression} in {timeout} s; {self._log.read_text()[-1000:]}"
            time.sleep(0.1)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
