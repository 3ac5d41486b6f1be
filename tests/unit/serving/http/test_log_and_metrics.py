"""What the server tells of its requests, and what it does not."""

import logging
import re

import openai
import pytest
from fake_serving import Running, eventually, serving
from http_calls import CHAT, ask, call, wire

from oryx.serving.http.settings import Access

SECRETS = ("a secret question", "data:image", "c2VjcmV0", "the-secret-key")
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,c2VjcmV0"}}


@pytest.fixture
def running():
    with serving(access=Access(api_keys=("the-secret-key",))) as server:
        yield server


def value(running: Running, name: str) -> float:
    text = call(running, "GET", "/metrics", Authorization="Bearer the-secret-key").body.decode()
    found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def client(running: Running, **more) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{running.url}/v1", api_key="the-secret-key", max_retries=0, **more)


def test_a_line_for_each_request_without_contents(running, logged):
    def told_of(requests: int) -> None:  # a line comes after the answer: the next would race it
        eventually(lambda: len(logged()) >= requests)

    with client(running) as asking:
        content = [PICTURE, {"type": "text", "text": "a secret question"}]
        asking.chat.completions.create(model="nano", messages=[{"role": "user", "content": content}])
        told_of(1)
        with pytest.raises(openai.BadRequestError):
            asking.chat.completions.create(model="nano", messages=[{"role": "user", "content": content}], n=2)
    told_of(2)
    call(running, "GET", "/nothing%0Ahere?token=a+secret+question")
    told_of(3)
    call(running, "GET", "/v1/models", Authorization="Bearer the-secret-key-with-an-error")
    told_of(4)
    call(running, "GET", "/health")
    told_of(5)
    whole, wrong, nothing, locked, health = logged()
    assert re.fullmatch(rf"POST {CHAT} 200 27 prompt tokens \(10 visual\), 3 generated, \d\.\d\d s", whole)
    told = r"\({}, [0-9a-f]{{32}}\) \d\.\d\d s"
    assert re.fullmatch(rf"POST {CHAT} 400 {told.format('unsupported_parameter')}", wrong)
    assert re.fullmatch(rf"GET /nothing\\nhere 401 {told.format('invalid_api_key')}", nothing)
    assert re.fullmatch(rf"GET /v1/models 401 {told.format('invalid_api_key')}", locked)
    assert health.startswith("GET /health 200")
    for line in logged():
        assert not any(secret in line for secret in SECRETS)


def test_an_error_is_logged_under_the_id_that_the_client_was_told(running, logged):
    answer = call(running, "POST", CHAT, {}, Authorization="Bearer the-secret-key")
    eventually(logged)
    assert f" 400 (invalid_parameter, {answer.headers['x-request-id']}) " in logged()[0]


def test_probes_are_not_worth_a_line(running, caplog):
    caplog.set_level(logging.INFO, logger="oryx.serving.requests")
    call(running, "GET", "/health")
    assert value(running, "oryx_requests_running") == 0
    assert caplog.records == []


def test_a_bug_is_in_the_log_under_the_id_that_the_client_was_told(running, caplog):
    answer = ask(running, "break it", Authorization="Bearer the-secret-key")
    assert answer.status == 500
    assert answer.headers["x-request-id"] in answer.error["message"]
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert answer.headers["x-request-id"] in record.getMessage()
    assert "ZeroDivisionError: a secret of the inside" in caplog.text


def test_a_client_that_left_is_in_the_log(running, logged):
    with client(running, timeout=0.2) as asking, pytest.raises(openai.APITimeoutError):
        asking.chat.completions.create(model="nano", messages=[{"role": "user", "content": "hold"}])
    eventually(lambda: any("client_left" in line for line in logged()))
    (line,) = [line for line in logged() if CHAT in line]
    assert re.match(rf"POST {CHAT} 499 \(client_left, [0-9a-f]{{32}}\) 4 prompt tokens", line)
    assert value(running, f'oryx_requests_total{{endpoint="{CHAT}",status="499"}}') == 1


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=cut"])
def test_a_client_that_left_in_the_midst_of_its_body_is_no_error(running, logged, kind):
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: 99\r\n"
    with wire(running) as connection:
        connection.sendall(f"{head}Authorization: Bearer the-secret-key\r\n\r\n--cut".encode())
        eventually(lambda: value(running, "oryx_held_bytes") == 99)
    eventually(lambda: value(running, "oryx_held_bytes") == 0)
    eventually(lambda: any("/metrics" not in line for line in logged()))
    (line,) = [line for line in logged() if "/metrics" not in line]
    assert line.startswith(f"POST {CHAT} 499 ")


def test_what_prometheus_reads(running):
    with client(running) as asking:
        content = [PICTURE, {"type": "text", "text": "one two"}]
        for stream in (False, True):
            answer = asking.chat.completions.create(
                model="nano", messages=[{"role": "user", "content": content}], stream=stream
            )
            if stream:
                list(answer)
    call(running, "POST", CHAT, {}, Authorization="Bearer the-secret-key")
    call(running, "GET", "/v1/models", Authorization="Bearer the-secret-key")
    call(running, "GET", "/what/ever", Authorization="Bearer the-secret-key")
    for name, expected in {
        f'oryx_requests_total{{endpoint="{CHAT}",status="200"}}': 2,
        f'oryx_requests_total{{endpoint="{CHAT}",status="400"}}': 1,
        'oryx_requests_total{endpoint="/v1/models",status="200"}': 1,
        'oryx_requests_total{endpoint="other",status="404"}': 1,
        "oryx_prompt_tokens_total": 34,
        "oryx_visual_tokens_total": 20,
        "oryx_generated_tokens_total": 4,
        "oryx_time_to_first_token_seconds_count": 2,
        "oryx_encode_seconds_count": 2,
        "oryx_request_seconds_count": 3,
        "oryx_requests_running": 0,
        "oryx_requests_queued": 0,
        "oryx_held_bytes": 0,
    }.items():
        eventually(lambda name=name, expected=expected: value(running, name) == expected)
    assert value(running, "process_resident_memory_bytes") > 1e6


def test_every_error_has_openais_shape(running):
    key = {"Authorization": "Bearer the-secret-key"}
    for method, path, status in (
        ("GET", "/", 404),
        ("GET", CHAT, 405),
        ("POST", "/v1/models", 405),
        ("GET", "/v1/models/", 404),
        ("GET", "/v1/models/x/y", 404),
        ("POST", CHAT + "/", 404),
        ("PUT", "/health", 405),
        ("GET", "/docs", 404),
        ("GET", "/openapi.json", 404),
        ("POST", CHAT, 415),
    ):
        answer = call(running, method, path, **key)
        assert (answer.status, answer.error["type"]) == (status, "invalid_request_error"), path
        if status == 405:
            assert answer.headers["allow"]
