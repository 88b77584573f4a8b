"""`fanout up` and its processes: start, stop, and what happens when one is killed."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import child_process
import pytest
from fanout_up import BINARY, END, is_running, services, wait_gone
from grpc_health.v1 import health_pb2, health_pb2_grpc
from reflected_client import GATEWAY, ReflectedClient, open_channel


def test_the_start_is_reported_with_every_service(up):
    line = up.wait_up()
    assert sorted(running["service"] for running in line["services"]) == sorted(services())
    assert all(is_running(pid) for pid in up.pids())
    assert line["ready_ms"] > 0
    if "release" in BINARY.parts:
        assert line["ready_ms"] < 1000


@pytest.mark.parametrize("service", services())
def test_a_port_in_use_is_reported_in_one_line(own_up, service):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        up = own_up(ports={service: port})
        assert up.wait_end() == 1
    assert up.lines == []
    [line] = up.errors
    assert str(port) in line and f"--{service.removesuffix('-service')}-port" in line


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_stops_all(own_up, number):
    up = own_up("--delay", "0")
    pids = up.pids()
    up.send_signal(number)
    assert up.wait_end() == 0
    assert up.errors == []
    assert not any(is_running(pid) for pid in pids), "`up` ended before its services had"


def test_calls_in_flight_finish_while_health_is_not_serving(own_up, trace):
    up = own_up("--delay", "1s")
    with open_channel(up.address("gateway")) as channel:
        client = ReflectedClient(channel)
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=30)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        metadata = [*trace.metadata, ("baggage", "country.delay=0")]
        call = client.start(f"{GATEWAY}/GetProfile", metadata=metadata, user_id="ada")
        up.wait_line(service="country-service", trace_id=trace.id)
        up.send_signal(signal.SIGTERM)
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert call.result().user.id == "ada"
        watch.cancel()
    assert up.wait_end() == 0
    assert up.wait_line(service="gateway", trace_id=trace.id)["code"] == "OK"


@pytest.mark.parametrize("killed", services())
def test_a_killed_service_ends_all_and_is_named(own_up, killed):
    up = own_up("--delay", "0")
    pids = up.pids()
    os.kill(up.pid(killed), signal.SIGKILL)
    assert up.wait_end() == 1
    assert not any(is_running(pid) for pid in pids)
    [line] = up.errors
    assert killed in line and str(up.pid(killed)) in line and "SIGKILL" in line


def test_a_killed_up_leaves_no_process_behind(own_up):
    up = own_up("--delay", "0")
    pids = up.pids()
    with open_channel(up.address("gateway")) as channel:
        # A client that stays connected does not keep them alive.
        assert health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
        up.send_signal(signal.SIGKILL)
        assert up.wait_end() == -signal.SIGKILL
        wait_gone(pids)


def test_killed_tests_leave_no_process_behind(tmp_path):
    """Another process starts an `up`, as these tests do, and is killed."""
    script = f"""
import pathlib, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from fanout_up import Up
print(*Up(pathlib.Path({str(tmp_path)!r}), "--delay", "0").pids(), flush=True)
sys.stdin.read()
"""
    tests = child_process.start_other([sys.executable, "-c", script], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    pids = [int(pid) for pid in tests.stdout.readline().split()]
    assert len(pids) == len(services()) and all(is_running(pid) for pid in pids)
    tests.kill()
    tests.wait(END)
    wait_gone(pids)


def test_a_health_watch_does_not_delay_the_end(own_up):
    up = own_up("--delay", "0")
    with open_channel(up.address("gateway")) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        up.send_signal(signal.SIGTERM)
        assert up.wait_end() == 0
    assert not [line for line in up.lines if line.get("level") == "WARN"]


def test_stored_users_outlive_the_processes(own_up):
    created = {}
    for round in ("before", "after"):
        up = own_up("--delay", "0")
        with open_channel(up.address("user-service")) as channel:
            client = ReflectedClient(channel)
            users = "fanout.user.v1.UserService"
            if round == "before":
                created = client.call(f"{users}/CreateUser", user_id="kept", display_name="Kept", country_code="NO")
            found = client.call(f"{users}/GetUser", user_id="kept")
            assert found.SerializeToString() == created.SerializeToString()
        # Killed: an acknowledged user is on disk.
        os.kill(up.pid("user-service"), signal.SIGKILL)
        assert up.wait_end() == 1
