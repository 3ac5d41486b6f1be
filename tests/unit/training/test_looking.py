"""Data that is not there is found by a look."""

from oryx.errors import ConfigError
from oryx.training import looking as module
from oryx.training.looking import look_at_data
from oryx.training.recipe import load_recipe


def test_samples_that_cannot_be_drawn_here_are_missing_data(recipe_file, monkeypatch):
    def refuse(skills, seed):
        raise ConfigError("no fonts are installed.")

    monkeypatch.setattr(module, "make_source", refuse)
    (state,) = look_at_data(load_recipe(recipe_file).data)
    assert state.problems == ("words: no fonts are installed",)


def test_only_the_skills_that_lack_something_are_named(recipe_file, tmp_path):
    changes = [f"data.synthetic.skills.{key}={tmp_path}" for key in ("things.pictures", "rooms.folder")]
    (state,) = look_at_data(load_recipe(recipe_file, changes).data)
    assert state.skills == ("words", "things", "rooms")
    assert [problem.split(":")[0] for problem in state.problems] == ["things", "rooms"]


def test_records_that_are_there_are_counted(recipe_file, record_file):
    sources = f"data.files=[{{path: {record_file}}}, {{path: none.json, name: gone}}]"
    here, gone = look_at_data(load_recipe(recipe_file, ["data.synthetic=null", sources]).data)
    assert (here.num_records, here.problems) == (20, ())
    assert (gone.title, gone.num_records, gone.problems) == ("gone", None, ("none.json does not exist",))
