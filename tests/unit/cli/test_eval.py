"""`oryx eval`: what it prints, what it writes, what it refuses before the model is loaded."""

import hashlib
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from oryx.cli.eval import eval_app
from oryx.data.pictures.store import write_store
from oryx.errors import CheckpointError, ConfigError
from oryx.evaluation.output import hash_weights
from oryx.evaluation.skills.report import font_families, hash_fonts

TINY = str(Path(__file__).parents[2] / "parity" / "reference" / "oryx-tiny-qwen")


def run(*words):
    return CliRunner().invoke(eval_app, list(words))


def test_json_on_stdout_is_the_file(tmp_path):
    # At 1,024 pixels a picture is 4 patches: the test is of the command, not of the model.
    dial = ("--max-pixels", "1024", "--detail", "low", "--compression", "4")
    small = ("skills", "--model", TINY, "--samples", "1", "--test", "color", "--batch-size", "1")
    result = run(*small, *dial, "--output", str(tmp_path / "out"), "--json")
    assert result.exit_code == 0, result.exception
    printed = json.loads(result.stdout)
    assert printed == json.loads((tmp_path / "out" / "skills.json").read_text())
    assert printed["results"][0]["test"] == "color"
    assert printed["command"].endswith("--test color --compression 4 --max-pixels 1024 --detail low")
    assert "Wrote" in result.stderr


def test_card_is_written_where_asked(tmp_path):
    small = ("skills", "--model", TINY, "--samples", "1", "--test", "shape")
    result = run(*small, "--card", str(tmp_path / "card.md"))
    assert result.exit_code == 0, result.exception
    assert "| shape | default |" in result.stdout
    assert "| shape | default |" in (tmp_path / "card.md").read_text()


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["skills", "--test", "colour"], ConfigError, "did you mean 'color'"),
        (["skills", "--test", "color", "--compression", "3"], ConfigError, "1, 2, 4, 8, 16"),
        (["skills", "--test", "color", "--detail", "medium"], ConfigError, "high, low"),
        (["skills", "--test", "things_known"], ConfigError, "Test 'things_known' needs pictures"),
        (
            ["skills", "--test", "things_known", "--pictures", "/no/store"],
            ConfigError,
            "No store of pictures",
        ),
        (["skills", "--test", "color", "--pictures", "/no/store"], ConfigError, "No store of pictures"),
        (["skills", "--test", "color", "--seed", "1"], ConfigError, "at least 10000000"),
        (["skills", "--test", "color", "--model", "/no/such"], CheckpointError, "/no/such"),
    ],
)
def test_refusals(words, error, message):
    result = run(*words)
    assert isinstance(result.exception, error)
    assert message in str(result.exception)


@pytest.mark.parametrize(
    "words", [("--samples", "0"), ("--max-pixels", "1024", "--max-pixels", "0")], ids=["samples", "pixels"]
)
def test_numbers_below_one_are_usage_errors(words):
    assert run("skills", *words).exit_code == 2


@pytest.fixture
def loads_nothing(monkeypatch):
    def load(*args, **kwargs):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("oryx.loading.load", load)


@pytest.mark.parametrize("dial", [("--compression", "4"), ("--max-pixels", "512"), ("--detail", "low")])
@pytest.mark.parametrize("more", [(), ("--sweep",)], ids=["alone", "sweep"])
def test_a_card_without_the_default_dial_is_refused_before_the_run(tmp_path, loads_nothing, dial, more):
    result = run("skills", "--model", TINY, *dial, *more, "--card", str(tmp_path / "card"))
    assert isinstance(result.exception, ConfigError)
    assert "A card needs results at the default dial" in str(result.exception)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--card", "--output"])
def test_what_cannot_be_written_is_refused_before_the_run(tmp_path, loads_nothing, option):
    (tmp_path / "file").write_text("")
    result = run("skills", "--model", TINY, option, str(tmp_path / "file" / "below"))
    assert isinstance(result.exception, ConfigError)
    assert f"cannot be written ({tmp_path / 'file'} is a file)" in str(result.exception)


def test_the_table_is_printed_even_if_the_card_cannot_be_written(tmp_path, monkeypatch):
    def refuse(*args):
        raise ConfigError("the disk is full.")

    monkeypatch.setattr("oryx.evaluation.skills.card.write_card", refuse)
    result = run("skills", "--model", TINY, "--samples", "1", "--test", "shape", "--card", str(tmp_path))
    assert isinstance(result.exception, ConfigError)
    assert "| shape | default |" in result.stdout


