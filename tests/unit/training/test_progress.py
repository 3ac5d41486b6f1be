"""What a run leaves of its course: training time that adds up over cuts, and a picture."""

import json
from io import StringIO
from pathlib import Path

from PIL import Image
from rich.console import Console

from oryx.training import progress as module
from oryx.training.progress import Meter, say
from oryx.training.running import train

ONE_STEP = "optim.max_minutes=1e-9"


def lines(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_minutes_add_up_over_cuts(recipe_file, tmp_path, silent, monkeypatch):
    clock = iter(range(10_000))
    monkeypatch.setattr(module.time, "monotonic", lambda: 60.0 * next(clock))  # a minute between two looks
    for _ in range(3):
        train(recipe_file, tmp_path / "run", [ONE_STEP], console=silent)
    minutes = [line["minutes"] for line in lines(tmp_path / "run")]
    assert len(minutes) == 3
    parts = [later - earlier for earlier, later in zip([0, *minutes], minutes)]
    assert len(set(parts)) == 1  # the same each time, whatever lay between the runs
    assert parts[0] > 0


def test_a_run_is_drawn_when_it_stops(recipe_file, tmp_path, silent):
    folder = train(recipe_file, tmp_path / "run", [ONE_STEP], console=silent)
    assert Image.open(folder / "loss.png").format == "PNG"
    stopped = (folder / "loss.png").read_bytes()
    train(recipe_file, folder, console=silent)
    assert (folder / "loss.png").read_bytes() != stopped


def test_a_picture_that_cannot_be_drawn_ends_nothing(recipe_file, tmp_path, silent, monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "draw_curves", refuse)
    folder = train(recipe_file, tmp_path / "run", ["optim.steps=1"], console=silent)
    assert (folder / "config.json").is_file()
    assert "loss.png could not be written" in silent.file.getvalue()


def test_a_log_line_that_cannot_be_written_ends_nothing(recipe_file, tmp_path, silent, monkeypatch):
    original = Path.open

    def refuse(self, mode="r", *args, **kwargs):
        if self.name == "log.jsonl" and mode == "a":
            raise OSError(28, "No space left on device")
        return original(self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refuse)
    folder = train(recipe_file, tmp_path / "run", ["optim.steps=1", "log_every=1"], console=silent)
    assert (folder / "config.json").is_file()
    assert "log.jsonl could not be written" in silent.file.getvalue()


def test_a_log_that_cannot_be_shortened_ends_nothing(recipe_file, tmp_path, silent, monkeypatch):
    original = Path.write_text

    def refuse(self, *args, **kwargs):
        if self.name.endswith(".part"):
            raise OSError(28, "No space left on device")
        return original(self, *args, **kwargs)

    train(recipe_file, tmp_path / "run", [ONE_STEP], console=silent)
    monkeypatch.setattr(Path, "write_text", refuse)
    folder = train(recipe_file, tmp_path / "run", console=silent)
    assert [line["step"] for line in lines(folder)] == [1, 2, 3, 4, 5, 6]
    assert "log.jsonl could not be written" in silent.file.getvalue()
    assert not list(folder.glob("*.part"))


def test_the_time_before_the_first_step_is_no_step_s(monkeypatch):
    clock = iter([0.0, 100.0, 102.0, 103.0, 107.0, 108.0])  # made, first step, read and anew, twice
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(clock))
    meter = Meter()
    meter.start()
    meter.start()
    meter.add_step(waited=0.5)
    assert meter.read()["seconds_per_step"] == 2
    meter.start()
    meter.add_step(waited=0.5)
    assert meter.read()["seconds_per_step"] == 4


def test_a_line_is_said_as_it_is():
    console = Console(file=StringIO(), width=20)
    text = "skipped COCO [val]: [/user] says :x: in [red]" + 20 * " and more"
    say(console, text)
    assert console.file.getvalue() == f"{text}\n"
