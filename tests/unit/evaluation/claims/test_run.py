"""Arms of two steps, run for real: what is kept, what goes on, what is refused."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oryx.errors import ConfigError
from oryx.evaluation.claims.arms import Measured
from oryx.evaluation.claims.plan import ARMS
from oryx.evaluation.claims.run import pending, run_arm, run_arms
from oryx.evaluation.claims.store import Store, differences
from oryx.training.trainer import OryxTrainer


def short(name, **changes):
    """An arm of the plan with two steps, one row and four questions, of three measures at most."""
    arm = ARMS[name].shortened(0.0, 4)
    return dataclasses.replace(arm, rows=1, measures=arm.measures[:3], **changes)


def arms(*names):
    return {name: short(name) for name in names}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A store with the arm `base`."""
    store = Store(
        tmp_path_factory.mktemp("claims"), arms("base", "connector_convmlp", "classifier", "lm_tiled")
    )
    run_arm(store, "base", 0)
    return store


@pytest.fixture
def store(trained, tmp_path):
    """A copy of it."""
    shutil.copytree(trained.folder, tmp_path / "claims")
    return dataclasses.replace(trained, folder=tmp_path / "claims")


def test_an_arm_says_all_that_it_took(store):
    content = json.loads(store.file("base", 0).read_text())
    assert content["settings"] == store.settings("base", 0)
    assert content["settings"]["arm"]["views"]["ways"][3]["way"] == "tiled"
    assert content["settings"]["model"]["optim"]["steps"] == 2
    assert len(content["model_sha256"]) == 64
    assert {"oryx", "torch", "transformers"} <= set(content["versions"])
    assert content["minutes"] >= content["training_minutes"] > 0
    assert set(content["measures"]) == {"letter", "color", "shape"}
    letter = content["measures"]["letter"]
    assert letter["num_questions"] == 4
    assert letter["pixels"] > 1500
    assert letter["visual_tokens"] > 20
    assert not list(store.training_folder("base", 0).glob("checkpoint-*"))


def test_what_is_measured_is_not_run_again(store):
    names = list(store.arms)
    assert pending(store, names, [0]) == [(name, 0) for name in names if name != "base"]
    assert pending(store, ["base"], [0, 1]) == [("base", 1)]
    assert pending(store, ["base"], [0]) == []


def test_weights_that_are_gone_are_trained_again_for_those_that_need_them(store):
    shutil.rmtree(store.training_folder("base", 0))
    assert pending(store, ["base"], [0]) == []
    assert pending(store, ["base", "lm_tiled"], [0]) == [("base", 0), ("lm_tiled", 0)]


def test_training_gives_the_same_weights_again(store):
    before = store.read("base", 0)
    shutil.rmtree(store.training_folder("base", 0))
    again = run_arm(store, "base", 0)
    assert again.model_sha256 == before.model_sha256
    assert again.measures == before.measures


def test_a_finished_training_is_only_measured(store, monkeypatch):
    """As after a kill between training and measuring."""
    before = store.read("base", 0)
    store.file("base", 0).unlink()

    def train(self):
        raise AssertionError("it was trained again")

    monkeypatch.setattr("oryx.training.trainer.OryxTrainer.train", train)
    again = run_arm(store, "base", 0)
    assert (again.model_sha256, again.measures) == (before.model_sha256, before.measures)


def test_other_weights_are_never_mixed_with_those_that_were_measured(store):
    before = store.read("base", 0)
    store.write(dataclasses.replace(before, minutes=9.0))
    assert store.read("base", 0).minutes == 9.0
    with pytest.raises(ConfigError, match="base of seed 0, whose weights were gone, came out with other"):
        store.write(dataclasses.replace(before, model_sha256="00"))
    assert store.read("base", 0).minutes == 9.0


def test_arms_of_other_rooms_are_told(store):
    before = store.read("base", 0)
    for seed, rooms in ((1, "aa"), (2, "bb")):
        settings = store.settings("base", seed)
        store.write(dataclasses.replace(before, seed=seed, settings=settings, inputs={"rooms": rooms}))
    assert store.seeds == [0, 1, 2]
    assert len(store.read_all(["base"], (0, 1))) == 2
    with pytest.raises(ConfigError, match=r"base-seed1.json and .*base-seed2.json .* different rooms"):
        store.read_all(["base"], (0, 1, 2))


def test_minutes_are_those_of_all_sittings(store):
    folder = store.training_folder("base", 1)
    folder.mkdir(parents=True)
    (folder / "log.jsonl").write_text('{"step": 1, "loss": 2.0, "minutes": 30.0}\n')
    shutil.copy(store.training_folder("base", 0) / "model.safetensors", folder)
    result = run_arm(store, "base", 1)
    assert 31 > result.minutes >= result.training_minutes >= 30


def test_results_of_other_settings_are_never_overwritten(store):
    other = dataclasses.replace(store, arms={**store.arms, "base": short("base", learning_rate=1e-4)})
    kept = store.file("base", 0).read_text()
    with pytest.raises(
        ConfigError, match=r"holds results of other settings \(arm.learning_rate, .*another --output"
    ):
        run_arms(other, ["base"], [0])
    with pytest.raises(ConfigError, match="other settings"):
        other.write(dataclasses.replace(store.read("base", 0), minutes=1.0))
    assert store.file("base", 0).read_text() == kept


