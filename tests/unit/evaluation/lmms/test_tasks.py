"""Scores of the tasks that are shipped here, by hand. (Through lmms-eval: tests/lmms_plugin.)"""

import json
import sys
from types import ModuleType

import pytest
import yaml

from oryx.errors import ConfigError
from oryx.evaluation.lmms.needle import write_needle_task
from oryx.evaluation.lmms.tasks.longvideobench import utils as longvideobench
from oryx.evaluation.lmms.tasks.mmbench_video import utils as mmbench_video
from oryx.evaluation.lmms.tasks.mvbench import utils as mvbench
from oryx.evaluation.lmms.tasks.needle import utils as needle
from oryx.evaluation.lmms.tasks.nextqa import utils as nextqa
from oryx.evaluation.lmms.tasks.videochatgpt import utils as videochatgpt
from oryx.evaluation.lmms.videos import find_video, video_folder

NEXTQA = {"video": 7, "question": " Who? ", "answer": 1, **{f"a{i}": f"man {i}" for i in range(5)}}


def test_nextqa(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    kwargs = {"pre_prompt": "", "post_prompt": "\nNow."}
    lines = "Who?\nA. man 0\nB. man 1\nC. man 2\nD. man 3\nE. man 4\nNow."
    assert nextqa.doc_to_text(NEXTQA, kwargs) == lines
    assert nextqa.doc_to_visual(NEXTQA) == [str(tmp_path / "nextqa" / "NExTVideo" / "7.mp4")]
    assert nextqa.doc_to_target(NEXTQA) == "B"
    assert nextqa.process_results(NEXTQA, ["B."]) == {"accuracy": 1, "unparsed": 0}
    assert nextqa.process_results(NEXTQA, ["C"]) == {"accuracy": 0, "unparsed": 0}
    assert nextqa.process_results(NEXTQA, [""]) == {"accuracy": 0, "unparsed": 1}


def test_videos_are_found_by_any_of_their_endings(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    folder = video_folder("a", "b")
    assert folder == tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (folder / "x.mkv").touch()
    assert find_video(folder, "x") == str(folder / "x.mkv")
    assert find_video(folder, "y") == str(folder / "y.mp4")
    assert find_video(folder, "z.webm") == str(folder / "z.webm")
    monkeypatch.delenv("HF_HOME")
    assert video_folder().parts[-2:] == (".cache", "huggingface")


def test_longvideobench():
    doc = {
        "id": "v_0",
        "question": "Who?",
        "correct_choice": 1,
        "duration_group": 15,
        "question_category": "S2E",
    }
    doc |= {"option0": "I", "option1": "you", "option2": "N/A", "option3": "N/A", "option4": "N/A"}
    kwargs = {"pre_prompt": "", "post_prompt": "Now.\n"}
    assert longvideobench.doc_to_text(doc, kwargs) == "Who?\nA. I\nB. you\nNow.\n"
    right, wrong, none = (longvideobench.process_results(doc, [text]) for text in ("B", "A", "C"))
    assert [one["lvb_acc"]["score"] for one in (right, wrong, none)] == [1, 0, 0]
    assert [one["unparsed"] for one in (right, wrong, none)] == [0, 0, 1]
    no_letter = longvideobench.process_results({**doc, "option3": "we", "correct_choice": 3}, ["Dunno."])
    assert (no_letter["lvb_acc"]["score"], no_letter["unparsed"]) == (0, 1)
    assert longvideobench.accuracy([right["lvb_acc"], wrong["lvb_acc"], none["lvb_acc"]]) == pytest.approx(
        1 / 3
    )


def test_an_empty_answer_counts_in_mvbench():
    """lmms-eval's own average leaves it out, which makes the score of the others larger."""
    doc = {"candidates": ["one", "two"], "answer": "two"}
    scores = [mvbench.process_results(doc, [text]) for text in ("B", "A", "", "C")]
    assert [one["mvbench_accuracy"] for one in scores] == [1, 0, 0, 0]
    assert [one["unparsed"] for one in scores] == [0, 0, 1, 1]
    assert mvbench.accuracy([one["mvbench_accuracy"] for one in scores]) == 25


def test_an_article_names_no_option_of_mvbench():
    doc = {"candidates": ["one", "two"], "answer": "one"}
    scores = [mvbench.process_results(doc, [text]) for text in ("It is a bird.", "A bird", "(A) bird")]
    assert [one["mvbench_accuracy"] for one in scores] == [0, 0, 1]
    assert [one["unparsed"] for one in scores] == [1, 1, 0]


def test_mmbench_video(monkeypatch):
    heard = []

    def judge(messages, max_tokens):
        heard.append(messages)
        return {"Who?": "3", "Why?": "Hm."}[messages[1]["content"].split("\n")[0].removeprefix("Question: ")]

    monkeypatch.setattr(mmbench_video, "ask_judge", judge)
    docs = [
        {"index": index, "question": text, "answer": "He.", "dimensions": "['Counting', 'OCR']"}
        for index, text in enumerate(("Who?", "Why?"))
    ]
    scores = [mmbench_video.process_results(doc, ["She."]) for doc in docs]
    assert [one["judge_failures"] for one in scores] == [0, 1]
    assert mmbench_video.mean_score([one["mmbench_video_score"] for one in scores]) == 1.5
    empty = mmbench_video.process_results(docs[0], [""])
    assert (empty["mmbench_video_score"]["score"], empty["judge_failures"]) == (0, 0)
    assert len(heard) == 2
    assert heard[0][1]["content"] == (
        "Question: Who?\nGroundtruth answer: He.\nCandidate answer: She.\nYour response: "
    )


@pytest.fixture
def consistency_judge(monkeypatch):
    """What lmms-eval's function is asked; of the answer "a" it gives 4, of others nothing."""
    asked = []

    def judge(*texts):
        asked.append(texts)
        return ("{'score': 4}" if texts[2] == "a" else "Hm."), "judge"

    module = ModuleType("lmms_eval.tasks.videochatgpt.utils")
    module.get_eval_consistency = judge
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(videochatgpt, "_pairs", {})
    return asked


def consistency(*questions, said="said {}"):
    """Documents and values of (answer, question_1, question_2)."""
    docs = [
        {"video_name": "v", "question_1": one, "question_2": two, "answer": answer}
        for answer, one, two in questions
    ]
    values = [
        videochatgpt.process_consistency(doc, [said.format(index)])["consistency"]
        for index, doc in enumerate(docs)
    ]
    return docs, values


def test_pairs_with_the_same_answer_are_all_graded(consistency_judge):
    _, values = consistency(
        ("a", "P1", "None"), ("a", "None", "P2"), ("a", "Q1", "None"), ("a", "None", "Q2")
    )
    assert videochatgpt.mean_consistency(values) == 4
    assert [texts[:2] for texts in consistency_judge] == [("P1", "P2"), ("Q1", "Q2")]
    _, values = consistency(("a", "P1", "None"), ("a", "None", "P2"), ("a", "Q1", "None"))
    assert videochatgpt.mean_consistency(values) == 2
    assert videochatgpt.consistency_failures(values) == 1


def test_a_pair_with_an_empty_answer_is_worth_nothing(consistency_judge):
    _, values = consistency(("a", "P1", "None"), ("a", "None", "P2"), said="")
    assert (videochatgpt.mean_consistency(values), videochatgpt.consistency_failures(values)) == (0, 0)
    assert not consistency_judge


def test_consistency_grades_pairs_once(consistency_judge):
    asked = consistency_judge
    docs, values = consistency(
        ("a", "Q1", "None"), ("b", "P1", "None"), ("a", "None", "Q2"), ("b", "None", "P2")
    )
    assert videochatgpt.mean_consistency(values) == 2
    assert videochatgpt.consistency_failures(values) == 1
    assert asked[0] == ("Q1", "Q2", "a", "said 0", "said 2", 64)
    assert len(asked) == 2
    assert videochatgpt.consistency_failures(values[:1]) == 1  # its other half was not asked
    assert [videochatgpt.doc_to_text(doc) for doc in docs] == ["Q1", "P1", "Q2", "P2"]


def test_needle():
    doc = {
        "visuals": [{"type": "video", "video": "frames/clip_0", "max_frames": 8}],
        "conversations": [{"value": "<image>\nWhich?"}, {"value": "red circle"}],
        "num_frames": 8,
        "depth": 50.0,
    }
    (message,) = needle.doc_to_messages(doc, {"root": "/stacks"})
    assert message["content"] == [
        {"type": "video", "url": "/stacks/frames/clip_0", "max_frames": 8},
        {"type": "text", "text": "Which?"},
    ]
    scores = [needle.process_results(doc, [text]) for text in ("Red circle.", "a red circle", "blue")]
    assert [one["exact"]["score"] for one in scores] == [1, 0, 0]
    assert [one["contains"]["score"] for one in scores] == [1, 1, 0]
    assert needle.mean_by_length([one["contains"] for one in scores]) == pytest.approx(2 / 3)
    with pytest.raises(ConfigError, match="--layout folder"):
        needle.doc_to_messages({**doc, "visuals": [{"video": {"patch": "x"}}]}, {"root": "/"})


def test_the_needle_task_is_written_beside_the_haystacks(tmp_path):
    with pytest.raises(ConfigError, match=r"has no haystacks\.jsonl"):
        write_needle_task(tmp_path)
    records = tmp_path / "haystacks.jsonl"
    records.write_text(json.dumps({}) + "\n")
    folder = write_needle_task(tmp_path)
    settings = yaml.safe_load((folder / "needle.yaml").read_text())
    assert settings["task"] == "oryx_needle"
    assert settings["dataset_kwargs"]["data_files"]["test"] == str(records)
    assert settings["lmms_eval_specific_kwargs"]["default"]["root"] == str(tmp_path)
    assert write_needle_task(tmp_path) == folder
