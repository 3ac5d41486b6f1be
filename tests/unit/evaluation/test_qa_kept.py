"""Answers are kept one by one, and belong to one model, one command and one file of records."""

import json

import pytest

from oryx.errors import ConfigError
from oryx.evaluation.qa_kept import KeptAnswers

COMMAND = "oryx eval scanqa records.jsonl --max-new-tokens 32"
CONDITIONS = {"model_sha256": "ab", "records_sha256": "cd", "device": "cpu"}
FACTS = {"model": "nano", "dtype": "float32"}


@pytest.fixture
def path(tmp_path):
    kept = KeptAnswers(tmp_path / "out" / "scanqa.answers.jsonl", COMMAND, CONDITIONS)
    assert (kept.facts, dict(kept.answers)) == (None, {})
    kept.begin(FACTS)
    kept.add("a", "brown")
    kept.add("b", 'two "lines"\nof ü\u2028')
    return kept.path


def test_a_second_run_has_the_answers_of_the_first(path):
    kept = KeptAnswers(path, COMMAND, CONDITIONS)
    assert kept.facts == FACTS
    assert kept.answers == {"a": "brown", "b": 'two "lines"\nof ü\u2028'}
    kept.begin(FACTS)
    kept.add("c", "")
    assert KeptAnswers(path, COMMAND, CONDITIONS).answers["c"] == ""


@pytest.mark.parametrize("torn", [b'{"id": "c", "ans', b"\xc3"])
def test_a_line_that_a_kill_cut_is_dropped(path, torn):
    path.write_bytes(path.read_bytes() + torn)
    kept = KeptAnswers(path, COMMAND, CONDITIONS)
    assert set(kept.answers) == {"a", "b"}
    kept.begin(FACTS)
    kept.add("c", "d")
    assert len(path.read_text().split("\n")) == 5
    assert set(KeptAnswers(path, COMMAND, CONDITIONS).answers) == {"a", "b", "c"}


def test_a_kill_within_the_first_line_leaves_nothing(path):
    path.write_bytes(path.read_bytes()[:20])
    kept = KeptAnswers(path, COMMAND, CONDITIONS)
    assert (kept.facts, dict(kept.answers)) == (None, {})
    kept.begin(FACTS)
    kept.add("c", "d")
    assert KeptAnswers(path, COMMAND, CONDITIONS).answers == {"c": "d"}


@pytest.mark.parametrize(
    ("command", "changed", "message"),
    [
        (COMMAND.replace("32", "8"), {}, r"--max-new-tokens 32, not 8"),
        (COMMAND, {"model_sha256": "00"}, "other model_sha256"),
        (COMMAND, {"records_sha256": "00", "device": "cuda"}, "other records_sha256 and device"),
    ],
)
def test_answers_of_others_are_refused_and_stay(path, command, changed, message):
    before = path.read_bytes()
    with pytest.raises(ConfigError, match=message):
        KeptAnswers(path, command, CONDITIONS | changed)
    assert path.read_bytes() == before


def test_another_precision_is_refused(path):
    kept = KeptAnswers(path, COMMAND, CONDITIONS)
    with pytest.raises(ConfigError, match="was begun in float32, not bfloat16"):
        kept.begin({**FACTS, "dtype": "bfloat16"})


@pytest.mark.parametrize("text", ["[]\n", "{}\n", "no\n", '{"command": ""}\n{"id": 1}\n'])
def test_what_cannot_be_read_is_refused(path, text):
    path.write_text(text)
    with pytest.raises(ConfigError, match="cannot be read; delete it, or choose another --output"):
        KeptAnswers(path, COMMAND, CONDITIONS)


def test_without_a_file_answers_are_in_memory():
    kept = KeptAnswers(None, COMMAND, CONDITIONS)
    kept.begin(FACTS)
    kept.add("a", "b")
    assert kept.answers == {"a": "b"}
    assert json.dumps(kept.facts)
