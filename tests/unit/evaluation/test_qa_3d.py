"""Answers to items, and their scores counted by hand."""

from pathlib import Path

import pytest
from made_qa import write_scanqa

import oryx
from oryx.evaluation import captions, qa_3d
from oryx.evaluation.qa_3d import answer_items, score_items
from oryx.evaluation.qa_3d_report import QaReport, caption_table, match_table
from oryx.evaluation.qa_records import SceneItem, read_items

TINY = Path(__file__).parents[2] / "parity" / "reference" / "oryx-tiny-qwen"


@pytest.fixture(scope="module")
def loaded():
    return oryx.load(TINY)


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    return read_items(write_scanqa(tmp_path_factory.mktemp("scanqa")), "scanqa").items


def _item(name, scene, question, *answers):
    return SceneItem(name, scene, question, "<image>\n" + question, (Path("a.jpg"),), 4, answers)


def test_answers_are_those_of_each_prompt_alone(loaded, items):
    model, processor = loaded
    told = []
    answers = answer_items(model, processor, items, 6, progress=lambda *at: told.append(at))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    for item in items:
        turns = [{"from": "human", "value": item.prompt}, {"from": "gpt", "value": None}]
        batch = processor.encode_conversation([turns], [[item.visual]], supervise=None)
        ids = model.generate(**batch, max_new_tokens=6, do_sample=False)[0, batch["input_ids"].shape[1] :]
        assert answers[item.id] == processor.tokenizer.decode(ids, skip_special_tokens=True).strip()


def test_views_are_encoded_once_a_scene_and_known_answers_not_asked_again(loaded, items, monkeypatch):
    from oryx.engine.session import Session

    added, asked, kept = [], [], []
    add, ask = Session.add, Session.ask
    monkeypatch.setattr(Session, "add", lambda self, visual: added.append(visual) or add(self, visual))
    monkeypatch.setattr(
        Session, "ask", lambda self, text, **how: asked.append(text) or ask(self, text, **how)
    )
    shuffled = [items[0], items[2], items[1], items[3]]
    done = {"val-1": "two", "other": "x"}
    answers = answer_items(*loaded, shuffled, 2, done, lambda *pair: kept.append(pair))
    assert [visual["views"] for visual in added] == [items[0].visual["views"], items[2].visual["views"]]
    assert [name for name, _ in kept] == ["val-0", "val-2", "val-3"]
    assert len(asked) == 3
    assert set(answers) == {"val-0", "val-1", "val-2", "val-3"}
    assert answers["val-1"] == "two"


def test_scores_counted_by_hand(monkeypatch):
    monkeypatch.setattr(captions, "has_java", lambda: False)
    items = [
        _item("a", "one", "Where is it?", "by the desk", "desk"),
        _item("b", "one", "How many are there?", "2"),
        _item("c", "two", "What color is it?", "brown"),
        _item("d", "two", "Is it open?", "yes"),
    ]
    said = {"a": " desk ", "b": "two", "c": "Dark brown.", "d": "?!"}
    result = score_items("scanqa", items, said)
    right = {rule: share.num_right for rule, share in result.matches.items()}
    assert right == {"em": 1, "em_cleaned": 2, "em_refined": 3}
    assert (result.num_questions, result.num_scenes, result.num_unreadable) == (4, 2, 1)
    assert [(kind.name, kind.matches["em_refined"].num_right) for kind in result.kinds] == [
        ("place", 1),
        ("number", 1),
        ("color", 1),
        ("other", 0),
    ]
    assert [one.id for one in result.wrong] == ["d"]
    # LEO's: "desk", "two", "dark brown" and nothing, against "by desk" or "desk", "two", "brown", "yes".
    assert result.captions["leo"]["bleu_1"].value == pytest.approx(3 / 4)
    assert result.captions["leo"]["meteor"] is None
    assert set(result.captions["scanqa"].values()) == {None}
    table = caption_table(result)
    assert "| METEOR | needs Java" in table
    assert "| BLEU-1 | needs Java" in table
    assert "| 75.0 (" in table
    assert "| **all** | 4 | 25.0 (" in match_table("scanqa", result)


def test_the_page_says_what_was_measured(monkeypatch):
    monkeypatch.setattr(captions, "has_java", lambda: False)
    result = score_items("sqa3d", [_item("sqa3d-1", "one", "What is it?", "chair")], {"sqa3d-1": "a table"})
    facts = {"model": "m", "model_sha256": "ab", "num_parameters": 1000, "dtype": "float32", "device": "cpu"}
    report = QaReport("sqa3d", facts, "r.jsonl", "cd", 3, 32, "oryx eval sqa3d r.jsonl", result)
    page = report.to_markdown()
    assert "# SQA3D: m" in page
    assert "1 questions on 1 scenes; 3 left out, whose views are missing" in page
    assert "- sqa3d-1: What is it? 'chair', not 'a table'" in page
    assert "- loose: a reference holds the cleaned answer" in page
    content = report.to_dict()
    assert (content["task"], content["model"], content["num_left_out"]) == ("sqa3d", "m", 3)
    assert content["lacks"]["leo"] == {"meteor": qa_3d.what_lacks("spaces")["meteor"]}
