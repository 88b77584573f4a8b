"""deploy/compose.tls.yml on a container engine: who gets in, who does not, and what a renewal costs."""

import ssl
import threading
import time
from collections import Counter

import grpc
import pytest
from compose import SERVICES, make_certificates
from reflected_client import GATEWAY, ReflectedClient, open_channel, open_secure_channel

GET_PROFILE = f"{GATEWAY}/GetProfile"
PORTS = {"gateway": 50051, "user-service": 50052, "country-service": 50053}
NO_DELAY = [("baggage", "user.delay=0,country.delay=0")]


def address(compose, service):
    """The address of a container on its own network: only the gateway is published."""
    (container,) = compose.containers(service)
    network = container["NetworkSettings"]["Networks"][f"{compose.project}_default"]
    return f"{network['IPAddress']}:{PORTS[service]}"


def assert_refused(channel):
    with pytest.raises(grpc.RpcError) as refused:
        channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=2)
    # gRPC takes a GOAWAY for the end of a connection that worked, and asks again until the deadline.
    assert refused.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED), refused.value


def certificate_of(address):
    """The certificate that a server shows."""
    host, _, port = address.partition(":")
    return ssl.get_server_certificate((host, int(port)))


def test_a_call_from_outside_with_the_authority(encrypted, certificates):
    with open_secure_channel(encrypted.address(), certificates.directory) as channel:
        reply = ReflectedClient(channel).call(GET_PROFILE, metadata=NO_DELAY, user_id="ada")
    assert reply.user.display_name == "Ada Lovelace" and len(reply.country_list.countries) == 249


def test_nobody_gets_in_without_tls(encrypted):
    with open_channel(encrypted.address()) as channel:
        assert_refused(channel)


@pytest.mark.parametrize("client", [None, "country-service"])
@pytest.mark.parametrize("service", ["user-service"])
def test_only_the_gateway_calls_the_backends(encrypted, certificates, service, client):
    options = [("grpc.ssl_target_name_override", service)]
    with open_secure_channel(address(encrypted, service), certificates.directory, client, options) as channel:
        assert_refused(channel)


def test_each_container_has_its_own_key_only_and_no_rights(encrypted, certificates):
    for service in SERVICES:
        (container,) = encrypted.containers(service)
        mounts = [mount for mount in container["Mounts"] if mount["Type"] == "bind"]
        assert [(mount["Source"], mount["RW"]) for mount in mounts] == [(str(certificates.directory / service), False)]
        assert container["Config"]["User"] == certificates.user
        assert container["HostConfig"]["CapDrop"] == ["ALL"]
        assert "no-new-privileges:true" in container["HostConfig"]["SecurityOpt"]


def test_a_renewal_fails_no_request(encrypted, certificates):
    """Renews all certificates under load, and waits until each service shows its new one."""
    codes, stop = Counter(), threading.Event()

    def call():
        while not stop.is_set():
            # A new connection for each few calls: open ones would keep the old certificate.
            with open_secure_channel(encrypted.address(), certificates.directory) as channel:
                client = ReflectedClient(channel)
                for _ in range(3):
                    try:
                        client.call(GET_PROFILE, metadata=NO_DELAY, user_id="ada")
                        codes["OK"] += 1
                    except grpc.RpcError as error:
                        codes[f"{error.code().name}: {error.details()}"] += 1

    shown = lambda: {service: certificate_of(address(encrypted, service)) for service in SERVICES}
    before = shown()
    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        make_certificates(certificates.directory)
        until = time.monotonic() + 30
        # Polls: a service tells nobody that it has read its files.
        while old := [service for service, certificate in shown().items() if certificate == before[service]]:
            assert time.monotonic() < until, f"still the old certificate: {old}"
            stop.wait(0.25)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    print(f"{codes.total()} requests during the renewal: {dict(codes)}")
    assert codes.keys() == {"OK"} and codes.total() > 10


def test_health_checks_and_sigterm_work_with_tls(encrypted):
    for service in SERVICES:
        (container,) = encrypted.containers(service)
        assert container["State"]["Health"]["Status"] == "healthy", service
    encrypted.run("stop")
    for service in SERVICES:
        (container,) = encrypted.containers(service)
        assert container["State"]["ExitCode"] == 0, f"{service}: {container['State']}"