def test_a_training_of_other_settings_is_not_gone_on_with(store):
    """As after a kill before anything was measured: what the pictures looked like stands in no recipe."""
    store.file("base", 0).unlink()
    other = dataclasses.replace(store, arms={"base": short("base", views=ARMS["native"].views)})
    with pytest.raises(ConfigError, match=r"holds a training of other settings \(arm.views.*--output"):
        run_arm(other, "base", 0)
    assert not other.file("base", 0).exists()


def test_settings_of_an_arm_hold_those_of_the_arms_before(store):
    other = dataclasses.replace(store, arms={**store.arms, "base": short("base", learning_rate=1e-4)})
    found = differences(store.settings("lm_tiled", 0), other.settings("lm_tiled", 0))
    assert found == ["goes_on_from.base.arm.learning_rate", "goes_on_from.base.model.optim.learning_rate"]


def test_a_file_that_is_no_result(store):
    store.file("base", 0).write_text("{}")
    with pytest.raises(ConfigError, match="cannot be read as the result of an arm"):
        store.read("base", 0)


def test_an_arm_goes_on_from_another_and_its_tower_stays(store):
    import torch
    from safetensors.torch import load_file

    result = run_arm(store, "connector_convmlp", 0)
    first = load_file(store.training_folder("base", 0) / "model.safetensors")
    second = load_file(store.training_folder("connector_convmlp", 0) / "model.safetensors")
    same = {name for name in first if name in second and torch.equal(first[name], second[name])}
    assert {name for name in first if name.startswith("vision_tower.")} <= same
    assert "projector.fc1.weight" not in same
    assert any("down.4.conv" in name for name in second)
    assert result.measures["letter"].visual_tokens < store.read("base", 0).measures["letter"].visual_tokens


@pytest.mark.parametrize("name", [pytest.param("connector_convmlp", marks=pytest.mark.slow), "lm_tiled"])
def test_a_training_that_was_cut_goes_on(store, tmp_path, monkeypatch, name):
    whole = run_arm(dataclasses.replace(store, folder=copy_of(store, tmp_path / "whole")), name, 0)
    step = OryxTrainer.training_step

    def cut(trainer, *args, **kwargs):
        os.kill(os.getpid(), signal.SIGTERM)
        return step(trainer, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(OryxTrainer, "training_step", cut)
        with pytest.raises(SystemExit):
            run_arm(store, name, 0)
    assert [path.name for path in store.training_folder(name, 0).glob("checkpoint-*")] == ["checkpoint-1"]
    result = run_arm(store, name, 0)
    assert result.model_sha256 == whole.model_sha256
    assert result.measures == whole.measures


def copy_of(store, folder):
    shutil.copytree(store.folder, folder)
    return folder


def test_a_classifier_and_a_language_model_behind_its_tower(store):
    import torch
    from safetensors.torch import load_file

    behind = short("classifier_native")
    store = dataclasses.replace(store, arms={**store.arms, "classifier_native": behind})
    told = []
    run_arms(store, ["classifier", "classifier_native"], [0], jobs=2, report=told.append)
    first, *told = told
    assert (first.result, first.num_done, first.num_jobs, first.seconds_left) == (None, 0, 2, None)
    assert [progress.result.arm for progress in told] == ["classifier", "classifier_native"]
    assert [(p.num_done, p.num_jobs) for p in told] == [(1, 2), (2, 2)]
    assert told[1].seconds_left == 0
    assert isinstance(told[0].result.measures["letter"], Measured)
    first = load_file(store.training_folder("classifier", 0) / "model.safetensors")
    second = load_file(store.training_folder("classifier_native", 0) / "model.safetensors")
    towers = [name for name in first if name.startswith("vision_tower.")]
    assert all(torch.equal(first[name], second[name]) for name in towers)
    assert not torch.equal(
        first["vision_tower.blocks.0.mlp.fc1.weight"],
        load_file(store.training_folder("base", 0) / "model.safetensors")[
            "vision_tower.blocks.0.mlp.fc1.weight"
        ],
    )


def test_a_worker_ends_with_its_parent():
    """The parent is killed while the worker would wait for a minute."""
    work = "import os, time; from oryx.evaluation.claims.run import end_with; end_with(os.getppid()); "
    work += "print(os.getpid(), flush=True); time.sleep(60)"
    start = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}])"
    parent = subprocess.Popen([sys.executable, "-c", start], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = int(parent.stdout.readline())
    os.kill(worker, 0)
    parent.kill()
    parent.wait()
    for _ in range(300):
        try:
            os.kill(worker, 0)
        except ProcessLookupError:
            return
        state = Path(f"/proc/{worker}/stat")
        if state.exists() and state.read_text().split()[2] == "Z":
            return
        time.sleep(0.1)
    raise AssertionError("the worker goes on")
