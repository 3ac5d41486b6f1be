"""Data: how full the rows are, how long a step waits for them, and how fast records are counted and checked.

    python benchmarks/data_loading.py

The mixtures are those of recipes/nano (samples drawn on the fly), and one of such samples from patch files
beside fresh ones. Waiting is what the training loop itself measures, with two workers, after the first steps.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import yaml
from common import Report, parser
from PIL import Image
from rich.console import Console

from oryx.data.sources.checking import check_source
from oryx.data.sources.counting import count_source
from oryx.data.sources.opening import open_source
from oryx.data.sources.settings import SourceSettings
from oryx.data.sources.writing import pack_source
from oryx.data.synthetic import make_source
from oryx.loading import native_processor, resolve_folder
from oryx.training.data import STATS, make_batches
from oryx.training.recipe import Recipe, load_recipe
from oryx.training.trainer import train

RECIPES = Path("recipes/nano")
NUM_WORKERS = 2
WARMUP_STEPS = 10


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


def measure_packing(recipe: Recipe, num_batches: int) -> float:
    """Share of the positions of the first batches that is in use."""
    processor = native_processor(resolve_folder("nano"))
    batches = make_batches(recipe, processor)
    stats = [batches[number][STATS] for number in range(num_batches)]
    return sum(own.num_positions for own in stats) / sum(own.capacity for own in stats)


def measure_waiting(file: Path, overrides: Sequence[str], steps: int) -> float:
    """Share of a step's time that the loop waits for its batch, after the warm-up."""
    with tempfile.TemporaryDirectory() as folder:
        every = f"log_every={WARMUP_STEPS}"
        more = [*overrides, f"optim.steps={WARMUP_STEPS + steps}", every, f"num_workers={NUM_WORKERS}"]
        output = train(file, Path(folder) / "run", more, console=Console(file=StringIO()))
        lines = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()][1:]
    return sum(line["data_wait"] for line in lines) / len(lines)


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument(
        "--recipes", nargs="*", default=["vit/02_variety", "vit/03_everything", "vit/07_search"]
    )
    arguments.add_argument("--batches", type=int, default=40, help="batches of which the fill is measured")
    arguments.add_argument(
        "--steps", type=int, default=40, help="training steps of which waiting is measured"
    )
    arguments.add_argument("--records", type=int, default=1500, help="records written to files")
    options = arguments.parse_args()
    report = Report("data_loading")
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache  # what earlier runs counted must not be found
        for name in options.recipes:
            file = RECIPES / f"{name}.yaml"
            _measure(report, name, file, ["model.from=nano", "model.vision={}"], options)
        _measure_files(report, RECIPES / f"{options.recipes[-1]}.yaml", Path(cache), options)
    report.finish(options.output)


def _measure(report: Report, name: str, file: Path, overrides: list[str], options: Any) -> None:
    packing = measure_packing(load_recipe(file, overrides), options.batches)
    report.add(f"{name}: positions in use", 100 * packing, "%", "at least 95")
    waiting = measure_waiting(file, overrides, options.steps)
    report.add(f"{name}: waiting for data", 100 * waiting, "% of step time", "at most 5")


def _measure_files(report: Report, file: Path, folder: Path, options: Any) -> None:
    overrides = ["model.from=nano", "model.vision={}"]
    packed = write_records(folder, load_recipe(file, overrides), options.records)
    source = open_source(SourceSettings(path=str(packed)))
    processor = native_processor(resolve_folder("nano"))
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
    changes = [*overrides, f"data.sources={mixture}"]
    _measure(report, "patch files and fresh samples", file, [*changes, "data.synthetic.weight=1"], options)
    _measure(report, "patch files alone", file, [*changes, "data.synthetic.weight=0"], options)


if __name__ == "__main__":
    main()
