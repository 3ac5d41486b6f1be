"""`oryx train` hands its arguments to `train`."""

from pathlib import Path

import typer
from typer.testing import CliRunner

from oryx.cli.train import train_command

app = typer.Typer()
app.command()(train_command)


def test_arguments_reach_training(monkeypatch):
    calls = []

    def train(recipe, output, overrides):
        calls.append((recipe, output, overrides))
        return Path("runs/x")

    monkeypatch.setattr("oryx.training.trainer.train", train)
    result = CliRunner().invoke(app, ["r.yaml", "--output", "out", "--set", "a=1", "--set", "b=[1, 2]"])
    assert result.exit_code == 0
    assert "The model is in runs/x." in result.output
    assert CliRunner().invoke(app, ["r.yaml"]).exit_code == 0
    assert calls == [(Path("r.yaml"), Path("out"), ["a=1", "b=[1, 2]"]), (Path("r.yaml"), None, [])]


def test_a_recipe_that_is_missing_is_an_error_of_oryx():
    result = CliRunner().invoke(app, ["none.yaml", "--output", "x"])
    assert "the recipe none.yaml does not exist." in str(result.exception)
