"""Questions are asked once, in batches, and only those whose answers are not kept."""

import pytest

from oryx.data.synthetic import Sample
from oryx.endpoint import EndpointError
from oryx.errors import ConfigError
from oryx.evaluation.answers import Answer, answer_all, mean_tokens
from oryx.evaluation.journal import Journal


class Echo:
    """Answers with the question in capitals; keeps what it was asked, in batches."""

    def __init__(self):
        self.batches = []

    def answer(self, samples, max_new_tokens, dials):
        asked = [sample.conversations[0]["value"].removeprefix("<image>\n") for sample in samples]
        self.batches.append(asked)
        for index, text in reversed([*enumerate(asked)]):
            yield index, Answer("", None, 0.5, "withheld") if text == "q3" else Answer(text.upper(), 7, 0.5)


def draw(key):
    turns = [{"from": "human", "value": f"<image>\nq{key[0]}"}, {"from": "gpt", "value": f"a{key[0]}"}]
    return Sample("test", [], turns)


def ask(echo, kept, progress=None):
    return answer_all(echo, [(number,) for number in range(5)], draw, 9, {}, 2, kept, progress)


def test_what_is_kept_is_not_asked_again():
    kept, first, done = Journal.in_memory(), Echo(), []
    whole = ask(first, kept, done.append)
    assert first.batches == [["q0", "q1"], ["q2", "q3"], ["q4"]]
    assert done == [2, 2, 1]
    assert [one.answer for one in whole] == ["Q0", "Q1", "Q2", "", "Q4"]
    assert (whole[3].problem, whole[3].expected) == ("withheld", "a3")
    assert mean_tokens(whole) == 7
    again, done = Echo(), []
    assert ask(again, kept, done.append) == whole
    assert again.batches == [["q3"]]  # refused before: asked again
    assert done == [4, 1]


def test_what_came_before_a_failure_is_kept():
    class Failing(Echo):
        def answer(self, *args):
            yield next(super().answer(*args))
            raise EndpointError("away", True)

    kept = Journal.in_memory()
    with pytest.raises(EndpointError, match="away"):
        ask(Failing(), kept)
    assert list(kept) == [(1,)]


def test_kept_answers_of_another_shape():
    kept = Journal.in_memory()
    kept.add((0,), {"text": "x"})
    with pytest.raises(ConfigError, match="cannot be read"):
        ask(Echo(), kept)
