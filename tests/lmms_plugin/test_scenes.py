"""ScanQA and SQA3D on records of the package's own builder, through lmms-eval's command and the config of
their table: what the model reads and says, which is what it says to `oryx eval`, and scores that equal those
of the scorers on these answers and a count by hand.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from lmms_plugin.harness import Made, names
from lmms_plugin.test_benchmarks import SCENES, check
from made_qa import write_scanqa, write_sqa3d

from oryx.evaluation.lmms import CONFIGS
from oryx.evaluation.lmms.scenes import write_scene_task
from oryx.evaluation.scenes import java
from oryx.evaluation.scenes.captions import CAPTION_METRICS
from oryx.evaluation.scenes.evaluate import caption_scores, evaluate_qa
from oryx.evaluation.scenes.records import read_items

CONFIG = ("--config", str(CONFIGS / "scenes.yaml"))


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
    """The config's table, of which all is made."""
    assert tuple(one.task for one in made) == SCENES
    (folder,) = {_write_task(one) for one in made}
    return harness.run("", "model=nano,prompt_style=train", *CONFIG, "--include_path", folder, **how)


def _write_task(one):
    return str(write_scene_task(one.task.removeprefix("oryx_"), one.records))


def _make(nano, task, path):
    records = [json.loads(line) for line in path.read_text().splitlines()]
    benchmark = task.removeprefix("oryx_")
    result = evaluate_qa(nano.model, nano.processor, benchmark, read_items(path, benchmark).items)
    answers = [one.answer for one in result.answers]
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
    captions = caption_scores(
        answers, [record["answers"] for record in records], [record["scene"] for record in records]
    )["scanqa"]
    for metric in CAPTION_METRICS:
        if captions[metric] is not None:
            expected[f"{metric},none"] = captions[metric].value
    return MadeScenes(task, expected, answers=answers, records=path)


@pytest.mark.parametrize("task", SCENES)
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
    one = MadeScenes(made[0].task, {}, records=alone)
    run = harness.run(names([one]), "model=nano", "--include_path", _write_task(one), fails=True)
    assert run.code == 2
    assert "4 of 4 requests have no media" in run.log
