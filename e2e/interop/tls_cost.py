"""Measures the processor time that a request costs the services: without TLS, with TLS, and with mutual TLS.

    FANOUT=target/release/fanout python3 e2e/interop/tls_cost.py [OTHER_BINARY...]    # ROUNDS=15 REQUESTS=2000

Rounds are interleaved, and each is compared with the plain one beside it, so that what else the machine does counts little.
The processor time is the kernel's, of the gateway and its backends; the caller's is not in it. Other binaries are measured
without TLS. Handshakes are a few of thousands of requests.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import child_process
from fanout_up import BINARY, START

ROUNDS = int(os.environ.get("ROUNDS", "15"))
REQUESTS = int(os.environ.get("REQUESTS", "2000"))
CALLERS = "16"


class Service:
    """A service on a free port. Its log is a file."""

    def __init__(self, binary: Path, directory: Path, name: str, *flags):
        self.log = directory / f"{name}.log"
        command = [binary, name, "--listen", "127.0.0.1:0", "--log-format", "json", *map(str, flags)]
        with self.log.open("wb") as log:
            self.process = child_process.start(command, stdout=log, stderr=log)
        self.wait_line("serving")
        self.port = self.wait_line("listening")["address"].rpartition(":")[2]

    def wait_line(self, message: str) -> dict:
        until = time.monotonic() + START
        while True:
            lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.endswith("}")]
            if found := [line for line in lines if line.get("message") == message]:
                return found[0]
            assert time.monotonic() < until and self.process.poll() is None, self.log.read_text()[-2000:]
            time.sleep(0.05)

    def cpu(self) -> float:
        """Seconds of processor time of all its threads, of which none ends."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


class Fleet:
    """A gateway and its backends."""

    def __init__(self, name: str, binary: Path, directory: Path, certs: Path, tls: bool = False, mutual: bool = False):
        self.name, self.certs, self.mutual = name, certs, mutual
        directory.mkdir()
        self.scheme = "https" if tls else "http"

        def start(service, client, *flags):
            own = certs / service
            flags += ("--tls-cert", own / "tls.crt", "--tls-key", own / "tls.key") if tls else ()
            flags += ("--tls-client-ca", own / "ca.crt", "--allow-client", f"spiffe://fanout/{client}") if mutual else ()
            return Service(binary, directory, service, *flags)

        users = start("user-service", "gateway", "--database", f"sqlite:{directory}/users.db", "--seed", "--delay", "0")
        countries = start("country-service", "gateway", "--delay", "0")
        url = lambda service: f"{self.scheme}://localhost:{service.port}"
        trust = ("--tls-ca", certs / "ca.pem") if tls else ()
        gateway = start("gateway", "caller", "--user-service", url(users), "--country-service", url(countries), *trust)
        self.services, self.url = [gateway, users, countries], url(gateway)

    def measure(self) -> tuple[float, float]:
        """Returns how many seconds of processor time a request costs the gateway, and all of them."""
        own = self.certs / "caller"
        flags = ["--tls-ca", self.certs / "ca.pem"] if self.scheme == "https" else []
        flags += ["--tls-cert", own / "tls.crt", "--tls-key", own / "tls.key"] if self.mutual else []
        command = [BINARY, "load", "--json", "--gateway", self.url, "--callers", CALLERS, "--requests", str(REQUESTS), *flags]
        before = [service.cpu() for service in self.services]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        used = [service.cpu() - start for service, start in zip(self.services, before)]
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads(done.stdout)["codes"] == {"OK": REQUESTS}, done.stdout
        return used[0] / REQUESTS, sum(used) / REQUESTS

    def stop(self):
        for service in self.services:
            service.process.terminate()
            service.process.wait(30)


def main(others: list[str]):
    directory = Path(tempfile.mkdtemp())
    certs = directory / "certs"
    subprocess.run([BINARY, "certs", certs, "--client", "caller"], check=True, capture_output=True)
    fleets = []
    try:
        fleets.append(Fleet("plaintext", BINARY, directory / "plaintext", certs))
        fleets.append(Fleet("TLS", BINARY, directory / "tls", certs, tls=True))
        fleets.append(Fleet("mutual TLS", BINARY, directory / "mutual", certs, tls=True, mutual=True))
        for number, other in enumerate(others):
            fleets.append(Fleet(other, Path(other), directory / f"other{number}", certs))
        for fleet in fleets:  # warms up
            fleet.measure()
        measured = [[fleet.measure() for fleet in fleets] for _ in range(ROUNDS)]
        for at, fleet in enumerate(fleets):
            gateway, whole = ([each[at][part] for each in measured] for part in (0, 1))
            ratios = [[each[at][part] / each[0][part] for each in measured] for part in (0, 1)]
            print(
                f"{fleet.name:30} gateway {1e6 * statistics.median(gateway):6.0f} µs, × {statistics.median(ratios[0]):.3f}"
                f"   all {1e6 * statistics.median(whole):6.0f} µs, × {statistics.median(ratios[1]):.3f}"
                f"   ({' '.join(f'{ratio:.2f}' for ratio in sorted(ratios[1]))})"
            )
    finally:
        for fleet in fleets:
            fleet.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
