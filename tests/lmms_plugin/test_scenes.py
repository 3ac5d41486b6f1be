"""ScanQA and SQA3D on records of the package's own builder, through lmms-eval's command: what the model reads
and says, and scores that equal those of the scorers on these answers and a count by hand.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from lmms_plugin.harness import Made, names
from lmms_plugin.test_benchmarks import check
from made_qa import write_scanqa, write_sqa3d

from oryx.evaluation import java
from oryx.evaluation.captions import CAPTION_METRICS
from oryx.evaluation.lmms.scenes import write_scene_task
from oryx.evaluation.qa_3d import caption_scores

NAMES = ("oryx_scanqa", "oryx_sqa3d")


@dataclass
class MadeScenes(Made):
    """With the file of its records."""

    records: Path = Path()


@pytest.fixture(scope="module")
def scenes(harness, nano):
    """(what was made, what lmms-eval made of it). Of each benchmark the first record is answered right."""
    folder = harness.root / "scenes"
    folder.mkdir()
    made = [
        _make(nano, "oryx_scanqa", write_scanqa(folder)),
        _make(nano, "oryx_sqa3d", write_sqa3d(folder)),
    ]
    return made, _run(harness, made)


def _run(harness, made, **how):
    folders = {str(write_scene_task(one.task.removeprefix("oryx_"), one.records)) for one in made}
    (folder,) = folders
    return harness.run(names(made), "model=nano", "--include_path", folder, **how)


def _make(nano, task, path):
    records = [json.loads(line) for line in path.read_text().splitlines()]
    answers = [_said(nano, path.parent, record) for record in records]
    records[0]["answers"] = ["no such thing", answers[0]]
    # Nearly right: by the rule that looks for the one in the other, and by no other.
    records[1]["answers"] = [f"{answers[1]} indeed"]
    for record in records[2:]:
        record["answers"] = ["zzz"]
    path.write_text("\n".join(map(json.dumps, records)))
    number = len(records)
    expected = {
        "em,none": 1 / number,
        "em_cleaned,none": 1 / number,
        "em_refined,none": 2 / number,
        "unparsed,none": 0,
    }
    if task == "oryx_sqa3d":
        expected["loose,none"] = 2 / number
    own = caption_scores(
        answers, [record["answers"] for record in records], [record["scene"] for record in records]
    )["scanqa"]
    for metric in CAPTION_METRICS:
        if own[metric] is not None:
            expected[f"{metric},none"] = own[metric].value
    return MadeScenes(task, expected, answers=answers, records=path)


def _said(nano, folder, record):
    (visual,) = record["visuals"]
    views = [str(folder / view) for view in visual["views"]]
    text = record["conversations"][0]["value"].removeprefix("<image>\n")
    return nano.about({**visual, "views": views}, text, 32)


@pytest.mark.parametrize("task", NAMES)
def test_scores_answers_and_prompts(scenes, task):
    check(*scenes, task)


def test_other_conventions_and_kinds_are_in_the_log(scenes):
    _, run = scenes
    assert "3D, EM of 'place': 1.0000 of 1" in run.log
    assert "3D, bleu_1 as leo has it: " in run.log


def test_without_java_caption_metrics_say_so_and_are_not_zero(harness, scenes):
    made, run = scenes
    if java.has_java():
        run = _run(harness, made, PATH=str(harness.root))
    for one in made:
        for metric in CAPTION_METRICS:
            assert run.results[one.task][f"{metric},none"].startswith("needs Java")
    assert "needs Java" in run.log


def test_missing_views_end_the_run_before_it_starts(harness, scenes, tmp_path):
    made, _ = scenes
    alone = tmp_path / "records.jsonl"
    alone.write_text(made[0].records.read_text())
    run = _run(harness, [MadeScenes(made[0].task, {}, records=alone)], fails=True)
    assert run.code == 2
    assert "4 of 4 requests have no media" in run.log
