"""Mistakes end in one sentence before anything is answered; nothing is written over."""

import shutil

import pytest
from lmms_plugin.harness import Harness
from lmms_plugin.made_videos import nextqa, perceptiontest, videomme


@pytest.fixture(scope="module")
def alone(tmp_path_factory, letters):
    """A harness with NextQA alone, one of whose videos is gone."""
    harness = Harness(tmp_path_factory.mktemp("alone"))
    (made,) = nextqa(harness, letters)
    (harness.home / "nextqa" / "NExTVideo" / "2435100235.mp4").unlink()
    return harness, made


def test_unknown_argument(alone):
    harness, made = alone
    run = harness.run(made.task, "model=nano,compresion=4", fails=True)
    assert run.code == 2
    assert "oryx: model_args has no 'compresion'; allowed: model, vision_tower, quantize," in run.log
    assert "Traceback" not in run.log
    assert not run.output.exists()


def test_missing_videos_are_listed_before_the_run(alone):
    harness, made = alone
    run = harness.run(made.task, "model=nano", fails=True)
    assert run.code == 2
    assert "oryx: 1 of 3 requests have no media: document 1 of oryx_nextqa_mc:" in run.log
    assert "2435100235.mp4 is not there; " not in run.log
    assert "missing=skip" in run.log
    assert "Traceback" not in run.log
    assert not run.prompts
    assert not list(run.output.rglob("*"))


def test_missing_videos_count_as_wrong_where_one_goes_on(alone, letters):
    harness, made = alone
    run = harness.run(
        made.task,
        f"model={letters.name},missing=skip",
        "--gen_kwargs",
        "max_new_tokens=1",
    )
    said = [row["filtered_resps"] for row in run.samples(made.task)]
    assert said == [made.answers[0], "", made.answers[2]]
    assert run.results[made.task]["accuracy,none"] == pytest.approx(1 / 3)
    assert run.results[made.task]["unparsed,none"] == 1
    assert "oryx_nextqa_mc: 1 of the 3 answers made now are empty or name no option (1 of them" in run.log


def test_a_video_that_cannot_be_read_is_named(alone, letters):
    harness, made = alone
    folder = harness.home / "nextqa" / "NExTVideo"
    broken = folder / "2435100235.mp4"
    broken.write_bytes(b"no video")
    try:
        run = harness.run(made.task, f"model={letters.name}", fails=True)
    finally:
        broken.unlink()
    assert run.code == 2
    assert "oryx: document 1 of oryx_nextqa_mc: " in run.log
    assert "2435100235.mp4" in run.log


def test_lmms_evals_own_tasks_end_the_same_way(tmp_path, letters):
    """They call sys.exit at the first missing video; here all are listed."""
    harness = Harness(tmp_path)
    (made,) = perceptiontest(harness, letters)
    shutil.rmtree(harness.home / "perceptiontest_val" / "videos")
    run = harness.run(made.task, "model=nano", fails=True)
    assert run.code == 2
    assert "oryx: 3 of 3 requests have no media:" in run.log


def test_duplicate_ids_are_named(tmp_path, letters):
    harness = Harness(tmp_path)
    videomme(harness, letters, ids=("7-1", "8-1", "7-1"))
    run = harness.run("oryx_videomme", "model=nano", fails=True)
    assert run.code == 2
    assert "oryx: oryx_videomme has several documents with question_id 7-1: each would be counted" in run.log
    assert "duplicates=keep" in run.log


def test_a_prompt_that_is_too_long_names_the_document(alone):
    harness, made = alone
    arguments = ("model=nano,missing=skip", "--gen_kwargs", "max_new_tokens=10000000")
    run = harness.run(made.task, *arguments, fails=True)
    assert run.code == 2
    assert "oryx: document 0 of oryx_nextqa_mc: the prompt has" in run.log
    assert "give a budget" in run.log
