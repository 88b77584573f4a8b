"""Starts the services with the new backend, and checks that one request is three calls.

FANOUT=… python3 three_calls.py: with the binary that has the backend.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "interop"))
from fanout_up import BINARY, Up, backends

DELAY_MS = 100
# An upper bound, far above what a slow machine needs.
BOUND = 60


def compare():
    """Returns what `fanout compare --json` reports about a new `fanout up`."""
    assert "currency-service" in backends(), "the new service is not in the table of services"
    with tempfile.TemporaryDirectory() as data:
        up = Up(pathlib.Path(data), "--delay", f"{DELAY_MS}ms")
        try:
            command = [BINARY, "compare", "--gateway", f"http://{up.address('gateway')}"]
            print(subprocess.run(command, capture_output=True, text=True, check=True, timeout=BOUND).stdout)
            result = subprocess.run([*command, "--json"], capture_output=True, check=True, timeout=BOUND)
            return json.loads(result.stdout)
        finally:
            up.stop()


def check(run):
    """Checks the calls of one strategy's run."""
    assert run["code"] == "OK", run
    calls = {call["name"]: call for call in run["report"]["calls"]}
    assert list(calls) == ["user", "currency", "country"], calls
    for call in calls.values():
        assert call["state"] == "ok" and call["duration_ms"] >= DELAY_MS, call
    user, currency, country = calls.values()
    assert currency["start_ms"] >= user["start_ms"] + user["duration_ms"], "the currency needs the user"
    if run["strategy"] != "sequential":
        assert country["start_ms"] < user["start_ms"] + user["duration_ms"], "the countries wait for nothing"


runs = compare()["runs"]
assert [run["strategy"] for run in runs] == ["sequential", "concurrent", "spawned"], runs
for each in runs:
    check(each)
print("one request is three calls under every strategy")
