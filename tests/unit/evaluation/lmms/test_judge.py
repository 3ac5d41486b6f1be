"""Grades of a judge."""

import pytest
from fake_openai import fake_openai

from oryx.evaluation.lmms import judge
from oryx.evaluation.lmms.judge import Grade, JudgeError, ask_judge, grade, read_grade


@pytest.mark.parametrize(
    ("reply", "points"),
    [
        ("3", 3),
        (" 3. ", 3),
        ("2.0", 2),
        ("3.0.", 3),
        ("{'score': 4}", 4),
        ('{"score": 4.8}', 4),
        ("```python\n{'score': 1}\n```", 1),
        ("0", 0),
        ("6", None),
        ("-1", None),
        ("{'score': '4'}", None),
        ("{'score': True}", None),
        ("{'points': 4}", None),
        ("{{'score': 4}}", None),
        ("I give it a 4.", None),
        ("4 or 5", None),
        ("", None),
        ("[" * 10_000, None),
    ],
)
def test_only_a_grade_is_read(reply, points):
    assert read_grade(reply, 5) == points


def test_a_judge_that_fails_or_rambles_gives_nothing_and_is_counted():
    def fail():
        raise UnboundLocalError("response")

    assert grade(lambda: "5", 5, ["So."]).num_failures == 0
    for ask in (fail, lambda: "Well done!", lambda: "{{'score': 4}}"):
        given = grade(ask, 5, ["So."])
        assert (given.points, given.num_failures) == (0, 1)
    assert "UnboundLocalError" in grade(fail, 5, ["So."]).problem
    assert "'Well done!'" in grade(lambda: "Well done!", 5, ["So."]).problem


@pytest.mark.parametrize("answers", [[""], [" "], ["So.", ""]])
def test_an_empty_answer_is_worth_nothing_and_no_judge_hears_it(answers):
    asked = []
    assert grade(lambda: asked.append(1) or "5", 5, answers) == Grade(0)
    assert not asked


def ask(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_URL", f"{server.url}/chat/completions")
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("MODEL_VERSION", "tiny")
    monkeypatch.setattr(judge, "_PAUSES", (0.0, 0.0))
    return ask_judge([{"role": "user", "content": "Grade it."}], 16)


def reply_of(text):
    return 200, {"choices": [{"message": {"role": "assistant", "content": text}}]}


def test_any_openai_server_is_asked(monkeypatch):
    with fake_openai(key="secret") as server:
        server.error = reply_of("3")
        assert ask(server, monkeypatch) == "3"
        (heard,) = server.requests
    assert heard["model"] == "tiny"
    assert heard["messages"] == [{"role": "user", "content": "Grade it."}]
    assert (heard["temperature"], heard["max_tokens"]) == (0, 16)


@pytest.mark.parametrize(
    ("answer", "num_tries", "sentence"),
    [
        ((500, {"error": "busy"}), 3, "answered 500"),
        ((401, {"error": "key"}), 1, "answered 401"),
        ((200, {"choices": []}), 3, "IndexError"),
        ((200, b"no json"), 3, "JSONDecodeError"),
    ],
)
def test_failures_are_tried_again_where_that_can_help(monkeypatch, answer, num_tries, sentence):
    with fake_openai() as server:
        server.error = answer
        with pytest.raises(JudgeError, match=sentence):
            ask(server, monkeypatch)
        assert len(server.requests) == num_tries


def test_a_server_that_is_not_there(monkeypatch):
    with fake_openai() as server:
        pass
    with pytest.raises(JudgeError, match="URLError"):
        ask(server, monkeypatch)
