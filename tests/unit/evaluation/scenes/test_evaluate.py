"""Answers to items, and their scores counted by hand."""

from pathlib import Path

import pytest
from made_qa import write_scanqa

import oryx
from oryx.evaluation.answers import Answered
from oryx.evaluation.journal import Journal
from oryx.evaluation.output import endpoint_facts
from oryx.evaluation.scenes import captions
from oryx.evaluation.scenes import evaluate as qa_3d
from oryx.evaluation.scenes.asking import SceneAnswerer
from oryx.evaluation.scenes.evaluate import are_kept, evaluate_qa, measure_qa, score_items
from oryx.evaluation.scenes.records import SceneItem, read_items
from oryx.evaluation.scenes.report import QaReport, caption_table, match_table

TINY = Path(__file__).parents[3] / "parity" / "reference" / "oryx-tiny-qwen"


@pytest.fixture(scope="module")
def loaded():
    return oryx.load(TINY)


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    return read_items(write_scanqa(tmp_path_factory.mktemp("scanqa")), "scanqa").items


def _item(name, scene, question, *answers):
    return SceneItem(name, scene, question, "<image>\n" + question, (Path("a.jpg"),), 4, answers)


def _said(*texts):
    return [Answered("", "", text, None, 0.0) for text in texts]


def _no_java(monkeypatch):
    monkeypatch.setattr(captions, "has_java", lambda: False)


def test_answers_are_those_of_each_prompt_alone(loaded, items, monkeypatch):
    _no_java(monkeypatch)
    model, processor = loaded
    told = []
    result = evaluate_qa(model, processor, "scanqa", items, 6, progress=lambda *at: told.append(at))
    assert [one.id for one in result.answers] == [item.id for item in items]
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    num_visual = []
    for item, answer in zip(items, result.answers):
        turns = [{"from": "human", "value": item.prompt}, {"from": "gpt", "value": None}]
        batch = processor.encode_conversation([turns], [[item.visual]], supervise=None)
        ids = model.generate(**batch, max_new_tokens=6, do_sample=False)[0, batch["input_ids"].shape[1] :]
        assert answer.answer == processor.tokenizer.decode(ids, skip_special_tokens=True).strip()
        num_visual.append(int((batch["input_ids"] == processor.image_token_id).sum()))
    assert result.visual_tokens == sum(num_visual) / len(items)


def test_views_are_encoded_once_a_scene_and_known_answers_not_asked_again(loaded, items, monkeypatch):
    from oryx.engine.session import Session

    _no_java(monkeypatch)
    added, asked = [], []
    add, ask = Session.add, Session.ask
    monkeypatch.setattr(Session, "add", lambda self, visual: added.append(visual) or add(self, visual))
    monkeypatch.setattr(
        Session, "ask", lambda self, text, **how: asked.append(text) or ask(self, text, **how)
    )
    shuffled = [items[0], items[2], items[1], items[3]]
    kept = Journal.in_memory()
    kept.add(("val-1",), vars(_said("two")[0]))
    assert not are_kept(items, kept)
    result = measure_qa(SceneAnswerer(*loaded), "scanqa", shuffled, 2, kept=kept)
    assert [visual["views"] for visual in added] == [items[0].visual["views"], items[2].visual["views"]]
    assert list(kept) == [("val-1",), ("val-0",), ("val-2",), ("val-3",)]
    assert len(asked) == 3
    assert [one.id for one in result.answers] == ["val-0", "val-2", "val-1", "val-3"]
    assert result.answers[2].answer == "two"
    assert are_kept(items, kept)
    again = measure_qa(None, "scanqa", shuffled, 2, kept=kept)
    assert again == result
    assert len(asked) == 3


def test_scores_counted_by_hand(monkeypatch):
    _no_java(monkeypatch)
    items = [
        _item("a", "one", "Where is it?", "by the desk", "desk"),
        _item("b", "one", "How many are there?", "2"),
        _item("c", "two", "What color is it?", "brown"),
        _item("d", "two", "Is it open?", "yes"),
    ]
    result = score_items("scanqa", items, _said(" desk ", "two", "Dark brown.", "?!"))
    right = {rule: share.num_right for rule, share in result.matches.items()}
    assert right == {"em": 1, "em_cleaned": 2, "em_refined": 3}
    assert (result.num_questions, result.num_scenes, result.num_unparsed) == (4, 2, 1)
    assert [(kind.name, kind.matches["em_refined"].num_right) for kind in result.kinds] == [
        ("place", 1),
        ("number", 1),
        ("color", 1),
        ("other", 0),
    ]
    assert [one.id for one in result.wrong] == ["d"]
    assert result.answers[2].right == {"em": False, "em_cleaned": False, "em_refined": True}
    assert [(one.kind, one.answer) for one in result.answers[:2]] == [("place", "desk"), ("number", "two")]
    assert not result.is_whole
    # LEO's: "desk", "two", "dark brown" and nothing, against "by desk" or "desk", "two", "brown", "yes".
    assert result.captions["leo"]["bleu_1"].value == pytest.approx(3 / 4)
    assert result.captions["leo"]["meteor"] is None
    assert set(result.captions["scanqa"].values()) == {None}
    table = caption_table(result)
    assert "| METEOR | needs Java" in table
    assert "| BLEU-1 | needs Java" in table
    assert "| 75.0 (" in table
    assert "| **all** | 4 | 25.0 (" in match_table("scanqa", result)


def test_an_answer_that_cleaning_empties_is_wrong_by_the_rules_that_clean(monkeypatch):
    _no_java(monkeypatch)
    result = score_items("sqa3d", [_item("sqa3d-1", "one", "What is it?", "...")], _said("..."))
    assert result.num_unparsed == 1
    assert {rule: share.num_right for rule, share in result.matches.items()} == {
        "em": 1,
        "em_cleaned": 0,
        "em_refined": 0,
        "loose": 0,
    }
    facts = endpoint_facts("m", "http://host/v1")
    page = QaReport("sqa3d", facts, "r.jsonl", "cd", 0, 32, "oryx eval sqa3d r.jsonl", result).to_markdown()
    assert "of 1 answers nothing is left once they are cleaned: wrong by every rule but EM" in page


def test_the_page_says_what_was_measured(monkeypatch):
    _no_java(monkeypatch)
    result = score_items("sqa3d", [_item("sqa3d-1", "one", "What is it?", "chair")], _said("a table"))
    facts = endpoint_facts("m", "http://host/v1")
    report = QaReport("sqa3d", facts, "r.jsonl", "cd", 3, 32, "oryx eval sqa3d r.jsonl", result)
    page = report.to_markdown()
    assert "# SQA3D: m" in page
    assert "1 questions on 1 scenes; 3 left out, whose views are missing" in page
    assert "- sqa3d-1: What is it? 'chair', not 'a table'" in page
    assert "- loose: a reference holds the cleaned answer" in page
    assert "weights unknown, behind http://host/v1" in page
    content = report.to_dict()
    assert "answers" not in content
    assert (content["task"], content["model"], content["num_left_out"]) == ("sqa3d", "m", 3)
    assert content["lacks"]["leo"] == {"meteor": qa_3d.what_lacks("spaces")["meteor"]}
