"""Whole runs on a mixture of files and synthetic samples: exact in resuming, broken records in the log."""

import json
import os
from io import StringIO
from pathlib import Path

import pytest
from ranks import run_ranks
from rich.console import Console
from safetensors.torch import load_file

from oryx.errors import ConfigError, OryxError
from oryx.training.records import RecordBatches
from oryx.training.running import train


@pytest.fixture
def changes(record_file):
    """A mixture in which one picture cannot be decoded."""
    picture = record_file.parent / "4_0.png"
    picture.write_bytes(picture.read_bytes()[:60])
    sources = json.dumps([{"path": str(record_file), "weight": 3}])
    return [
        f"data.sources={sources}",
        "data.synthetic.weight=1",
        "data.max_broken=1",
        "optim.steps=8",
        "num_workers=1",
    ]


def curve(folder):
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [(line["step"], line["loss"], line["broken"], line["packed"]) for line in lines]


def test_a_killed_run_ends_with_the_same_bits(recipe_file, changes, tmp_path, silent, monkeypatch):
    whole = train(recipe_file, tmp_path / "whole", changes, console=silent)
    shown = silent.file.getvalue()
    assert sum(broken for _, _, broken, _ in curve(whole)) >= 1
    assert "broken 1  left" in shown
    original = RecordBatches.__getitem__

    def get(self, number):
        if number == 5:
            raise OryxError("killed.")
        return original(self, number)

    with monkeypatch.context() as context:
        context.setattr(RecordBatches, "__getitem__", get)
        with pytest.raises(OryxError, match="killed"):
            train(recipe_file, tmp_path / "parts", changes, console=silent)
    parts = train(recipe_file, tmp_path / "parts", changes, console=silent)
    assert curve(parts) == curve(whole)
    first, second = (load_file(folder / "model.safetensors") for folder in (whole, parts))
    assert [name for name in first if not first[name].equal(second[name])] == []


def test_a_run_ends_at_the_first_broken_record_unless_told(recipe_file, changes, tmp_path, silent):
    with pytest.raises(OryxError) as error:
        train(recipe_file, tmp_path / "run", [*changes, "data.max_broken=0"], console=silent)
    assert "records.json record 4: " in str(error.value)
    assert "data.max_broken lets a run skip some" in str(error.value)


ONE_STEP = "optim.max_minutes=1e-9"


def test_a_run_that_reached_its_limit_goes_on_with_a_higher_one(recipe_file, changes, tmp_path, silent):
    train(recipe_file, tmp_path / "run", [*changes, "data.max_broken=0", ONE_STEP], console=silent)
    with pytest.raises(OryxError, match=r"records.json record 4: "):
        train(recipe_file, tmp_path / "run", [*changes, "data.max_broken=0", "save_every=1"], console=silent)
    folder = train(recipe_file, tmp_path / "run", changes, console=silent)
    assert curve(folder)[-1][0] == 8


def test_a_run_does_not_go_on_with_other_records(recipe_file, changes, record_file, tmp_path, silent):
    train(recipe_file, tmp_path / "run", [*changes, ONE_STEP], console=silent)
    records = json.loads(record_file.read_text())
    record_file.write_text(json.dumps(records + records[:1]))
    with pytest.raises(ConfigError, match=r"the records have changed since .*model.from: .*checkpoint-1\.$"):
        train(recipe_file, tmp_path / "run", changes, console=silent)
    record_file.write_text(json.dumps(records))
    assert curve(train(recipe_file, tmp_path / "run", changes, console=silent))[-1][0] == 8


def count_unlike(recipe, record_file, folder):
    """Each process has records of its own, of which the second has one less."""
    rank = int(os.environ["RANK"])
    records = json.loads(Path(record_file).read_text())
    mine = Path(record_file).with_name(f"rank{rank}.json")
    mine.write_text(json.dumps(records[rank:]))
    try:
        changes = ["data.synthetic=null", f"data.sources=[{{path: {mine}}}]"]
        train(recipe, folder, changes, console=Console(file=StringIO()))
    except ConfigError as error:
        return str(error)


def test_processes_with_unlike_records_are_told_so(recipe_file, record_file, tmp_path):
    said = run_ranks(2, count_unlike, str(recipe_file), str(record_file), str(tmp_path / "run"))
    sentence = (
        "process 1 has other records, or other fonts, pictures or rooms to draw with, than process 0; give "
        "all machines the same files."
    )
    assert said == [sentence] * 2
