"""Every benchmark of the paper, on made records in its exact schema, through lmms-eval's command: what the
model reads, what it says, and the score, which must be the one that was computed by hand.

A change of the prompts that is meant is written with: ORYX_WRITE_GOLDEN=1 .ci/lmms
"""

import os
from pathlib import Path

import pytest
from lmms_plugin.harness import names

from oryx.evaluation.lmms import CONFIGS
from oryx.evaluation.lmms.benchmarks import BENCHMARKS

GOLDEN = Path(__file__).parent / "prompts"
CHOICES = (
    "oryx_videomme",
    "oryx_videomme_long",
    "oryx_videomme_w_subtitle",
    "oryx_videomme_long_w_subtitle",
    "oryx_nextqa_mc",
    "perceptiontest_val_mc",
    "oryx_mvbench",
    "oryx_mlvu_dev",
    "oryx_longvideobench_val",
    "oryx_mmbench_en_dev",
    "oryx_mmmu_val",
    "ai2d",
)
FREE = ("docvqa_val", "ocrbench", "textvqa_val")
NEEDLE = ("oryx_needle",)
SCENES = ("oryx_scanqa", "oryx_sqa3d")  # in test_scenes.py
JUDGED = (
    "oryx_mmbench_video",
    "oryx_videochatgpt_generic",
    "oryx_videochatgpt_temporal",
    "oryx_videochatgpt_consistency",
    "oryx_video_detail",
)


def check(made, run, task):
    (one,) = [one for one in made if one.task == task]
    check_scores(one, run)
    check_answers(one, run)
    check_prompts(one, run)


def check_scores(made, run):
    found = run.results[made.task]
    assert {name: found[name] for name in made.expected} == pytest.approx(made.expected), made.task


def check_answers(made, run):
    """What lmms-eval got is what the package says when asked without lmms-eval."""
    assert [row["filtered_resps"] for row in run.samples(made.samples_of)] == made.answers


def check_prompts(made, run):
    prompts = run.prompts_of(made.samples_of)
    assert len(prompts) == len(made.answers)
    text = "\n=====\n".join(prompts) + "\n"
    golden = GOLDEN / f"{made.task}.txt"
    if os.environ.get("ORYX_WRITE_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text()


@pytest.mark.parametrize("task", CHOICES)
def test_choices(choices, task):
    check(*choices, task)


@pytest.mark.parametrize("task", FREE)
def test_free_answers(free, task):
    check(*free, task)


@pytest.mark.parametrize("task", NEEDLE)
def test_needle(needle, task):
    """All frames are read, whatever max_frames is."""
    made, run = needle
    check([made], run, task)


@pytest.mark.parametrize("task", JUDGED)
def test_judged(judged, task):
    made, run, _ = judged
    check(made, run, task)


def test_every_benchmark_is_here():
    assert sorted(task for one in BENCHMARKS for task in one.tasks) == sorted(
        (*CHOICES, *FREE, *NEEDLE, *SCENES, *JUDGED)
    )


def test_every_task_of_mvbench_counts(choices):
    """All twenty: the average is over them."""
    _, run = choices
    tasks = [name for name in run.results if name.startswith("mvbench_")]
    assert len(tasks) == 20
    assert all(run.results[name]["mvbench_accuracy,none"] == pytest.approx(100 / 3) for name in tasks)


def test_a_config_runs_its_table(harness, choices, free):
    """With another model: what stands on the command line takes its place."""
    config = ("--config", str(CONFIGS / "image.yaml"))
    run = harness.run("", "model=nano,detail=low", *config, "--limit", "1")
    table = [task for one in BENCHMARKS if one.config == "image.yaml" for task in one.tasks]
    assert sorted(run.results) == sorted(table)
    assert all("<1 views" in row["prompt"] for row in run.prompts)


def test_the_judge_hears_the_settings(judged):
    _, _, judge = judged
    assert {heard["key"] for heard in judge.heard} == {"Bearer key"}
    assert {heard["body"]["model"] for heard in judge.heard} == {"judge"}


def test_a_judge_that_gives_no_grade_is_named(judged):
    _, run, _ = judged
    assert "MMBench-Video, question 3: the judge failed" in run.log
    assert "MMBench-Video, question 2: the judge gave no grade but 'I like it" in run.log


def test_an_answer_that_names_no_option_is_counted_and_wrong(harness, choices):
    """nano itself knows no letters; no task may score what it says. (MVBench: see the unit tests.)"""
    made, _ = choices
    own = [one for one in made if not one.task.startswith(("oryx_videomme_", "oryx_mvbench"))]
    run = harness.run(names(own), "model=nano", "--gen_kwargs", "max_new_tokens=4")
    for one in own:
        name = next(name for name in one.expected if not name.startswith("unparsed"))
        assert run.results[one.task][name] == 0, one.task
        unread = run.results[one.task].get("unparsed,none")
        assert unread in (None, 3), one.task
    assert "oryx_videomme: 3 of the 3 answers made now are empty or name no option" in run.log
