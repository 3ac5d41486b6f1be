"""`oryx train` hands its arguments to `train`, a chain's to `train_chain`, and neither in a dry run."""

from pathlib import Path

import pytest
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

    monkeypatch.setattr("oryx.training.running.train", train)
    result = CliRunner().invoke(app, ["r.yaml", "--output", "out", "--set", "a=1", "--set", "b=[1, 2]"])
    assert result.exit_code == 0
    assert "The model is in runs/x." in result.output
    assert CliRunner().invoke(app, ["r.yaml"]).exit_code == 0
    assert calls == [(Path("r.yaml"), Path("out"), ["a=1", "b=[1, 2]"]), (Path("r.yaml"), None, [])]


def test_other_processes_than_the_first_are_silent(monkeypatch):
    monkeypatch.setattr("oryx.training.running.train", lambda *_, **__: Path("runs/x"))
    monkeypatch.setattr("oryx.training.distributed.is_main_process", lambda: False)
    assert CliRunner().invoke(app, ["r.yaml"]).output == ""


def test_a_recipe_that_is_missing_is_an_error_of_oryx():
    result = CliRunner().invoke(app, ["none.yaml", "--output", "x"])
    assert "the recipe none.yaml does not exist." in str(result.exception)


def test_a_chain_is_run_as_one(monkeypatch, tmp_path):
    calls = []

    def train_chain(path, output, overrides):
        calls.append((path, output, overrides))
        return Path("runs/x/last")

    monkeypatch.setattr("oryx.training.chain.train_chain", train_chain)
    (tmp_path / "all.yaml").write_text("parts: [one.yaml]")
    result = CliRunner().invoke(app, [str(tmp_path / "all.yaml"), "--output", "out", "--set", "seed=1"])
    assert result.exit_code == 0
    assert "The model is in runs/x/last." in result.output
    assert calls == [(tmp_path / "all.yaml", Path("out"), ["seed=1"])]


def test_a_dry_run_trains_nothing(monkeypatch):
    calls = []

    def refuse(*_, **__):
        raise AssertionError("trained")

    monkeypatch.setattr("oryx.training.running.train", refuse)
    monkeypatch.setattr("oryx.training.chain.train_chain", refuse)
    monkeypatch.setattr("oryx.training.dry_run.dry_run_file", lambda *arguments: calls.append(arguments))
    result = CliRunner().invoke(app, ["r.yaml", "--dry-run", "--set", "seed=1"])
    assert result.exit_code == 0
    assert calls == [(Path("r.yaml"), None, ["seed=1"])]


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_what_is_wrong_is_one_sentence(refused, tmp_path, options):
    (tmp_path / "all.yaml").write_text("parts: [none.yaml]\noutput: runs/x")
    assert "none.yaml does not exist" in refused("train", tmp_path / "all.yaml", *options)
    assert "none.yaml does not exist" in refused("train", tmp_path / "none.yaml", *options)
