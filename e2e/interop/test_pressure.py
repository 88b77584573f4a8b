"""Bursts, tens of thousands of cancelled calls, and overload."""

import json
import subprocess
import threading
import time
import urllib.request

import child_process
import pytest
from fanout_up import BINARY, END, SEEDED, backends
from service import Service, free_port, own_flags, url_flags

# An upper bound for each load test on two cores; a debug build takes longer.
BOUND = 120


@pytest.fixture
def stack(tmp_path):
    """Starts a gateway in front of one replica of each backend, with flags for it and for them."""
    started = []

    def start(gateway=(), backend=("--delay", "0"), env=None):
        def own(name, *flags):
            started.append(Service(name, tmp_path / f"{name}.log", *flags, env=env if name == "gateway" else None))
            return started[-1].start()

        of = lambda name: own(name, *own_flags(name, tmp_path), "--allow-overrides", *backend)
        return own("gateway", *url_flags({name: [of(name)] for name in backends()}), *gateway)

    yield start
    for service in started:
        service.kill()


def load(gateway: Service, *flags: str) -> dict:
    """The result of `fanout load`."""
    command = [BINARY, "load", "--json", "--gateway", f"http://{gateway.address}", *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BOUND)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


class BackgroundLoad:
    """Load that runs while a test does something else."""

    def __init__(self, gateway: Service, *flags: str):
        self.result: dict = {}
        self._thread = threading.Thread(target=lambda: self.result.update(load(gateway, *flags)))

    def __enter__(self):
        self._thread.start()
        return self

    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def __exit__(self, *_):
        self._thread.join()  # `load` has a bound of its own


def test_every_request_of_a_burst_of_ten_thousand_succeeds(stack):
    gateway = stack(backend=("--delay", "1s"))
    before = gateway.memory("VmRSS")
    result = load(gateway, "--callers", "10000", "--connections", "50")
    each = (gateway.memory("VmHWM") - before) / 10_000
    print(f"\n10,000 at once: {result['wall_ms'] / 1e3:.2f} s, at most {each / 1024:.1f} KiB for each in the gateway")
    assert result["codes"] == {"OK": 10_000}
    assert result["wall_ms"] <= 5_000
    # The peak, with the replies of all in flight, 6 kB each.
    assert each < 16 * 1024


def test_what_bursts_took_is_given_back(stack):
    gateway = stack(backend=("--delay", "1s"))
    before = gateway.memory("VmRSS")
    for _ in range(3):
        assert load(gateway, "--callers", "10000", "--connections", "50")["codes"] == {"OK": 10_000}
    taken = gateway.memory("VmHWM") - before
    # As much as makes the question worthwhile: the gateway leaves 16 MiB alone.
    assert taken > 48 << 20
    # Eight tenths come back, mostly after seven seconds; a tenth is for what differs from run to run. Among what stays are
    # pages of the program itself, which the first requests read in.
    until = time.monotonic() + BOUND
    while (kept := gateway.memory("VmRSS") - before) > 3 * taken / 10:
        assert time.monotonic() < until, f"{kept >> 10} KiB of {taken >> 10} are kept"
        time.sleep(0.1)


def test_a_waiting_request_takes_less_than_12_kib(stack):
    port = free_port()
    metrics = {"OTEL_METRICS_EXPORTER": "prometheus", "OTEL_EXPORTER_PROMETHEUS_PORT": str(port)}
    gateway = stack(backend=("--delay", "8s"), env=metrics)
    before = gateway.memory("VmRSS")
    with BackgroundLoad(gateway, "--callers", "10000", "--connections", "50") as load:
        until = time.monotonic() + BOUND
        while b"fanout_server_in_flight 10000\n" not in urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics").read():
            assert time.monotonic() < until and load.is_alive(), "10,000 were never in flight at once"
            time.sleep(0.05)
        each = (gateway.memory("VmRSS") - before) / 10_000
    print(f"\n10,000 in flight: {each / 1024:.1f} KiB for each in the gateway")
    assert load.result["codes"] == {"OK": 10_000}
    assert each < 12 * 1024


def test_fifty_thousand_cancelled_calls_fail_no_other(stack):
    """Cancelled by a deadline, a failed sibling, a lost hedge or the caller, on the connections of a steady load."""
    gateway = stack(gateway=("--hedge", "20ms", "--hedge-budget", "100%"), backend=("--delay", "10ms"))
    with BackgroundLoad(gateway, "--callers", "8", "--requests", "4000", "--connections", "1") as steady:
        # Each request has two calls and their hedges, which the deadline ends.
        late = load(gateway, "--callers", "200", "--requests", "10000", "--timeout", "15ms", "--delay", "user=5s,country=5s")
        # Calls cancelled just as their replies arrive, which then belong to closed streams.
        raced = load(gateway, "--callers", "100", "--requests", "20000", "--timeout", "20ms")
        # The sibling of a call that fails at once.
        lost = load(gateway, "--callers", "200", "--requests", "15000", "--user", "nobody", "--delay", "user=0ms,country=5s")
        # Both calls are hedged, and one attempt of each pair loses.
        hedged = load(gateway, "--callers", "200", "--requests", "10000", "--delay", "user=40ms,country=40ms")
        for _ in range(10):
            # Callers that go away with everything in flight.
            gone = [BINARY, "load", "--gateway", f"http://{gateway.address}", "--callers", "500", "--delay", "user=5s,country=5s"]
            caller = child_process.start(gone, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            assert load(gateway, "--callers", "8", "--requests", "400")["codes"] == {"OK": 400}
            caller.kill()
            caller.wait(END)
    assert late["codes"] == {"DEADLINE_EXCEEDED": 10_000}
    assert raced["codes"].keys() <= {"OK", "DEADLINE_EXCEEDED"}
    assert lost["codes"] == {"NOT_FOUND": 15_000}
    assert hedged["codes"] == {"OK": 10_000}
    assert steady.result["codes"] == {"OK": 4_000}


def test_tenfold_overload_does_not_slow_what_is_served(stack):
    # At most 50 requests of 100 ms: 500 a second.
    gateway = stack(gateway=("--max-in-flight", "50"), backend=("--delay", "100ms"))
    peak = load(gateway, "--callers", "50", "--duration", "5s")
    assert peak["codes"].keys() == {"OK"}
    rate = 10 * peak["throughput_per_second"]
    flood = load(gateway, "--rate", str(round(rate)), "--duration", "6s", "--max-in-flight", "2000", "--connections", "20")
    goodput = flood["codes"]["OK"] / (flood["wall_ms"] / 1e3)
    slower = flood["latency_ms"]["ok"]["p99"] / peak["latency_ms"]["ok"]["p99"]
    print(f"\n{rate:.0f} offered a second: goodput {goodput / peak['throughput_per_second']:.0%}, p99 of the served × {slower:.2f}")
    assert flood["codes"].keys() == {"OK", "RESOURCE_EXHAUSTED"}
    assert goodput >= 0.9 * peak["throughput_per_second"]
    assert slower < 2
    assert gateway.is_serving(), "still healthy"


def test_coalesced_calls_get_the_same_reply(stack):
    """Thousands of callers get the same reply with coalescing as without."""
    gateway = stack(gateway=("--coalesce", "country"), backend=("--delay", "5ms"))
    result = load(gateway, "--callers", "64", "--requests", "5000", "--user", SEEDED[0])
    assert result["codes"] == {"OK": 5_000}
