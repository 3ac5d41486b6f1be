"""The OpenAI protocol, against a server that answers, refuses, dawdles and babbles."""

import base64
import contextlib
import json
import socket
import threading
import time

import pytest

from oryx.data.builders.needle.endpoint import OpenAICaptioner
from oryx.endpoint import MAX_ANSWER_BYTES
from oryx.errors import CaptionError, ConfigError


def ask(server, **settings):
    return OpenAICaptioner(server.url, **{"model": "seer", "timeout": 5, **settings}).describe(
        [b"one", b"two"], "What?"
    )


def test_the_request_is_the_protocols(server):
    assert ask(server, key="secret", max_tokens=7) == "A picture, number 0."
    (body,), (headers,) = server.bodies, server.headers
    assert body["path"] == "/v1/chat/completions"
    assert (body["model"], body["max_tokens"]) == ("seer", 7)
    (message,) = body["messages"]
    pictures, text = message["content"][:2], message["content"][2]
    urls = [part["image_url"]["url"] for part in pictures]
    assert urls == [f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}" for jpeg in (b"one", b"two")]
    assert text == {"type": "text", "text": "What?"}
    assert headers["Authorization"] == "Bearer secret"


def test_no_key_is_sent_where_there_is_none_and_it_is_never_shown(server):
    ask(server)
    assert "Authorization" not in server.headers[0]
    assert "secret" not in repr(OpenAICaptioner(server.url, key="secret"))


def test_the_key_does_not_follow_a_server_that_sends_elsewhere(server, other_server):
    server.script = lambda *_: (302, {"Location": other_server.url}, b"")
    with pytest.raises(CaptionError, match="without choices"):
        ask(server, key="secret")
    assert server.headers[0]["Authorization"] == "Bearer secret"
    (headers,) = other_server.headers
    assert "Authorization" not in headers


def test_the_full_address_will_do_too(server):
    assert OpenAICaptioner(server.url + "/chat/completions", "seer").describe([], "?").startswith("A picture")


