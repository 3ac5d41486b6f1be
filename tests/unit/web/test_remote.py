"""Answers from another server, which is a small one of our own here."""

from __future__ import annotations

import asyncio
import base64
import time
from pathlib import Path
from threading import Event

import pytest
from fake_openai import fake_openai

pytest.importorskip("httpx")

from oryx.errors import ConfigError
from oryx.web.planning import Media
from oryx.web.remote import RemoteAsker
from oryx.web.replies import Request
from oryx.web.settings import Settings


def ask(asker, request, stop=None):
    async def run():
        return [reply async for reply in asker.ask(request, stop or Event())]

    return asyncio.run(run())


def request_of(media, question="What?", earlier=(), settings=None):
    return Request("me/A", media, settings or Settings(), question, tuple(earlier))


def test_an_answer_streams_and_says_what_it_took(scene):
    with fake_openai(key="secret") as server:
        asker = RemoteAsker(server.url, "secret")
        replies = ask(asker, request_of(scene, "Where is it?"))
    assert asker.model_name == "tiny"
    assert [reply.text for reply in replies if reply.state == "answering" and reply.text][:2] == [
        "red",
        "red circle",
    ]
    last = replies[-1]
    assert (last.state, last.text) == ("done", "red circle")
    assert (last.visual_tokens, last.prompt_tokens, last.kept_tokens, last.new_tokens) == (7, 11, 3, 5)
    assert 0 < last.first_seconds <= last.seconds
    (sent,) = server.requests
    assert sent["model"] == "tiny"
    assert "mm_processor_kwargs" not in sent
    (picture, text) = sent["messages"][0]["content"]
    url = picture["image_url"]["url"]
    assert url.startswith("data:image/png;base64,")
    assert base64.b64decode(url.partition(",")[2]) == Path(scene.paths[0]).read_bytes()
    assert text == {"type": "text", "text": "Where is it?"}


def test_a_stop_closes_the_connection(scene):
    with fake_openai(words=("word ",) * 500, pause=0.02) as server:
        asker, stop, replies = RemoteAsker(server.url), Event(), []

        async def run():
            async for reply in asker.ask(request_of(scene), stop):
                replies.append(reply)
                if reply.text:
                    stop.set()

        began = time.perf_counter()
        asyncio.run(run())
        assert server.has_left.wait(5)
    assert time.perf_counter() - began < 5
    assert replies[-1].state == "stopped"
    assert replies[-1].text.startswith("word")
    assert server.num_said < 500
    assert len(asker.line) == 0


def test_a_stop_ends_a_server_that_says_nothing(scene):
    with fake_openai(pause=30) as server:
        asker, stop = RemoteAsker(server.url), Event()

        async def run():
            replies = []
            asyncio.get_running_loop().call_later(0.3, stop.set)
            async for reply in asker.ask(request_of(scene), stop):
                replies.append(reply)
            return replies

        began = time.perf_counter()
        assert asyncio.run(run())[-1].state == "stopped"
        assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            (400, {"error": {"message": "compression 3 is not one of\n the ratios."}}),
            "is not one of the ratios.",
        ),
        ((503, b"<html>"), "refuses with status 503"),
        ((422, {"detail": "?"}), "refuses without a reason"),
    ],
)
def test_refusals_are_one_sentence(scene, error, words):
    with fake_openai() as server:
        server.error = error
        last = ask(RemoteAsker(server.url), request_of(scene))[-1]
    assert last.state == "failed"
    assert words in last.status


def test_a_server_that_went_away(scene):
    with fake_openai() as server:
        asker = RemoteAsker(server.url)
    last = ask(asker, request_of(scene))[-1]
    assert last.state == "failed"
    assert f"{server.url} does not answer" in last.status


def test_a_stream_that_just_ends_is_no_answer(scene):
    with fake_openai() as server:
        server.is_cut = True
        last = ask(RemoteAsker(server.url), request_of(scene))[-1]
    assert (last.state, last.text) == ("failed", "red circle")
    assert last.status == "the answer is cut off: the server ended it too early."


def test_a_password_is_sent_and_never_shown(scene):
    with fake_openai() as server:
        secret = server.url.replace("http://", "http://me:se%40cret@")
        asker = RemoteAsker(secret)
        assert ask(asker, request_of(scene))[-1].state == "done"
    assert asker.url == server.url
    assert server.authorizations == ["Basic " + base64.b64encode(b"me:se@cret").decode()] * 2
    assert "cret" not in ask(asker, request_of(scene))[-1].status
    for url in (secret, "http://me:secret@127.0.0.1:x/v1", "http://me:se/cret@host/v1", "me:secret@host"):
        with pytest.raises(ConfigError) as refused:
            RemoteAsker(url)
        assert "cret" not in str(refused.value)
    with pytest.raises(ConfigError, match="a request can carry but one"):
        RemoteAsker(secret, "key")


def test_a_broken_file_is_not_sent(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"?")
    with fake_openai() as server:
        last = ask(RemoteAsker(server.url), request_of(Media((str(tmp_path / "broken.png"),))))[-1]
    assert last.state == "failed"
    assert last.status.startswith("'broken.png'")
    assert server.requests == []


def test_servers_that_cannot_be_asked():
    for url in ("127.0.0.1:1", "file:///etc/passwd", "http://", "http://host/v1?x=1"):
        with pytest.raises(ConfigError, match="--url"):
            RemoteAsker(url)
    with fake_openai(key="secret") as server:
        with pytest.raises(ConfigError, match="the API key is wrong"):
            RemoteAsker(server.url, "guess")
        server.key, server.models = None, []
        with pytest.raises(ConfigError, match="lists no model; name one with --url-model"):
            RemoteAsker(server.url)
    with pytest.raises(ConfigError, match="does not answer"):
        RemoteAsker(server.url)
