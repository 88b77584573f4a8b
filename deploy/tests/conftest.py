"""Builds the images once, and runs docker-compose.yml with them."""

import os
from types import SimpleNamespace

import pytest
from collector import Collector
from compose import Compose, build, make_certificates, remove_images
from reflected_client import ReflectedClient, open_channel

DELAY = 0.5


@pytest.fixture(scope="session")
def images():
    build()
    yield
    if not os.environ.get("FANOUT_KEEP_IMAGES"):
        remove_images()


@pytest.fixture(scope="session")
def collector():
    collector = Collector()
    yield collector
    collector.stop()


def running(project, files, collector, **settings):
    milliseconds = f"{round(DELAY * 1000)}ms"
    compose = Compose(
        project,
        ["deploy/compose.bare.yml", *files],
        USER_SERVICE_DELAY=milliseconds,
        COUNTRY_SERVICE_DELAY=milliseconds,
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://host.docker.internal:{collector.port}",
        **settings,
    )
    compose.remove()  # the leftovers of an interrupted run
    try:
        compose.up()
        yield compose
    finally:
        compose.remove()


@pytest.fixture(scope="module")
def compose(images, collector):
    """Everything except the trace viewer, whose image may be unavailable: the collector replaces it."""
    yield from running("fanout-check", [], collector)


@pytest.fixture(scope="module")
def embedded(images, collector):
    """The same without PostgreSQL."""
    yield from running("fanout-check-embedded", ["deploy/compose.embedded.yml"], collector)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    directory = tmp_path_factory.mktemp("certs")
    return SimpleNamespace(directory=directory, user=make_certificates(directory))


@pytest.fixture(scope="module")
def encrypted(images, collector, certificates):
    """The same with TLS."""
    settings = {"FANOUT_CERTS": str(certificates.directory), "FANOUT_USER": certificates.user}
    yield from running("fanout-check-tls", ["deploy/compose.tls.yml"], collector, **settings)


@pytest.fixture
def gateway():
    """Makes clients of a running gateway outside the containers."""
    channels = []

    def client(compose):
        channels.append(open_channel(compose.address()))
        return ReflectedClient(channels[-1])

    yield client
    for channel in channels:
        channel.close()
