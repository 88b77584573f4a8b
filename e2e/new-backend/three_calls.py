"""Starts the services with the new backend, and checks that one request is three calls: python3 three_calls.py FANOUT."""

import json
import subprocess
import sys
import tempfile

DELAY_MS = 100


def compare(fanout):
    """Returns what `fanout compare --json` reports about a new `fanout up`."""
    services = subprocess.run([fanout, "up", "--help"], capture_output=True, text=True, check=True).stdout
    assert "--currency-port" in services, "the new service is not in the table of services"
    ports = [f"--port={name}=0" for name in ("gateway", "user-service", "country-service", "currency-service")]
    with tempfile.TemporaryDirectory() as data:
        command = [fanout, "up", "--json", "--delay", f"{DELAY_MS}ms", "--data-dir", data, *ports]
        up = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            lines = (json.loads(line) for line in up.stdout)
            running = next(line["services"] for line in lines if line.get("message") == "up")
            gateway = next(each["address"] for each in running if each["service"] == "gateway")
            command = [fanout, "compare", "--gateway", f"http://{gateway}"]
            print(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            return json.loads(subprocess.run([*command, "--json"], capture_output=True, check=True).stdout)
        finally:
            up.terminate()
            up.communicate()


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


runs = compare(sys.argv[1])["runs"]
assert [run["strategy"] for run in runs] == ["sequential", "concurrent", "spawned"], runs
for each in runs:
    check(each)
print("one request is three calls under every strategy")
