"""A `fanout up` shared by all tests that do not change it, and clients of its services."""

import contextlib
import functools
import os
import secrets
import shutil
from types import SimpleNamespace

import pytest
from fanout_up import DELAY, REPOSITORY, Up
from reflected_client import ReflectedClient, open_channel


@pytest.fixture(scope="session")
def up(tmp_path_factory):
    up = Up(tmp_path_factory.mktemp("up") / "data", "--delay", f"{round(DELAY * 1000)}ms")
    try:
        up.wait_up()
        yield up
    finally:
        up.stop()


@pytest.fixture
def own_up(tmp_path):
    """Starts a `fanout up` for one test, which may end it."""
    started = []

    def start(*flags, **keywords):
        started.append(Up(tmp_path / "data", *flags, **keywords))
        return started[-1]

    yield start
    for up in started:
        up.stop()


@pytest.fixture(scope="session")
def client_of(up):
    """Returns the client of a service by the service's name."""
    with contextlib.ExitStack() as channels:
        yield functools.cache(lambda service: ReflectedClient(channels.enter_context(open_channel(up.address(service)))))


@pytest.fixture(scope="session")
def gateway(client_of):
    return client_of("gateway")


@pytest.fixture(scope="session")
def users(client_of):
    return client_of("user-service")


@pytest.fixture(scope="session")
def countries(client_of):
    return client_of("country-service")


@pytest.fixture
def trace():
    """A trace that the client has started: its id, and the metadata that propagates it."""
    trace_id = secrets.token_hex(16)
    return SimpleNamespace(id=trace_id, metadata=[("traceparent", f"00-{trace_id}-{secrets.token_hex(8)}-01")])


@pytest.fixture(scope="session")
def buf():
    """The path of buf: BUF, on PATH, or where .ci/run installs it. Tests fail without it, because a skip is easily missed."""
    path = os.environ.get("BUF") or shutil.which("buf")
    path = path or shutil.which("buf", path=REPOSITORY / "target/ci/npm/node_modules/.bin")
    assert path, "buf is missing: `npm install --prefix target/ci/npm @bufbuild/buf`, or set BUF to its path"
    return path
