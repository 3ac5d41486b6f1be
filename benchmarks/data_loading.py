"""Data: how full the rows are, what batches cost the steps, and how fast records are counted and checked.

    python benchmarks/data_loading.py [--root DIR] [--model nano]

The mixtures are those of recipes/nano (samples drawn on the fly), and one of such samples from patch files
beside fresh ones. Waiting is what the training loop itself measures, with two workers, after the first steps.
Workers that take the processor's time from the steps make nobody wait: the same steps run again on batches
made beforehand, in turns, and the time of the one stands beside that of the other.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml
from common import ROOT, Report, parser
from PIL import Image
from rich.console import Console

from oryx.data.sources.checking import check_source
from oryx.data.sources.counting import count_source
from oryx.data.sources.opening import open_source
from oryx.data.sources.settings import SourceSettings
from oryx.data.sources.writing import pack_source
from oryx.data.synthetic import make_source
from oryx.errors import ConfigError
from oryx.training.building import build_processor
from oryx.training.data import STATS, make_batches
from oryx.training.recipe import Recipe, load_recipe
from oryx.training.running import train

RECIPES = ROOT / "recipes/nano"
MIXTURES = ("vit/09_all_skills", "joint_sft/1_videos", "joint_sft/2_long", "joint_sft/3_all_skills")
FILES_RECIPE = "vit/07_search"  # whose samples are small, and need no materials
FILES_ROWS = ("batch.row_length=1024", "batch.rows=3")  # records keep all their questions, so some are longer
NUM_WORKERS = 2
WARMUP_STEPS = 2  # workers fill their queues meanwhile
MANY_STEPS = 10_000


def write_records(folder: Path, recipe: Recipe, count: int) -> Path:
    """Samples of the recipe's skills, drawn from another seed, as patch files."""
    assert recipe.data.synthetic is not None
    source = make_source(recipe.data.synthetic.skills, seed=990)
    plain = folder / "plain"
    plain.mkdir(parents=True)
    entries = []
    for index in range(count):
        sample = source[index]
        visuals = [_write_visual(visual, plain, f"{index}_{n}") for n, visual in enumerate(sample.visuals)]
        entries.append({"conversations": sample.conversations, "visuals": visuals})
    (plain / "records.jsonl").write_text("\n".join(map(json.dumps, entries)), encoding="utf-8")
    pack_source(open_source(SourceSettings(path=str(plain / "records.jsonl"))), folder / "packed", "patches")
    shutil.rmtree(plain)
    return folder / "packed"


def _write_visual(visual: dict[str, Any], folder: Path, name: str) -> dict[str, Any]:
    kind = visual["type"]
    pictures: Sequence[Image.Image] = [visual[kind]] if kind == "image" else visual[kind]
    names = [f"{name}_{number}.png" for number in range(len(pictures))]
    for file, picture in zip(names, pictures):
        picture.save(folder / file)
    dials = {key: visual[key] for key in ("compression", "detail") if key in visual}
    return {"type": kind, kind: names[0] if kind == "image" else names, **dials}


class MadeBatches:
    """The first batches of others, made beforehand, again and again."""

    def __init__(self, batches: Any, count: int) -> None:
        self.identity = batches.identity
        self.made = [batches[number] for number in range(count)]

    def __len__(self) -> int:
        return len(self.made)

    def __getitem__(self, number: int) -> dict[str, Any]:
        return dict(self.made[number % len(self.made)])  # the loop takes the statistics out

    def fill(self) -> float:
        """Share of the positions that is in use."""
        stats = [batch[STATS] for batch in self.made]
        return sum(own.num_positions for own in stats) / sum(own.capacity for own in stats)


def time_steps(
    file: Path, overrides: Sequence[str], made: MadeBatches | None = None
) -> tuple[list[float], list[float]]:
    """Of each step the seconds, and the share of them that the loop waited for its batch.

    Workers draw the batches unless these are made.
    """
    changes = [*overrides, "log_every=1", f"num_workers={NUM_WORKERS if made is None else 0}"]
    make = make_batches if made is None else lambda *_: made
    with tempfile.TemporaryDirectory() as folder, patch("oryx.training.running.make_batches", make):
        output = train(file, Path(folder) / "run", changes, console=Console(file=StringIO()))
        lines = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    ends = [0.0, *(60 * line["minutes"] for line in lines)]
    return [end - begin for begin, end in pairwise(ends)], [line["data_wait"] for line in lines]


