"""docker-compose.yml on a container engine: what runs, how it is restricted, and how it stops."""

import json
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from datetime import datetime

import grpc
import pytest
from compose import IMAGES, REPOSITORY, SERVICES, docker
from conftest import DELAY
from reflected_client import GATEWAY, USERS, ReflectedClient, open_channel, seconds

GET_PROFILE = f"{GATEWAY}/GetProfile"
SEQUENTIAL, CONCURRENT = 1, 2
BEST_EFFORT = 2


@pytest.mark.parametrize(
    "files",
    [[], ["embedded"], ["bare"], ["bare", "embedded"], ["tls"], ["tls", "bare", "embedded"]],
    ids=lambda files: "+".join(files) or "plain",
)
def test_every_combination_of_files_is_valid(files):
    flags = [flag for file in files for flag in ("-f", f"deploy/compose.{file}.yml")]
    command = ["docker", "compose", "-f", "docker-compose.yml", *flags, "--profile", "metrics", "config", "--quiet"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr


def test_the_images_are_small_and_say_what_they_are(images):
    for service in IMAGES:
        (image,) = json.loads(docker("image", "inspect", f"fanout/{service}:check"))
        print(f"{service}: {image['Size'] / 1e6:.1f} MB")
        assert image["Size"] < 46e6 or service not in SERVICES
        labels = image["Config"]["Labels"]
        assert labels["org.opencontainers.image.title"] == f"fanout {service}"
        assert labels["org.opencontainers.image.licenses"] == "MIT"
        assert image["Config"]["User"] == "65532:65532"


def test_a_call_from_outside_shows_the_overlap_in_one_trace(compose, collector, gateway):
    client = gateway(compose)
    walls = {}
    for strategy in (SEQUENTIAL, CONCURRENT):
        reply = client.call(GET_PROFILE, user_id="ada", strategy=strategy)
        assert reply.user.display_name == "Ada Lovelace"
        assert len(reply.country_list.countries) == 249
        walls[strategy] = seconds(reply.report.wall_time)
        spans = collector.trace(reply.report.trace_id, 9)
        assert {service for service, _ in spans} == set(SERVICES)
        calls = [span for service, span in spans if service == "gateway" and span.kind == span.SPAN_KIND_CLIENT]
        first, second = sorted(calls, key=lambda span: span.start_time_unix_nano)
        overlap = second.start_time_unix_nano < first.end_time_unix_nano
        assert overlap == (strategy == CONCURRENT)
        (select,) = [span for _, span in spans if span.name == "SELECT users"]
        attributes = {a.key: a.value.string_value for a in select.attributes}
        assert attributes["db.system.name"] == "postgresql" and attributes["server.address"] == "postgres"
    assert walls[SEQUENTIAL] >= 2 * DELAY
    assert walls[CONCURRENT] < 0.8 * walls[SEQUENTIAL]


def test_the_services_are_restricted(compose):
    for service in SERVICES:
        (container,) = compose.containers(service)
        host = container["HostConfig"]
        assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"], service
        assert "no-new-privileges:true" in host["SecurityOpt"]
        assert host["Memory"] > 0
        assert container["Config"]["User"] == "65532:65532"
        shell = compose.run("exec", "-T", service, "sh", "-c", "true", check=False)
        assert shell.returncode != 0, f"{service} has a shell"
    published = {service: compose.containers(service)[0]["HostConfig"]["PortBindings"] for service in SERVICES}
    assert list(published["gateway"]) == ["50051/tcp"]
    assert published["gateway"]["50051/tcp"][0]["HostIp"] == "127.0.0.1"
    assert not published["user-service"] and not published["country-service"]


def test_the_whole_stays_small(compose):
    used = compose.memory()
    print({name: f"{size / 2**20:.1f} MiB" for name, size in used.items()})
    assert len(used) == 5 and sum(used.values()) < 256 * 2**20


def test_a_restart_of_the_database_loses_no_user(compose, gateway):
    """Creates and reads users while PostgreSQL restarts."""
    client = gateway(compose)
    network = f"{compose.project}_default"
    (user_service,) = compose.containers("user-service")
    address = user_service["NetworkSettings"]["Networks"][network]["IPAddress"]
    no_delay = [("baggage", "user.delay=0,country.delay=0")]
    with open_channel(f"{address}:50052") as channel:
        users = ReflectedClient(channel)
        # Looked up before the threads start: the descriptor pool is not thread-safe.
        (create_user, new_user), (get_profile, profile) = (
            users.method(f"{USERS}/CreateUser"), client.method(GET_PROFILE)
        )
        stop, acknowledged, codes, parts = threading.Event(), [], set(), []
        more = threading.Condition()

        def create(writer):
            number = 0
            while not stop.is_set():
                number += 1
                user_id = f"load-{writer}-{number}"
                try:
                    user = new_user(user_id=user_id, display_name="A", country_code="GB")
                    create_user(user, timeout=20, metadata=no_delay)
                    with more:
                        acknowledged.append(user_id)
                        more.notify_all()
                except grpc.RpcError as error:
                    codes.add(error.code())

        def read():
            while not stop.is_set():
                request = profile(user_id="ada", failure_policy=BEST_EFFORT)
                reply = get_profile(request, timeout=20, metadata=no_delay)
                parts.append((reply.HasField("user"), len(reply.country_list.countries)))

        threads = [threading.Thread(target=create, args=(n,)) for n in range(3)] + [threading.Thread(target=read)]
        for thread in threads:
            thread.start()
        compose.run("restart", "--timeout", "10", "postgres")
        compose.up()
        before = len(acknowledged)
        with more:
            more.wait_for(lambda: len(acknowledged) >= before + 100, timeout=60)
        stop.set()
        for thread in threads:
            thread.join()
        assert len(acknowledged) >= before + 100, f"it does not recover: {codes}"
        assert codes <= {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN}, codes
        assert parts and all(countries == 249 for _, countries in parts), "best effort always has the countries"
        stored, token = set(), ""
        while True:
            page = users.call(f"{USERS}/ListUsers", metadata=no_delay, page_size=1000, page_token=token)
            stored |= {user.id for user in page.users}
            token = page.next_page_token
            if not token:
                break
        lost = set(acknowledged) - stored
        assert not lost, f"lost {len(lost)} of {len(acknowledged)} acknowledged users"
        print(f"{len(acknowledged)} users acknowledged, none lost; {len(codes)} kinds of error while it was away")


def test_replicas_come_and_go_under_load(compose, gateway):
    """Scales to three replicas that all answer, kills one and adds one: no request fails, and nothing restarts."""
    client = gateway(compose)
    get_profile, profile = client.method(GET_PROFILE)
    no_delay = [("baggage", "user.delay=0,country.delay=0")]
    codes, counted, stop = Counter(), threading.Condition(), threading.Event()

    def call():
        while not stop.is_set():
            try:
                get_profile(profile(user_id="ada"), timeout=20, metadata=no_delay)
                code = "OK"
            except grpc.RpcError as error:
                code = f"{error.code().name}: {error.details()}"
            with counted:
                codes[code] += 1
                counted.notify_all()

    def wait_until_all_answer(service, number):
        """Waits until each replica has answered a few requests."""
        containers = compose.containers(service)
        assert len(containers) == number
        for container in containers:
            until = time.monotonic() + 60
            while (served := docker("logs", container["Id"]).count("request finished")) < 20:
                assert time.monotonic() < until, f"{container['Name']} answered {served} requests: {codes}"
                with counted:
                    counted.wait(1)

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    try:
        compose.up("--scale", "user-service=3", "--scale", "country-service=3", "--no-recreate")
        wait_until_all_answer("user-service", 3)
        wait_until_all_answer("country-service", 3)
        docker("kill", "--signal", "KILL", compose.containers("country-service")[0]["Id"])
        with counted:
            goal = codes.total() + 500
            assert counted.wait_for(lambda: codes.total() >= goal, 60), codes
        compose.up("--scale", "user-service=3", "--scale", "country-service=4", "--no-recreate")
        wait_until_all_answer("country-service", 4)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    print(f"{codes.total()} requests while replicas came and went: {dict(codes)}")
    assert codes.keys() == {"OK"} and codes.total() >= 1000


def test_sigterm_alone_stops_everything_in_time(compose):
    begun = time.monotonic()
    compose.run("stop")
    took = time.monotonic() - begun
    for service in SERVICES:
        for container in compose.containers(service):
            assert container["State"]["ExitCode"] == 0, f"{service}: {container['State']}"
    print(f"stopped after {took:.1f} s")
    assert took < 30


def test_the_embedded_database_is_on_a_volume(embedded, gateway):
    assert "postgres" not in embedded.run("config", "--services").stdout.split()
    assert gateway(embedded).call(GET_PROFILE, user_id="ada").user.country_code == "GB"
    (before,) = embedded.containers("user-service")
    embedded.run("up", "--detach", "--wait", "--force-recreate", "--no-deps", "--no-build", "user-service")
    (after,) = embedded.containers("user-service")
    assert before["Id"] != after["Id"]
    user = gateway(embedded).call(GET_PROFILE, user_id="grace").user
    recreated = datetime.fromisoformat(after["Created"][:19] + "+00:00")
    assert user.create_time.ToSeconds() <= recreated.timestamp(), "seeded by the first container, not by the second"


def test_the_viewer_is_in_its_image_and_reaches_the_gateway(compose):
    compose.run("up", "--detach", "--no-build", "--pull", "never", "--no-deps", "view")
    address = compose.run("port", "view", "8080").stdout.strip()
    deadline = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(f"http://{address}/api/gateway", timeout=5) as reply:
                gateway = json.load(reply)
            break
        except OSError as error:
            # The port is published before the viewer listens.
            assert time.monotonic() < deadline, f"{error}\n{compose.logs()}"
            time.sleep(0.1)
    assert gateway["backends"] == ["user", "country"], gateway
    (container,) = compose.containers("view")
    assert container["HostConfig"]["ReadonlyRootfs"] and container["Config"]["User"] == "65532:65532"
