"""`fanout call`, and the commands of other clients that it prints: they make the same request."""

import json
import os
import subprocess
import sys

import pytest
from fanout_up import BINARY


@pytest.fixture
def call(up):
    def call(*args):
        command = [BINARY, "call", *args, "--gateway", up.address("gateway")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


def printed_command(shown, program):
    """The command of a client, in one line."""
    lines = shown.partition("The same with other clients:\n")[2].replace("\\\n", "").splitlines()
    [command] = [line.strip() for line in lines if line.strip().startswith(program)]
    return command


def run(command, directory):
    """What a person gets who pastes the command into a shell, with the program of this directory."""
    environment = os.environ | {"PATH": f"{directory}:{os.environ['PATH']}"}
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=30, env=environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def without_report(reply):
    """What does not differ from one request to the next."""
    return {name: value for name, value in reply.items() if name != "report"}


@pytest.mark.parametrize("method", ["profile", "home-country"])
def test_the_printed_buf_command_makes_the_same_request(call, buf, method):
    request = [method, "ada", "--strategy", "sequential", "--delay", "user=10ms,country=20ms"]
    reply = run(printed_command(call(*request), "buf curl"), os.path.dirname(buf))
    check_reply(reply, json.loads(call(*request, "--json")))


@pytest.mark.parametrize("method", ["profile", "home-country"])
def test_the_printed_grpcurl_command_makes_the_same_request(call, method):
    request = [method, "ada", "--strategy", "sequential", "--delay", "user=10ms,country=20ms", "--timeout", "5s"]
    # It is installed beside Python.
    reply = run(printed_command(call(*request), "grpcurl"), os.path.dirname(sys.executable))
    check_reply(reply, json.loads(call(*request, "--json")))


def check_reply(reply, expected):
    assert without_report(reply) == without_report(expected)
    assert reply["report"]["strategy"] == "STRATEGY_SEQUENTIAL"
    took = [float(call["duration"].removesuffix("s")) for call in reply["report"]["calls"]]
    assert all(0.01 <= seconds < 0.3 for seconds in took), f"both delays arrive: {took}"


def test_the_printed_grpcurl_command_has_all_of_the_request(call, up):
    shown = call("profile", "ada", "--delay", "user=10ms,country=20ms", "--timeout", "1500ms")
    assert printed_command(shown, "grpcurl").split() == [
        *["grpcurl", "-plaintext", "-max-time", "1.5"],
        *["-H", "'baggage:", "user.delay=10ms'", "-H", "'baggage:", "country.delay=20ms'"],
        *["-d", """'{"userId":"ada"}'""", up.address("gateway"), "fanout.gateway.v1.GatewayService/GetProfile"],
    ]
