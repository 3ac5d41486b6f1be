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
    assert state.problem == "no fonts are installed."


def test_records_that_are_there_are_counted(recipe_file, record_file):
    sources = f"data.files=[{{path: {record_file}}}, {{path: none.json, name: gone}}]"
    here, gone = look_at_data(load_recipe(recipe_file, ["data.synthetic=null", sources]).data)
    assert (here.num_records, here.problem) == (20, "")
    assert (gone.title, gone.num_records, gone.problem) == ("gone", None, "none.json does not exist.")
