"""How much the server takes in, and how long it waits."""

import json
import socket
import time

import openai
import pytest
from fake_serving import eventually, serving
from http_calls import CHAT, QUESTION, ask, call, head, read_all, read_answer, wire

from oryx.errors import ConfigError
from oryx.serving.http.settings import Limits

SMALL = Limits(max_body=20_000, body_seconds=0.4, header_seconds=0.4)


@pytest.fixture(scope="module")
def running():
    with serving(SMALL) as server:
        yield server


def test_a_body_that_says_it_is_too_large_is_not_read(running):
    with wire(running) as connection:
        connection.sendall(head("Content-Length: 99999999999"))
        answer = read_answer(connection)
    assert answer.status == 413
    assert "20,000 bytes" in answer.error["message"]


def test_a_client_that_asks_before_it_sends_is_told_no(running):
    with wire(running) as connection:
        connection.sendall(head("Content-Length: 99999999999", "Expect: 100-continue"))
        assert read_answer(connection).status == 413


def test_a_body_that_is_larger_than_it_may_be_ends_where_it_does(running):
    answer = call(running, "POST", CHAT, b" " * 20_001, Content_Type="application/json")
    assert (answer.status, answer.error["code"]) == (413, "body_too_large")
    assert call(running, "POST", CHAT, QUESTION.ljust(20_000), Content_Type="application/json").status == 200


def test_an_endless_stream_is_cut_off(running):
    with wire(running) as connection:
        connection.sendall(head("Transfer-Encoding: chunked"))
        sent, began = 0, time.monotonic()
        try:
            while time.monotonic() - began < 10:
                connection.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
                sent += 65536
        except OSError:
            pass
    assert sent < 200 * 2**20
    assert time.monotonic() - began < 10
    eventually(lambda: ask(running).status == 200)


def test_an_endless_stream_to_nowhere_is_cut_off_too(running):
    with wire(running) as connection:
        connection.sendall(head("Transfer-Encoding: chunked").replace(CHAT.encode(), b"/nothing"))
        began = time.monotonic()
        try:
            while time.monotonic() - began < 10:
                connection.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
        except OSError:
            pass
    assert time.monotonic() - began < 10


def test_a_slow_body_times_out(running):
    with wire(running) as connection:
        began = time.monotonic()
        connection.sendall(head(f"Content-Length: {len(QUESTION)}"))
        for byte in QUESTION[:5]:
            connection.sendall(bytes([byte]))
            time.sleep(0.05)
        answer = read_answer(connection)
    assert (answer.status, answer.error["code"]) == (408, "body_timeout")
    assert 0.3 < time.monotonic() - began < 5


@pytest.mark.parametrize("sent", [b"", b"POST /v1/chat/completions HTTP/1.1\r\nHost: local"])
def test_slow_headers_time_out(running, sent):
    with wire(running) as connection:
        connection.sendall(sent)
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 408 ") if sent else answer == b""


def test_a_drop_now_and_then_does_not_keep_headers_open(running):
    with wire(running) as connection:
        began = time.monotonic()
        connection.sendall(b"GET /health HTTP/1.1\r\n")
        try:
            while time.monotonic() - began < 5:
                connection.sendall(b"X: 1\r\n")
                time.sleep(0.05)
        except OSError:
            pass
    assert time.monotonic() - began < 4


def test_headers_of_a_second_request_are_timed_too(running):
    with wire(running) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200 OK" in connection.recv(65536)
        connection.sendall(b"GET /hea")
        assert b"HTTP/1.1 408 " in read_all(connection)  # what is left of the first answer may come first


def test_headers_have_a_size(running):
    answer = call(running, "GET", "/health", X="y" * 2_000_000)
    assert (answer.status, answer.error["code"]) == (400, "malformed_http")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
    ],
)
def test_what_is_no_http_is_told_so(running, sent):
    with wire(running) as connection:
        connection.sendall(sent + b"\r\n\r\n")
        answer = read_all(connection)
    assert answer.split(b" ")[1] == b"400"
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "malformed_http"


