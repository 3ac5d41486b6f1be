"""Plans and conversations as HTML: the numbers, one sentence for a mistake, and nothing unescaped."""

from __future__ import annotations

import pytest

from oryx.web.pictures import Pictures
from oryx.web.render import conversation_html, cost_text, duration, plan_html, sentence_html, strip_html
from oryx.web.replies import Reply, Turn, exchanges
from oryx.web.settings import Settings

EVIL = "<img src=x onerror=alert(1)>"


def test_the_plan_shows_its_numbers(plans, scene):
    forecast = plans.plan(scene, Settings(), "What?").forecast
    html = plan_html({"A": forecast})
    assert f'data-figure="visual">{forecast.num_visual_tokens:,}<' in html
    assert f'data-figure="prompt">{forecast.prompt_tokens:,}<' in html
    assert "8,192" in html
    assert 'class="lane"' not in html


def test_forecasts_are_about_and_behind_answers_of_the_next_question(plans, scene):
    forecast = plans.plan(scene, Settings()).forecast
    html = plan_html({"A": forecast})
    memory = html.partition('data-figure="memory">')[2]
    assert memory.startswith('<small class="approx">about </small>')
    assert "about" not in html.partition('data-figure="memory"')[0]  # tokens are exact
    assert "Next question" not in html
    assert "Next question" in plan_html({"A": forecast}, is_next=True)


@pytest.mark.parametrize(
    ("medium", "words"), [("scene", "174 + 17 marks = 191"), ("video", "192 + 62 marks = 254")]
)
def test_the_tokens_of_a_visual_add_up(plans, medium, words, request):
    plan = plans.plan(request.getfixturevalue(medium), Settings())
    tiles = Pictures().tiles(plan)
    html = strip_html({"A": (plan.forecast, tiles), "B": (plan.forecast, tiles)})
    assert html.count(f"{words} tokens") == 2
    assert html.count('<b class="lane" data-lane="B">B</b>') == 1


def test_lanes_are_named_only_where_there_are_two(plans, scene):
    forecast = plans.plan(scene, Settings()).forecast
    html = plan_html({"A": forecast, "B": "a budget of 1 cannot be met"})
    assert html.count('class="lane"') == 2
    assert "A budget of 1 cannot be met." in html


def test_nothing_is_unescaped():
    turn = Turn(EVIL, {"A": Reply("done", EVIL), "B": Reply("failed", status=EVIL)})
    talk, empty = conversation_html([turn]), conversation_html([], EVIL)
    for html in (talk, empty, plan_html({"A": EVIL}), sentence_html(EVIL)):
        assert "<img" not in html
        assert "&lt;img" in html


def test_costs():
    reply = Reply("done", "x", "", 1200, 1300, 1000, 4, 1.26, 0.08)
    assert cost_text(reply) == (
        "1,200 visual · 1,300 prompt (1,000 kept) · 4 new tokens · 1.3\u00a0s, first word 0.08\u00a0s"
    )
    assert "stopped" in cost_text(Reply("stopped", "x", seconds=2.0))
    assert "cut off" in cost_text(Reply("done", "x", new_tokens=4, is_cut_off=True))
    assert cost_text(Reply(status="reading")) == ""


def test_durations():
    written = [duration(seconds).replace("\u00a0", " ") for seconds in (0.004, 0.12, 3.14, 42.4, 125)]
    assert written == ["0.00 s", "0.12 s", "3.1 s", "42 s", "2:05 min"]


def test_a_lane_goes_on_from_its_own_answers():
    turns = [
        Turn("one", {"A": Reply("done", "a1")}),
        Turn("two", {"A": Reply("done", "a2"), "B": Reply("done", "b2")}),
        Turn("three", {"A": Reply("stopped", "a3"), "B": Reply("failed")}),
    ]
    assert exchanges(turns, "A") == (("one", "a1"), ("two", "a2"))
    assert exchanges(turns, "B") == (("one", "a1"), ("two", "b2"))
