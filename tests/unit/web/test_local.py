"""Answers from the model in this process."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from threading import Event

import pytest
import torch

from oryx.engine.session import Session
from oryx.web.local import LocalAsker
from oryx.web.planning import Media
from oryx.web.replies import BROKEN, Request
from oryx.web.settings import Settings


def ask(asker, media, question, *, owner="me/A", earlier=(), settings=None, stop=None):
    """All replies of one question."""

    async def run():
        request = Request(owner, media, settings or Settings(), question, tuple(earlier))
        return [reply async for reply in asker.ask(request, stop or Event())]

    return asyncio.run(run())


def test_an_answer_streams_and_says_what_it_took(asker, plans, scene):
    replies = ask(asker, scene, "Where is the red circle?")
    last = replies[-1]
    assert (last.state, last.text) == ("done", "top right")
    planned = plans.plan(scene, Settings(), "Where is the red circle?").forecast
    assert last.visual_tokens == planned.num_visual_tokens
    assert last.prompt_tokens == planned.prompt_tokens
    assert last.kept_tokens == 0
    assert last.new_tokens > 0
    assert 0 < last.first_seconds <= last.seconds


@pytest.mark.parametrize(
    ("medium", "question", "answer"),
    [("video", "What comes first?", "red circle"), ("room", "What comes last?", "green cross")],
)
def test_videos_and_views(asker, request, medium, question, answer):
    assert ask(asker, request.getfixturevalue(medium), question)[-1].text == answer


def test_a_follow_up_keeps_the_prompt_and_equals_a_session(asker, nano, video):
    first = ask(asker, video, "What comes first?")[-1]
    second = ask(asker, video, "What comes last?", earlier=[("What comes first?", first.text)])[-1]
    session = Session(*nano)
    session.add({"type": "video", "video": video.paths[0]})
    session.ask("What comes first?")
    expected = session.ask("What comes last?")
    assert second.text == expected.text
    assert (second.prompt_tokens, second.kept_tokens) == (expected.prompt_tokens, expected.cached_tokens)
    assert second.kept_tokens > second.visual_tokens


def test_moved_dials_go_on_with_the_conversation(asker, video):
    first = ask(asker, video, "What comes first?")[-1]
    coarser = ask(
        asker,
        video,
        "What comes last?",
        earlier=[("What comes first?", first.text)],
        settings=Settings(compression=16),
    )[-1]
    assert coarser.state == "done"
    assert coarser.visual_tokens < first.visual_tokens
    assert coarser.kept_tokens == 0


def test_sessions_are_dropped_to_stay_within_memory(nano, plans, scene):
    asker = LocalAsker(*nano, plans, kept_bytes=1)
    ask(asker, scene, "What?", owner="one/A")
    ask(asker, scene, "What?", owner="two/A")
    assert asker.owners == ["two/A"]
    again = ask(asker, scene, "Where is the red circle?", owner="one/A", earlier=[("What?", "three")])[-1]
    assert again.state == "done"  # made again
    asker.forget("one/")
    assert asker.owners == []


def test_forgetting_one_person_leaves_the_others(asker, scene):
    for owner in ("one/A", "one/B", "two/A"):
        ask(asker, scene, "What?", owner=owner)
    asker.forget("one/")
    assert asker.owners == ["two/A"]


def endless(monkeypatch, nano):
    """Make nano talk without end."""
    model, _ = nano
    monkeypatch.setattr(model.generation_config, "eos_token_id", None)
    monkeypatch.setattr(model.generation_config, "max_length", None, raising=False)


def test_a_stop_keeps_what_was_said(monkeypatch, nano, asker, scene):
    endless(monkeypatch, nano)
    stop = Event()

    async def run():
        replies = []
        request = Request(
            "me/A", scene, Settings(max_new_tokens=2000, temperature=1.0), "Describe the image."
        )
        async for reply in asker.ask(request, stop):
            replies.append(reply)
            if reply.text:
                stop.set()
        return replies

    torch.manual_seed(0)
    last = asyncio.run(run())[-1]
    assert last.state == "stopped"
    assert last.text
    assert last.seconds < 10
    assert len(asker.line) == 0
    monkeypatch.undo()
    assert ask(asker, scene, "Where is the red circle?")[-1].text == "top right"


def test_leaving_frees_the_model(monkeypatch, nano, asker, scene):
    endless(monkeypatch, nano)

    async def run():
        request = Request(
            "me/A", scene, Settings(max_new_tokens=2000, temperature=1.0), "Describe the image."
        )
        async with aclosing(asker.ask(request, Event())) as replies:
            async for reply in replies:
                if reply.text:
                    break
        return len(asker.line)

    torch.manual_seed(0)
    assert asyncio.run(run()) == 0


def test_a_stop_before_anything_is_read(asker, scene):
    stop = Event()
    stop.set()
    (only,) = ask(asker, scene, "What?", stop=stop)
    assert only.state == "stopped"
    assert asker.owners == []


def test_mistakes_are_one_sentence(asker, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"\0" * 100)
    last = ask(asker, Media((str(broken),)), "What?")[-1]
    assert last.state == "failed"
    assert "broken.mp4" in last.status
    assert str(tmp_path) not in last.status
    assert len(asker.line) == 0


def test_faults_of_our_own_show_no_trace(monkeypatch, asker, scene):
    def fail(*_):
        raise RuntimeError("secret")

    monkeypatch.setattr(asker.plans, "plan", fail)
    last = ask(asker, scene, "What?")[-1]
    assert (last.state, last.status) == ("failed", BROKEN)
