"""A rolling restart of every service under load, in which no call fails.

The callers are gRPC's own client (grpcio), which spreads its calls over two gateways by `round_robin`.
"""

import itertools
import threading
from collections import Counter

import grpc
import pytest
from fanout_up import backends
from reflected_client import GATEWAY, TIMEOUT, ReflectedClient
from service import Service, own_flags, url_flags

CALLERS = 16

# From several addresses gRPC would derive an invalid authority.
OPTIONS = [
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.default_authority", "gateway"),
    ("grpc.enable_http_proxy", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
]


@pytest.fixture
def fleet(tmp_path):
    """Two replicas of each service; each gateway knows all of the others."""
    new = lambda name, number, *flags: Service(name, tmp_path / f"{name}-{number}.log", "--drain", "20s", *flags)
    of = lambda name: [new(name, number, "--delay", "20ms", *own_flags(name, tmp_path)).start() for number in range(2)]
    replicas = {name: of(name) for name in backends()}
    gateways = [new("gateway", number, *url_flags(replicas)).start() for number in range(2)]
    yield [*replicas.values(), gateways]
    for service in itertools.chain(*replicas.values(), gateways):
        service.kill()


class Callers:
    """Calls the gateways without a pause until it is stopped, and counts the results."""

    def __init__(self, gateways: list[Service]):
        target = "ipv4:" + ",".join(gateway.address for gateway in gateways)
        self._channel = grpc.insecure_channel(target, OPTIONS)
        method, request = ReflectedClient(self._channel).method(f"{GATEWAY}/GetProfile")
        self._call = lambda: method(request(user_id="ada"), timeout=TIMEOUT)
        self.codes: Counter[str] = Counter()
        self._stop = threading.Event()
        self._counted = threading.Condition()
        self._threads = [threading.Thread(target=self._run) for _ in range(CALLERS)]
        for thread in self._threads:
            thread.start()

    def _run(self):
        while not self._stop.is_set():
            try:
                self._call()
                code = "OK"
            except grpc.RpcError as error:
                code = f"{error.code().name}: {error.details()}"
            with self._counted:
                self.codes[code] += 1
                self._counted.notify_all()

    def wait_for_more(self, calls: int):
        """Waits until this many more calls have ended."""
        with self._counted:
            goal = self.codes.total() + calls
            assert self._counted.wait_for(lambda: self.codes.total() >= goal, 60), self.codes

    def stop(self) -> Counter[str]:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._channel.close()
        return self.codes


def test_no_request_fails_while_every_process_is_replaced(fleet):
    callers = Callers(fleet[-1])
    try:
        callers.wait_for_more(500)
        for replicas in fleet:
            for replica in replicas:
                assert replica.stop() == 0, replica.log.read_text()[-2000:]
                callers.wait_for_more(300)
                replica.start()
                # The next one is restarted when this one gets calls again.
                replica.wait_served(100)
    finally:
        codes = callers.stop()
    print(f"\n{codes.total()} calls while every process was replaced one by one: {dict(codes)}")
    assert codes.keys() == {"OK"}
