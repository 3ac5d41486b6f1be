"""What may change between the starts of a run, and what may not."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from oryx.training.recipe import Recipe, load_recipe
from oryx.training.resuming import find_change, flatten, read_saved


def settings_of(recipe: Recipe) -> dict:
    return flatten(recipe.to_dict())


@pytest.fixture
def of_sources(settings, write_recipe, record_file):
    """A recipe of records of files, with other settings of its source."""

    def make(**changes) -> Recipe:
        source = {"path": str(record_file), "format": "llava", **changes}
        settings["data"] = {"sources": [source]}
        return load_recipe(write_recipe(settings))

    return make


def test_what_changes_nothing_that_is_learned_is_free(recipe):
    then = settings_of(recipe)
    now = replace(
        recipe,
        gradient_checkpointing=True,
        num_workers=1,
        model=replace(recipe.model, attn_implementation="eager"),
    )
    assert find_change(then, settings_of(now)) is None
    assert find_change(then, settings_of(replace(now, seed=3))) == "seed"
    assert find_change(then, settings_of(replace(now, precision="bfloat16"))) == "precision"


def test_data_may_lie_elsewhere(of_sources):
    """As where a cluster copies it to a new folder for every job."""
    then = settings_of(of_sources(media_root="/scratch/job1", name="a"))
    moved = settings_of(of_sources(media_root="/scratch/job2", name="b", licence="free"))
    assert find_change(then, moved) is None
    other = settings_of(of_sources(path="/scratch/records.json", media_root="/scratch/job1", name="a"))
    assert find_change(then, other) == "data.sources.0.path"
    assert find_change(then, other, is_counted=True) is None
    fewer = settings_of(of_sources(limit=3))
    assert find_change(then, fewer, is_counted=True) == "data.sources.0.limit"


@pytest.mark.parametrize(
    ("then", "now", "changed"),
    [
        ({"model.from": "runs/a"}, {"model.from": str(Path.cwd() / "runs" / "a")}, None),
        ({"model.from": "runs/a"}, {"model.from": "runs/./a/"}, None),
        ({"model.from": "runs/a"}, {"model.from": "runs/b"}, "model.from"),
        ({"model.from": "runs/a"}, {"model.from": None}, "model.from"),
        (
            {"model.assemble.vision_tower": "x/a", "output": "x/b"},
            {"model.assemble.vision_tower": "/y/a", "output": "/y/b"},
            None,
        ),
        ({"model.from": "x/a", "output": "x/c"}, {"model.from": "y/b", "output": "y/c"}, "model.from"),
        ({"model.from": "nano", "output": "x/c"}, {"model.from": "new", "output": "x/c"}, "model.from"),
    ],
)
def test_weights_may_lie_elsewhere_together_with_the_run(then, now, changed):
    assert find_change(then, now) == changed


def test_a_run_may_be_older_than_a_setting(recipe, tmp_path):
    saved = recipe.to_dict()
    del saved["optim"]["muon_multiplier"], saved["data"]["synthetic"]["marks"]
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(saved))
    assert find_change(read_saved(file), settings_of(recipe)) is None
    saved["from_the_future"] = 1
    file.write_text(yaml.safe_dump(saved))
    assert find_change(read_saved(file), settings_of(recipe)) == "data.synthetic.marks"
