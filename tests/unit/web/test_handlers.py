"""What the page's events do, without a browser."""

from __future__ import annotations

import asyncio

import pytest

from oryx.web.handlers import Handlers, Stops
from oryx.web.planning import Limits
from oryx.web.replies import Reply, Turn
from oryx.web.settings import NAMES

USUAL = [{"compression": "auto"}.get(name) for name in NAMES]


def values(**changed):
    return [changed.get(name, usual) for name, usual in zip(NAMES, USUAL)]


@pytest.fixture
def handlers(asker, plans) -> Handlers:
    return Handlers(asker, plans, Limits())


def form(handlers, media, question="", compare=False, turns=(), first=None, second=None):
    both = [*(first or USUAL), *(second or USUAL)]
    return handlers.form(list(media.paths), media.as_views, question, compare, turns, both)


def ask(handlers, given, person="me"):
    async def run():
        return [progress async for progress in handlers.ask(given, person)]

    return asyncio.run(run())


def test_plan_and_strip(handlers, video):
    usual = handlers.plan(form(handlers, video))
    coarse = handlers.plan(form(handlers, video, first=values(compression="16")))
    assert 'data-figure="visual">254<' in usual
    assert 'data-figure="visual">86<' in coarse
    assert handlers.strip(form(handlers, video)).count("<svg") == 12
    two = form(handlers, video, compare=True, second=values(compression="16"))
    assert handlers.strip(two).count("<svg") == 12
    assert ">254<" in handlers.plan(two)
    assert ">86<" in handlers.plan(two)


def test_nothing_dropped_nothing_planned(handlers):
    empty = handlers.form(None, False, None, False, (), [*USUAL, *USUAL])
    assert "row" not in handlers.plan(empty)
    assert "<svg" not in handlers.strip(empty)


def test_mistakes_are_told_once_and_in_the_plan(handlers, video, tmp_path):
    wrong = form(handlers, video, compare=True, second=values(tokens="2"))
    assert handlers.plan(wrong).count('role="alert"') == 1
    assert handlers.strip(wrong).count("<svg") == 6
    broken = tmp_path / "x.png"
    broken.write_bytes(b"?")
    given = handlers.form([str(broken)], False, "", True, (), [*USUAL, *USUAL])
    assert handlers.plan(given).count('role="alert"') == 1
    assert handlers.kinds([str(broken), video.paths[0]]) == {"video"}


def test_views_come_in_natural_order(handlers, room):
    given = handlers.form(list(room.paths[::-1]), True, "", False, (), [*USUAL, *USUAL])
    assert given.media.paths == room.paths
    assert not handlers.form([room.paths[0]], True, "", False, (), [*USUAL, *USUAL]).media.as_views


def test_a_conversation(handlers, video):
    first = ask(handlers, form(handlers, video, "What comes first?"))
    assert all(progress.turns is None for progress in first[:-1])
    assert "red circle" in first[-1].html
    assert first[-1].question == ""
    second = ask(handlers, form(handlers, video, "What comes last?", turns=first[-1].turns))
    assert [turn.replies["A"].text for turn in second[-1].turns] == ["red circle", "green triangle"]
    assert second[-1].turns[1].replies["A"].kept_tokens > 0


def test_two_settings(handlers, video):
    given = form(handlers, video, "What comes first?", compare=True, second=values(compression="16"))
    (turn,) = ask(handlers, given)[-1].turns
    assert [reply.text for reply in turn.replies.values()] == ["red circle", "red circle"]
    assert [reply.visual_tokens for reply in turn.replies.values()] == [254, 86]
    assert handlers.asker.owners == ["me/A", "me/B"]
    handlers.leave("me")
    assert handlers.asker.owners == []


class SlowAsker:
    """Says word after word until it is stopped."""

    model_name = "slow"

    def __init__(self) -> None:
        self.forgotten: list[str] = []

    async def ask(self, request, stop):
        while not stop.is_set():
            yield Reply("answering", "word")
            await asyncio.sleep(0.01)
        yield Reply("stopped", "word")

    def forget(self, owner):
        self.forgotten.append(owner)


def interrupted(act, handlers, old):
    """All progress of a question during which `act(person)` happens."""

    async def run():
        shown = []
        given = handlers.form([], False, "now?", False, old, [*USUAL, *USUAL])
        async for progress in handlers.ask(given, "me"):
            shown.append(progress)
            if len(shown) == 3:
                act("me")
        return shown

    return asyncio.run(run())


def test_an_answer_that_was_stopped_stays():
    handlers, old = Handlers(SlowAsker(), None, Limits()), (Turn("before"),)
    shown = interrupted(handlers.stops.stop, handlers, old)
    assert [turn.question for turn in shown[-1].turns] == ["before", "now?"]
    assert shown[-1].turns[-1].replies["A"].state == "stopped"


@pytest.mark.parametrize("name", ["restart", "leave"])
def test_nothing_of_a_conversation_that_was_left_comes_back(name):
    handlers, old = Handlers(SlowAsker(), None, Limits()), (Turn("before"),)
    shown = interrupted(getattr(handlers, name), handlers, old)
    assert shown[-1].turns == ()
    assert "now?" in shown[2].html
    assert all("before" not in progress.html for progress in shown[3:])
    assert "me/" in handlers.asker.forgotten


def test_a_failed_question_stays_in_the_box(handlers, video):
    progress = ask(handlers, form(handlers, video, "What?", first=values(max_frames=10**6)))[-1]
    assert progress.question == "What?"
    assert "Frames can be 1 to 256" in progress.html


def test_without_sizes_there_is_no_plan(asker, video):
    handlers = Handlers(asker, None, Limits())
    assert "No plan" in handlers.plan(form(handlers, video))


def test_stops_belong_to_a_person():
    stops = Stops()
    mine, other = stops.begin("me"), stops.begin("other")
    stops.stop("me")
    assert mine.is_set()
    assert not other.is_set()
    again = stops.begin("other")
    assert other.is_set()
    assert not again.is_set()
    stops.stop("nobody")