def main() -> None:
    arguments = parser(__doc__)
    arguments.set_defaults(repeats=2)
    arguments.add_argument("--recipes", nargs="*", default=MIXTURES, help="of recipes/nano")
    arguments.add_argument("--root", type=Path, default=ROOT, help="folder that holds runs/nano")
    arguments.add_argument("--model", default="nano", help="begins instead of what the recipes begin with")
    arguments.add_argument("--batches", type=int, default=24, help="batches of which the fill is measured")
    arguments.add_argument("--seconds", type=float, default=12, help="of each run; files have one")
    arguments.add_argument("--records", type=int, default=800, help="records written to files; 0 for none")
    options = arguments.parse_args()
    report = Report("data_loading")
    output = options.output and options.output.resolve()
    os.chdir(options.root)  # where the recipes' paths begin
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache  # what earlier runs counted must not be found
        for name in options.recipes:
            _measure(report, name, name, [], options, options.repeats)
        if options.records:
            _measure_files(report, Path(cache), options)
    report.finish(output)


def _overrides(model: str) -> list[str]:
    """For a model that has all that a recipe would change in its own."""
    return [f"model.from={model}", "model.vision={}", "model.grow=null"]


def _measure(
    report: Report, title: str, recipe: str, changes: Sequence[str], options: Any, repeats: int
) -> None:
    """How full the rows are, how long steps wait for them, and what making them beside the steps costs."""
    file = RECIPES / f"{recipe}.yaml"
    # Of many steps the run is stopped early: near its end, workers would have nothing left to do.
    length = [f"optim.steps={MANY_STEPS}", f"optim.max_minutes={options.seconds / 60}"]
    overrides = [*_overrides(options.model), *length, *changes]
    try:
        settings = load_recipe(file, overrides)
        batches = make_batches(settings, build_processor(settings))
    except ConfigError as error:
        print(f"{title} is left out: {error}")
        return
    made = MadeBatches(batches, options.batches)
    report.add(f"{title}: positions in use", 100 * made.fill(), "%", "at least 95")
    beside, before, waits = [], [], []
    for _ in range(repeats):
        drawn, waited = time_steps(file, overrides)
        alone, _ = time_steps(file, overrides, made)
        same = slice(WARMUP_STEPS, min(len(drawn), len(alone), len(made)))  # steps on the same batches
        beside += drawn[same]
        before += alone[same]
        waits += [share * seconds for share, seconds in zip(waited, drawn)][same]
    if not beside:
        raise SystemExit(f"{title}: {options.seconds:g} s hold no more than the warm-up; raise --seconds.")
    share = 100 * sum(waits) / sum(beside)
    report.add(f"{title}: waiting for data", share, "% of step time", "at most 5")
    report.add(f"{title}: a step", sum(beside) / len(beside), "s", seconds=beside)
    ratio = sum(beside) / sum(before)
    report.add(f"{title}: against batches made before", ratio, "times", "at most 1.05", seconds=before)


def _measure_files(report: Report, folder: Path, options: Any) -> None:
    recipe = load_recipe(RECIPES / f"{FILES_RECIPE}.yaml", _overrides(options.model))
    packed = write_records(folder, recipe, options.records)
    source = open_source(SourceSettings(path=str(packed)))
    processor = build_processor(recipe)
    for figure, run in (
        ("counted from headers", lambda: count_source(source, processor)),
        ("checked, all decoded", lambda: check_source(source, processor)),
    ):
        began = time.perf_counter()
        run()
        report.add(
            f"records {figure}, one process", len(source) / (time.perf_counter() - began), "per second"
        )
    mixture = yaml.safe_dump([{"path": str(packed), "weight": 1}], default_flow_style=True).strip()
    for title, weight in (("patch files and fresh samples", 1), ("patch files alone", 0)):
        changes = [*FILES_ROWS, f"data.sources={mixture}", f"data.synthetic.weight={weight}"]
        _measure(report, title, FILES_RECIPE, changes, options, repeats=1)


if __name__ == "__main__":
    main()