def test_results_of_another_model_are_refused_before_the_run(tmp_path):
    (tmp_path / "skills.json").write_text(json.dumps({"model_sha256": "00", "command": ""}))
    result = run("skills", "--model", TINY, "--test", "color", "--output", str(tmp_path))
    assert isinstance(result.exception, ConfigError)
    assert "another model" in str(result.exception)


def test_results_of_other_settings_are_refused_before_the_run(tmp_path, monkeypatch):
    small = ("skills", "--model", TINY, "--samples", "1", "--test", "shape", "--output", str(tmp_path))
    assert run(*small, "--seed", "10000001").exit_code == 0
    assert run(*small, "--seed", "10000001").exit_code == 0  # the same again
    before = (tmp_path / "skills.json").read_bytes()

    def load(*args, **kwargs):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("oryx.loading.load", load)
    result = run(*small)
    assert isinstance(result.exception, ConfigError)
    assert "results of other settings (--seed 10000001)" in str(result.exception)
    assert (tmp_path / "skills.json").read_bytes() == before


@pytest.mark.parametrize("changed", ["device", "fonts", "fonts_sha256", "pictures_sha256"])
def test_results_of_other_data_are_refused_before_the_run(tmp_path, loads_nothing, changed):
    """The same command, but the machine or the store of pictures is another one now."""
    store = tmp_path / "pictures.zip"
    write_store(store, [], {"version": 1})
    small = ("skills", "--model", TINY, "--samples", "1", "--test", "shape", "--pictures", str(store))
    there = {
        "model_sha256": hash_weights(Path(TINY)),
        "command": f"oryx eval skills --model {TINY} --samples 1 --test shape --pictures {store}",
        "device": "cpu",
        "fonts": font_families([]),
        "fonts_sha256": hash_fonts([]),
        "pictures_sha256": hashlib.sha256(store.read_bytes()).hexdigest(),
    }
    path = tmp_path / "out" / "skills.json"
    path.parent.mkdir()
    path.write_text(json.dumps({**there, changed: "another"}))
    before = path.read_bytes()
    result = run(*small, "--device", "cpu", "--output", str(path.parent))
    assert isinstance(result.exception, ConfigError)
    assert f"results of other {changed}; choose another" in str(result.exception)
    assert path.read_bytes() == before
    path.write_text(json.dumps(there))
    result = run(*small, "--device", "cpu", "--output", str(path.parent))
    assert "the model was loaded" in str(result.exception)


def test_pages_without_a_card_are_refused(tmp_path, loads_nothing):
    (tmp_path / "needle.md").write_text("# Needles")
    result = run("skills", "--model", TINY, "--card-page", str(tmp_path / "needle.md"))
    assert isinstance(result.exception, ConfigError)
    assert "give --card too" in str(result.exception)


def test_what_is_computed_with_is_in_the_command():
    small = ("skills", "--model", TINY, "--samples", "1", "--test", "shape", "--json")
    how = ("--dtype", "float32", "--quantize", "int8")
    printed = json.loads(run(*small, *how).stdout)
    assert "--quantize int8 --dtype float32 --samples 1" in printed["command"]
    plain = json.loads(run(*small).stdout)
    assert plain["num_parameters"] == printed["num_parameters"]
    assert "--dtype" not in plain["command"]


def test_a_tower_is_taken_as_in_ask(tmp_path):
    result = run("skills", "--model", TINY, "--test", "shape", "--vision-tower", str(tmp_path / "no.pth"))
    assert isinstance(result.exception, CheckpointError)
    assert "the vision tower" in str(result.exception)


def test_what_is_measured_is_told_when_the_run_is_stopped(monkeypatch):
    from oryx.evaluation.skills import evaluate as skills

    measure = skills.measure_skills

    def stop_at_shape(answerer, names, *args, **kwargs):
        if names == ["shape"]:
            raise KeyboardInterrupt
        return measure(answerer, names, *args, **kwargs)

    monkeypatch.setattr(skills, "measure_skills", stop_at_shape)
    result = run("skills", "--model", TINY, "--samples", "1", "--test", "color", "--test", "shape")
    assert result.exit_code != 0
    assert result.stdout == ""
    assert "Measured so far:" in result.stderr
    assert "| color | default |" in result.stderr


def test_tests_left_out_for_want_of_pictures_are_named(monkeypatch):
    from oryx.evaluation.skills import evaluate as skills

    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(skills, "measure_skills", stop)
    result = run("skills", "--model", TINY, "--samples", "1")
    assert "these are left out: things_known, things_new_style." in result.stderr
    assert "left out" not in run("skills", "--model", TINY, "--samples", "1", "--test", "color").stderr


def test_an_unknown_task_is_a_usage_error():
    assert run("nothing").exit_code == 2