@pytest.mark.parametrize("address", ["http://a..b/v1", "http://127.0.0.1:9/é", "http://b\u00fccher\ud800/v1"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ConfigError, match="is no address of an endpoint; http://host/v1 is needed"):
        OpenAICaptioner(address, "seer")


def test_the_one_model_served_is_found(server):
    captioner = OpenAICaptioner(server.url)
    captioner.connect()
    assert captioner.model == "seer"
    assert captioner.name == f"seer at {server.url}"


@pytest.mark.parametrize(
    ("models", "sentence"),
    [
        ({"data": [{"id": "a"}, {"id": "b"}]}, r"serves 2 models \(a, b\); name one"),
        ({"data": []}, r"serves 0 models \(none\)"),
        ({"models": "many"}, "does not list its models"),
    ],
)
def test_other_numbers_of_models_are_refused(server, models, sentence):
    server.models = models
    with pytest.raises(ConfigError, match=sentence):
        OpenAICaptioner(server.url).connect()


def test_parts_of_text_are_joined(server):
    parts = [{"type": "text", "text": "A "}, {"type": "text", "text": "door."}]
    server.script = lambda *_: {"choices": [{"message": {"content": parts}}]}
    assert ask(server) == "A door."


def test_a_message_without_text_is_empty(server):
    server.script = lambda *_: {"choices": [{"message": {"content": None}}]}
    assert ask(server) == ""


def test_newer_models_know_the_limit_by_another_name(server):
    def script(_, body):
        if "max_tokens" in body:
            said = {"error": {"message": "Use 'max_completion_tokens' instead."}}
            return 400, {}, json.dumps(said).encode()
        return "A door."

    server.script = script
    assert ask(server) == "A door."
    assert server.bodies[1]["max_completion_tokens"] == 400


def test_the_other_name_is_found_by_several_threads_at_once(server):
    captioner = OpenAICaptioner(server.url, "seer", timeout=5)

    def script(number, body):
        if number == 0:
            captioner.describe([], "What?")  # another thread's question, refused and asked again meanwhile
        if "max_tokens" in body:
            said = {"error": {"message": "Use 'max_completion_tokens' instead."}}
            return 400, {}, json.dumps(said).encode()
        return "A door."

    server.script = script
    assert captioner.describe([], "What?") == "A door."
    assert ["max_tokens" in body for body in server.bodies] == [True, True, False, False]


@pytest.mark.parametrize("code", [401, 402, 403, 404])
def test_what_will_never_work_is_a_config_error(server, code):
    server.script = lambda *_: code
    with pytest.raises(ConfigError, match=rf"refuses \({code} .*go away\); check address, key and model"):
        ask(server)


@pytest.mark.parametrize(
    ("answer", "is_outage", "sentence"),
    [
        (503, True, "refuses .503"),
        (429, True, "refuses .429"),
        (400, False, "refuses .400"),
        ((200, {}, b"<html>hello"), False, "no JSON"),
        pytest.param((200, {}, b"[" * 200_000), False, "no JSON", id="deep"),
        pytest.param((400, {}, b"[" * 200_000), False, "refuses .400", id="deep refusal"),
        ({"choices": []}, False, "without choices"),
        ({"error": "odd"}, False, "without choices"),
        (
            {"choices": [{"message": {"content": "A"}, "finish_reason": "length"}]},
            False,
            "cut off at 400 tokens",
        ),
        ({"choices": [{"message": {}, "finish_reason": "stop"}]}, False, "without choices"),
        ({"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]}, False, "withheld"),
        ((200, {}, b" " * (MAX_ANSWER_BYTES + 1)), True, "without end"),
    ],
    ids=str,
)
def test_what_may_work_next_time(server, answer, is_outage, sentence):
    server.script = lambda *_: answer
    with pytest.raises(CaptionError, match=sentence) as caught:
        ask(server)
    assert caught.value.is_outage == is_outage


def test_how_long_to_wait_is_read(server):
    server.script = lambda *_: (429, {"Retry-After": "2.5"}, b"slow down")
    with pytest.raises(CaptionError, match="slow down") as caught:
        ask(server)
    assert caught.value.wait == 2.5


@pytest.mark.parametrize("said", ["soon", "\xb2", "1.2.3", "."])
def test_a_time_to_wait_that_is_none(server, said):
    server.script = lambda *_: (429, {"Retry-After": said}, b"slow down")
    with pytest.raises(CaptionError, match="slow down") as caught:
        ask(server)
    assert caught.value.wait is None


def test_a_server_that_does_not_answer_is_left(server):
    server.script = lambda *_: server.release.wait(5) and "too late"
    with pytest.raises(CaptionError, match=r"did not answer in 0\.2 s") as caught:
        ask(server, timeout=0.2)
    assert caught.value.is_outage


def test_no_server_at_all():
    with pytest.raises(CaptionError, match="cannot be reached") as caught:
        OpenAICaptioner("http://127.0.0.1:9/v1", "seer", timeout=2).describe([], "?")
    assert caught.value.is_outage
    with pytest.raises(ConfigError, match="is this the address of an endpoint"):
        OpenAICaptioner("http://127.0.0.1:9/v1", timeout=2).connect()


@pytest.mark.parametrize(
    ("url", "settings"),
    [
        ("localhost:8000", {}),
        ("file:///etc/passwd", {}),
        ("http://", {}),
        ("http://[::1/v1", {}),
        ("http://host:port/v1", {}),
        ("http://a host/v1", {}),
        ("http://x", {"timeout": 0}),
        ("http://x", {"workers": 0}),
        ("http://x", {"key": "two\nlines"}),
    ],
)
def test_settings_that_cannot_be(url, settings):
    with pytest.raises(ConfigError):
        OpenAICaptioner(url, "seer", **settings)


def test_a_long_explanation_is_shown_from_its_beginning(server):
    server.script = lambda *_: (400, {}, b"the picture is too large " * 2_000)
    with pytest.raises(CaptionError, match=r"refuses .400 .*: the picture is too large the picture"):
        ask(server)


@pytest.mark.parametrize("head", ["200 OK", "503 Busy"])
def test_a_body_that_drips_is_left(head):
    """An answer or an error's text: the socket's own timeout begins anew at every byte."""
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(f"HTTP/1.1 {head}\r\nContent-Length: 1000\r\n\r\n".encode())
                while not done.wait(0.05):
                    connection.sendall(b" ")

        thread = threading.Thread(target=serve)
        thread.start()
        captioner = OpenAICaptioner(f"http://127.0.0.1:{listener.getsockname()[1]}", "seer", timeout=0.3)
        began = time.monotonic()
        with pytest.raises(CaptionError, match=r"did not answer in 0\.3 s|refuses .503 Busy") as caught:
            captioner.describe([], "What?")
        took = time.monotonic() - began
        done.set()
        thread.join()
    assert caught.value.is_outage
    assert took < 20  # 1,000 bytes take 50 s
