"""`buf curl` with reflection, as a person uses it."""

import json
import subprocess

import pytest
from reflected_client import GATEWAY


@pytest.fixture
def curl(buf, up):
    def curl(method, body, *flags):
        command = [buf, "curl", "--protocol", "grpc", "--http2-prior-knowledge", *flags]
        url = f"http://{up.address('gateway')}/{GATEWAY}/{method}"
        return subprocess.run([*command, "-d", json.dumps(body), url], capture_output=True, text=True, timeout=30)

    return curl


def documents(text):
    """The JSON documents of a stream."""
    decoder, found = json.JSONDecoder(), []
    while text := text.lstrip():
        document, end = decoder.raw_decode(text)
        found.append(document)
        text = text[end:]
    return found


def only(done):
    assert done.returncode == 0, done.stderr
    [document] = documents(done.stdout)
    return document


def seconds(duration):
    return float(duration.removesuffix("s"))


def test_get_profile(curl):
    reply = only(curl("GetProfile", {"userId": "ada", "strategy": "STRATEGY_SPAWNED"}))
    assert reply["user"]["displayName"] == "Ada Lovelace"
    assert len(reply["countryList"]["countries"]) == 249
    report = reply["report"]
    assert report["strategy"] == "STRATEGY_SPAWNED"
    states = {call["name"]: call["state"] for call in report["calls"]}
    assert (states["user"], states["country"]) == ("CALL_STATE_OK", "CALL_STATE_OK")
    assert seconds(report["savedTime"]) > 0


def test_get_home_country(curl):
    reply = only(curl("GetHomeCountry", {"user_id": "ada"}))
    assert reply["country"] == {
        "code": "GB",
        "alpha3Code": "GBR",
        "numericCode": 826,
        "name": reply["country"]["name"],
    }
    assert "United Kingdom" in reply["country"]["name"]


def test_stream_users(curl):
    done = curl("StreamUsers", {"userIds": ["ada", "alan", "grace"]})
    assert done.returncode == 0, done.stderr
    *answers, last = documents(done.stdout)
    assert {answer["user"]["id"] for answer in answers} == {"ada", "alan", "grace"}
    assert len(last["report"]["calls"]) == 3


def test_baggage_sets_the_delays_of_one_request(curl):
    # Two headers: buf ends a header at a comma in -H.
    flags = ["-H", "baggage: user.delay=10ms", "-H", "baggage: country.delay=600ms"]
    report = only(curl("GetProfile", {"userId": "ada", "strategy": "STRATEGY_SEQUENTIAL"}, *flags))["report"]
    took = {call["name"]: seconds(call["duration"]) for call in report["calls"]}
    user, country = took["user"], took["country"]
    assert 0.01 <= user < 0.3, "shorter than the backend's own delay"
    assert 0.6 <= country < 1.2


def test_an_error_as_json(curl):
    done = curl("GetProfile", {"userId": "nobody"})
    # buf's exit code is eight times gRPC's code: NOT_FOUND is 5.
    assert (done.returncode, done.stdout) == (40, "")
    [error] = documents(done.stderr)
    assert error["code"] == "not_found"
    assert "nobody" in error["message"]
    assert {detail["type"] for detail in error["details"]} == {"google.rpc.ErrorInfo", "google.rpc.ResourceInfo"}


def test_an_unknown_field_is_detected_by_reflection(curl):
    done = curl("GetProfile", {"user": "ada"})
    assert done.returncode != 0
    assert "user" in done.stderr
