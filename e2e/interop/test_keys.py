"""API keys over TLS, as sent by gRPC's client for Python and by `buf curl`: none, a wrong one, a right one, a revoked one."""

import contextlib
import json
import subprocess
import time
from pathlib import Path

import grpc
import pytest
from fanout_up import BINARY, LOG, REPOSITORY, START, Up
from reflected_client import GATEWAY, ReflectedClient, open_secure_channel
from rich_errors import details

GET_PROFILE = f"{GATEWAY}/GetProfile"


class Keys:
    """A file of API keys, and what `fanout key` does with it."""

    def __init__(self, directory: Path):
        self.directory, self.file = directory, directory / "keys"

    def run(self, *args) -> str:
        command = [BINARY, "key", *args, "--file", self.file]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=START).stdout.strip()

    def new(self, name: str) -> Path:
        """Makes a key, and returns the file that it is in."""
        key = self.directory / f"{name}.key"
        key.write_text(self.run("new", name))
        return key


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def reports(keys):
    """The file with a key that stays."""
    return keys.new("reports")


@pytest.fixture(scope="module")
def up(keys, reports, tmp_path_factory):
    """A `fanout up` with TLS whose gateway asks for keys."""
    environment = {"GATEWAY_API_KEYS": str(keys.file)}
    up = Up(tmp_path_factory.mktemp("up") / "data", "--tls", "--delay", "10ms", environment=environment)
    try:
        up.wait_up()
        yield up
    finally:
        up.stop()


@pytest.fixture(scope="module")
def certs(up):
    """The directory with the authority of the running services."""
    return Path(up.wait_up()["tls_ca"]).parent


@pytest.fixture
def client(up, certs):
    """Returns a client that sends this key with each call, also with those of reflection."""
    with contextlib.ExitStack() as channels:

        def client(key: str | None):
            channel = open_secure_channel(up.address("gateway"), certs, token=key)
            return ReflectedClient(channels.enter_context(channel))

        yield client


@pytest.fixture
def curl(buf, up, certs):
    """Calls `GetProfile` with `buf curl`, which knows the contract by reflection, or by its files."""

    def curl(key: str | None, *, schema=("--reflect-header", "*")):
        header = ["-H", f"authorization: Bearer {key}"] if key else []
        command = [buf, "curl", "--protocol", "grpc", "--cacert", certs / "ca.pem", *header, *schema]
        url = f"https://{up.address('gateway')}/{GET_PROFILE}"
        return subprocess.run([*command, "-d", '{"userId": "ada"}', url], capture_output=True, text=True, timeout=30)

    return curl


def refusal(client) -> str:
    """The reason for which a call is refused as unauthenticated, whose message is empty: reflection is refused as well."""
    with pytest.raises(grpc.RpcError) as refused:
        client.channel.unary_unary(f"/{GET_PROFILE}")(b"", timeout=LOG)
    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
    return details(refused.value)["ErrorInfo"].reason


def test_python_calls_with_a_key(client, reports):
    reply = client(reports.read_text()).call(GET_PROFILE, user_id="ada")
    assert reply.user.display_name == "Ada Lovelace"


@pytest.mark.parametrize(("key", "reason"), [(None, "NO_CREDENTIALS"), ("fo_wrong", "UNKNOWN_API_KEY")])
def test_python_is_refused_without_a_right_key(client, key, reason):
    assert refusal(client(key)) == reason


def test_a_key_is_revoked_while_its_owner_calls(client, keys, reports):
    revoked, other = client(keys.new("web").read_text()), client(reports.read_text())
    until = time.monotonic() + LOG
    # The file is read every second.
    while True:
        with contextlib.suppress(grpc.RpcError):
            revoked.call(GET_PROFILE, user_id="ada")
            break
        assert time.monotonic() < until, "the new key is not known"
    keys.run("revoke", "web")
    served = 0
    while True:
        try:
            revoked.call(GET_PROFILE, user_id="ada")
            served += 1
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.UNAUTHENTICATED
            assert details(error)["ErrorInfo"].reason == "UNKNOWN_API_KEY"
            break
        assert time.monotonic() < until, f"{served} calls with a revoked key"
    assert other.call(GET_PROFILE, user_id="ada").user.id == "ada", "the other key stays"


def test_buf_curl_calls_with_a_key(curl, reports):
    done = curl(reports.read_text())
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["user"]["displayName"] == "Ada Lovelace"


@pytest.mark.parametrize(("key", "message"), [(None, "there are no credentials"), ("fo_wrong", "the API key is unknown")])
def test_buf_curl_is_refused_without_a_right_key(curl, key, message):
    refused = curl(key, schema=("--schema", REPOSITORY / "proto"))
    # buf's exit code is eight times gRPC's code: UNAUTHENTICATED is 16.
    assert (refused.returncode, refused.stdout) == (128, ""), refused.stderr
    assert message in json.loads(refused.stderr)["message"]
    reflected = curl(key)
    assert reflected.returncode != 0 and reflected.stdout == "", "reflection is for those with a key as well"


def test_the_printed_command_of_buf_sends_the_key(buf, up, certs, reports):
    url = f"https://{up.address('gateway')}"
    command = [BINARY, "call", "profile", "ada", "--gateway", url, "--tls-ca", certs / "ca.pem", "--api-key-file", reports]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    printed = done.stdout.partition("The same with other clients:\n")[2].replace("\\\n", " ")
    curl = next(line for line in printed.splitlines() if "buf curl" in line)
    pasted = subprocess.run(curl.replace("buf", str(buf), 1), shell=True, capture_output=True, text=True, timeout=30)
    assert pasted.returncode == 0, pasted.stderr
    assert json.loads(pasted.stdout)["user"]["id"] == "ada"