@pytest.mark.parametrize(
    "ambiguous",
    [
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_a_body_whose_end_is_told_in_two_ways_is_refused_with_all_that_follows(running, ambiguous):
    with wire(running) as connection:
        connection.sendall(ambiguous + b"0\r\n\r\nGET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answers = read_all(connection)
    assert answers.startswith(b"HTTP/1.1 400 ")
    assert b"connection: close" in answers.lower()
    assert (
        json.loads(answers.partition(b"\r\n\r\n")[2])["error"]["code"] == "malformed_http"
    )  # nothing after it


def test_a_chunk_that_is_none_ends_the_request(running):
    with wire(running) as connection:
        connection.sendall(head("Transfer-Encoding: chunked") + b"5\r\n{}{}{\r\nzz\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 400 ")
    eventually(lambda: ask(running).status == 200)


def test_connections_are_counted():
    with serving(Limits(max_connections=3)) as running:
        kept = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(3)]
        eventually(lambda: len(running.server.server_state.connections) == 3)
        with wire(running) as connection:
            answer = read_all(connection)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after" in answer.lower()
        for connection in kept:
            connection.close()
        eventually(lambda: ask(running).status == 200)


def test_a_client_that_stops_reading_has_left():
    with serving(Limits(send_seconds=0.3)) as running:
        messages = [{"role": "user", "content": "flood"}]
        body = {"messages": messages, "stream": True, "max_tokens": 4000}
        data = json.dumps(body).encode()
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", running.port))
            connection.sendall(head(f"Content-Length: {len(data)}") + data)
            eventually(lambda: running.engine.running)
            time.sleep(0.2)
            assert running.engine.running  # it waits for the client,
            eventually(lambda: not running.engine.running, 2)  # but not for long


@pytest.mark.parametrize("last", [b"", b"\x16\x03\r\n\r\n"], ids=["kept open", "closed by the server"])
def test_a_client_that_leaves_a_small_rest_unread_has_left_too(last):
    with serving(Limits(send_seconds=0.3)) as running, socket.socket() as connection:
        body = {"messages": [{"role": "user", "content": "flood"}], "max_tokens": 1}  # an answer of 20 kB
        data = json.dumps(body).encode()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", running.port))
        eventually(lambda: running.server.server_state.connections)
        (served,) = running.server.server_state.connections
        for number in range(1, 2000):  # until the kernel takes no more, and the server holds the rest
            connection.sendall(head(f"Content-Length: {len(data)}") + data)
            eventually(lambda number=number: running.server.server_state.total_requests >= number, 10)
            if served.transport.get_write_buffer_size():
                break
        assert 0 < served.transport.get_write_buffer_size() < 65536
        connection.sendall(last)
        eventually(lambda: not running.server.server_state.connections, 3)


def test_media_are_counted():
    picture = {"type": "image_url", "image_url": "data:image/png;base64,AAAA"}
    video = {"type": "video_url", "video_url": "data:video/mp4;base64,AAAA"}
    with serving(Limits(max_images=2, max_videos=1)) as running:
        for parts, status, code in (
            ([picture] * 2 + [video], 200, None),
            ([picture] * 3, 400, "too_many_pictures"),
            ([video] * 2, 400, "too_many_videos"),
        ):
            body = {"messages": [{"role": "user", "content": parts}] * 1}
            answer = call(running, "POST", CHAT, body)
            assert (answer.status, code and answer.error["code"]) == (status, code)


def test_tokens_have_limits_of_the_servers_own():
    with (
        serving(Limits(max_prompt_tokens=10, max_output_tokens=4)) as running,
        openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0) as client,
    ):

        def create(question: str, **more: int):
            messages = [{"role": "user", "content": question}]
            return client.chat.completions.create(model="nano", messages=messages, **more)

        assert create("x" * 10).choices[0].message.content == "x" * 10
        assert running.engine.samplings[-1].max_tokens == 4
        with pytest.raises(openai.BadRequestError, match="at most 10: shorten the text") as caught:
            create("x" * 11)
        assert caught.value.code == "context_length_exceeded"
        with pytest.raises(openai.BadRequestError, match="max_tokens is 5"):
            create("hi", max_tokens=5)
        with pytest.raises(openai.BadRequestError, match="max_completion_tokens is 6"):
            create("hi", max_completion_tokens=6)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_body", 0),
        ("body_seconds", 0),
        ("queue_seconds", float("inf")),
        ("max_queue", -1),
        ("max_images", -1),
    ],
)
def test_limits_that_cannot_be(name, value):
    with pytest.raises(ConfigError, match="--" + name.replace("_", "-")):
        Limits(**{name: value})
