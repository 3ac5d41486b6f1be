"""The same table, however it comes about: by one process or two, in one go or two, in batches or not."""

import signal
import subprocess
import sys
import time

import pytest
from datasets import Sequence
from lmms_plugin.asker import image
from lmms_plugin.harness import Harness, Run
from lmms_plugin.made_free import PICTURE, TEXT
from lmms_plugin.made_images import picture
from lmms_plugin.records import write_repository

TASK = "ocrbench"


@pytest.fixture(scope="module")
def harness(tmp_path_factory, nano):
    """With questions enough for a run that can be killed in its middle."""
    harness = Harness(tmp_path_factory.mktemp("runs"))
    names = ("sign", "word", "scene", "object")
    rows = []
    for index in range(25):  # odd, so that one of two processes is given one more to pad with
        name = names[index % 4]
        question = f"What does the text say? ({index})"
        said = nano.about(image(picture(name)), question, 128)
        gold = [said] if index % 3 else ["9999"]
        rows.append(
            {"dataset": "made", "question": question, "question_type": "Doc-oriented VQA", "answer": gold}
            | {"image": picture(name)}
        )
    features = {"dataset": TEXT, "question": TEXT, "question_type": TEXT, "answer": Sequence(TEXT)}
    write_repository(harness, "echo840/OCRBench", "test", rows, {**features, "image": PICTURE})
    return harness


@pytest.fixture(scope="module")
def whole(harness):
    """The run that all others must equal."""
    run = harness.run(TASK, "model=nano")
    assert run.results[TASK]["ocrbench_accuracy,none"] == 16 / 1000
    return run


def answers(run):
    return [row["filtered_resps"] for row in run.samples(TASK)]


def test_batches_give_the_same_table(harness, whole):
    run = harness.run(TASK, "model=nano", "--batch_size", "5")
    assert answers(run) == answers(whole)
    assert run.table() == whole.table()


def test_two_processes_give_the_same_table(harness, whole):
    launcher = (sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone")
    run = harness.run(TASK, "model=nano", launcher=launcher, ACCELERATE_USE_CPU="true")
    assert answers(run) == answers(whole)
    assert run.table() == whole.table()
    assert len(run.prompts) == 25  # each question was asked once


def test_a_run_that_was_killed_goes_on_to_the_same_table(harness, whole, tmp_path):
    prompts = tmp_path / "prompts.jsonl"
    cache = ("--use_cache", str(tmp_path / "cache"))
    environment = harness.environment(LMMS_CACHE_RUN_ID="once")
    command = harness.command(TASK, f"model=nano,log_prompts={prompts}", *cache)
    process = subprocess.Popen(
        [*command, "--output_path", str(tmp_path / "cut")],
        env=environment,
        cwd=harness.hub,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 300
    while not prompts.exists() or len(prompts.read_text().splitlines()) < 8:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list((tmp_path / "cut").rglob("*_results.json"))
    # The same arguments, for the cache tells models apart by them.
    done = subprocess.run(
        [*command, "--output_path", str(tmp_path / "rest")],
        env=environment,
        cwd=harness.hub,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    run = Run(tmp_path / "rest", 0, done.stdout, [])
    assert answers(run) == answers(whole)
    assert run.table() == whole.table()
    asked = len(prompts.read_text().splitlines())
    assert 25 <= asked <= 26  # at most the one that was being answered was asked twice
