"""gRPC's client for Python and `buf curl` with TLS and mutual TLS: who gets in, and what the others are told."""

import json
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from fanout_up import BINARY, START, Up
from reflected_client import GATEWAY, USERS, ReflectedClient, open_channel, open_secure_channel

GET_PROFILE = f"{GATEWAY}/GetProfile"
# It is installed beside Python.
GRPCURL = Path(sys.executable).parent / "grpcurl"


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    """A `fanout up` in which everything is encrypted."""
    up = Up(tmp_path_factory.mktemp("tls") / "data", "--tls", "--delay", "10ms")
    try:
        up.wait_up()
        yield up
    finally:
        up.stop()


@pytest.fixture(scope="module")
def certs(up):
    """The directory with the authority and the certificates of the running services."""
    return Path(up.wait_up()["tls_ca"]).parent


@pytest.fixture(scope="module")
def other_certs(tmp_path_factory):
    """Another authority, with the same names."""
    directory = tmp_path_factory.mktemp("other")
    subprocess.run([BINARY, "certs", directory], check=True, capture_output=True, timeout=START)
    return directory


def refusal(channel):
    """The error of a call that must not arrive. A server that says why in HTTP/2's GOAWAY is asked again until the call's
    deadline, because gRPC takes that for the end of a connection that worked."""
    with pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=2)
    assert refused.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED), refused.value
    return refused.value


def test_python_calls_the_gateway_with_the_authority(up, certs):
    with open_secure_channel(up.address("gateway"), certs) as channel:
        reply = ReflectedClient(channel).call(GET_PROFILE, user_id="ada")
    assert reply.user.display_name == "Ada Lovelace" and len(reply.country_list.countries) == 249


def test_python_calls_a_backend_with_the_gateways_certificate(up, certs):
    with open_secure_channel(up.address("user-service"), certs, "gateway") as channel:
        user = ReflectedClient(channel).call(f"{USERS}/GetUser", user_id="ada")
    assert user.id == "ada"


@pytest.mark.parametrize("client", [None, "country-service"])
def test_a_backend_accepts_the_gateway_only(up, certs, client):
    with open_secure_channel(up.address("user-service"), certs, client) as channel:
        refusal(channel)


def test_a_backend_accepts_no_name_of_another_authority(up, certs, other_certs, tmp_path):
    # Trusts the right authority, and presents a certificate of another one.
    (tmp_path / "ca.pem").write_bytes((certs / "ca.pem").read_bytes())
    (tmp_path / "gateway").symlink_to(other_certs / "gateway")
    with open_secure_channel(up.address("user-service"), tmp_path, "gateway") as channel:
        refusal(channel)


def test_python_refuses_a_gateway_of_another_authority(up, other_certs):
    with open_secure_channel(up.address("gateway"), other_certs) as channel:
        error = refusal(channel)
    assert error.code() == grpc.StatusCode.UNAVAILABLE and "CERTIFICATE_VERIFY_FAILED" in error.details()


@pytest.mark.parametrize("service", ["gateway", "user-service"])
def test_nobody_gets_in_without_tls(up, certs, service):
    with open_channel(up.address(service)) as channel:
        refusal(channel)
    # Other callers go on.
    with open_secure_channel(up.address(service), certs, "gateway") as channel:
        assert ReflectedClient(channel).services()


def curl(buf, url, *flags):
    command = [buf, "curl", "--protocol", "grpc", *flags, "-d", json.dumps({"userId": "ada"}), url]
    return subprocess.run(command, capture_output=True, text=True, timeout=30)


def test_buf_curl_calls_the_gateway_with_the_authority(buf, up, certs):
    url = f"https://{up.address('gateway')}/{GET_PROFILE}"
    done = curl(buf, url, "--cacert", certs / "ca.pem")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["user"]["displayName"] == "Ada Lovelace"
    refused = curl(buf, url, "-v")
    assert refused.returncode != 0 and "certificate signed by unknown authority" in refused.stderr, refused.stderr


def test_buf_curl_calls_a_backend_with_the_gateways_certificate(buf, up, certs):
    url = f"https://{up.address('user-service')}/{USERS}/GetUser"
    own = ["--cert", certs / "gateway/tls.crt", "--key", certs / "gateway/tls.key"]
    done = curl(buf, url, "--cacert", certs / "ca.pem", *own)
    assert done.returncode == 0, done.stderr
    refused = curl(buf, url, "--cacert", certs / "ca.pem")
    assert (refused.returncode, refused.stdout) == (1, ""), refused.stderr


def test_the_printed_commands_have_the_flags_of_tls(buf, up, certs):
    url = f"https://{up.address('gateway')}"
    command = [BINARY, "call", "profile", "ada", "--gateway", url, "--tls-ca", certs / "ca.pem"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    printed = done.stdout.partition("The same with other clients:\n")[2].replace("\\\n", " ")
    grpcurl, curl = (next(line for line in printed.splitlines() if name in line) for name in ("grpcurl", "buf curl"))
    assert f"-cacert {certs}/ca.pem" in grpcurl and "-plaintext" not in grpcurl
    for command in (curl.replace("buf", str(buf), 1), grpcurl.replace("grpcurl", str(GRPCURL), 1)):
        pasted = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=30)
        assert pasted.returncode == 0, pasted.stderr
        assert json.loads(pasted.stdout)["user"]["id"] == "ada"
