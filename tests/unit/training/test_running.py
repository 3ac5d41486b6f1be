"""`train`: what it takes, what it says, and what it leaves behind."""

import json
import re
import shutil
import weakref

import pytest

from oryx.errors import ConfigError
from oryx.training.recipe import load_recipe
from oryx.training.running import _step_text, train
from oryx.training.trainer import OryxTrainer

ONE_STEP = "optim.max_minutes=1e-9"


@pytest.mark.parametrize(
    ("processes", "accumulation", "said"),
    [
        (1, 1, "24 rows"),
        (1, 2, "48 (2 batches x 24) rows"),
        (8, 2, "384 (8 processes x 2 batches x 24) rows"),
    ],
)
def test_the_run_says_what_a_step_reads(recipe_file, processes, accumulation, said):
    changes = [f"batch.gradient_accumulation={accumulation}", "batch.rows=24", "batch.row_length=1024"]
    text = _step_text(load_recipe(recipe_file, changes), processes)
    assert text == f"a step reads {said} of 1,024 positions"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "output is missing"),
        ({"output": "x", "resume": "maybe"}, "resume is 'maybe'; allowed: auto, never"),
        ({"output": "x", "overrides": ["batch.row_length=16"]}, "more than batch.row_length"),
        ({"output": "x", "overrides": ["data.synthetic.skills.wrds={}"]}, "did you mean 'words'"),
    ],
)
def test_wrong_calls_leave_no_model(recipe_file, tmp_path, monkeypatch, silent, arguments, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as error:
        train(recipe_file, console=silent, **arguments)
    assert said in str(error.value)
    assert not (tmp_path / "x" / "config.json").exists()


def test_a_run_leaves_no_trainer_and_no_lock_behind(recipe_file, tmp_path, silent, monkeypatch):
    made = []
    original = OryxTrainer.__init__

    def note(self, *args, **kwargs):
        made.append(weakref.ref(self))
        original(self, *args, **kwargs)

    monkeypatch.setattr(OryxTrainer, "__init__", note)
    folder = train(recipe_file, tmp_path / "run", [ONE_STEP], console=silent)
    assert [reference() for reference in made] == [None]
    monkeypatch.setattr("oryx.training.folder.PATIENCE_S", 0)
    train(recipe_file, folder, console=silent)


def test_a_record_with_brackets_is_skipped_with_a_sentence(recipe_file, tmp_path, silent):
    good = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]
    records = [{"conversations": good}, {"conversations": [{**good[0], "from": "[/user]"}, good[1]]}]
    (tmp_path / "two.json").write_text(json.dumps(records))
    changes = [
        "data.synthetic=null",
        f"data.files=[{{path: {tmp_path / 'two.json'}}}]",
        "data.max_broken=1",
        "optim.steps=1",
    ]
    train(recipe_file, tmp_path / "run", changes, console=silent)
    assert re.search(r"skipped .*\[/user\]", silent.file.getvalue())


def test_a_recipe_made_in_python_is_taken_as_it_is(recipe_file, tmp_path, silent):
    recipe = load_recipe(recipe_file, ["optim.steps=1", f"output={tmp_path / 'own'}"])
    assert train(recipe, console=silent) == tmp_path / "own"
    with pytest.raises(ConfigError, match="overrides change a recipe's file"):
        train(recipe, overrides=["optim.steps=2"], console=silent)


def test_a_run_goes_on_where_it_was_moved_with_its_weights(recipe_file, tmp_path, silent):
    def begin(place: str, weights: str = "base") -> str:
        folder = tmp_path / place
        changes = ["model.new=null", "model.processor={}", f"model.from={folder / weights}", ONE_STEP]
        train(recipe_file, folder / "run", changes, console=silent)
        return silent.file.getvalue()

    train(recipe_file, tmp_path / "a" / "base", ["optim.steps=1"], console=silent)
    shutil.copytree(tmp_path / "a" / "base", tmp_path / "a" / "other")
    begin("a")
    with pytest.raises(ConfigError, match=r"another recipe \(model.from is \S+base there and \S+other here"):
        begin("a", "other")
    (tmp_path / "a").rename(tmp_path / "b")
    assert f"going on from {tmp_path / 'b' / 'run' / 'checkpoint-1'}" in begin("b")


def test_without_accelerate_there_is_a_sentence(recipe_file, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "accelerate", None)
    with pytest.raises(ConfigError, match=r"install oryx-mllm\[train\]"):
        train(recipe_file)
