"""What every benchmark shares: the machine's limit, fair repeats, and a table with its JSON.

A figure means little alone: each report carries the machine's measured matrix-product peak, and rates stand
beside the limit they are a share of. Compared cases run in turns, so that a noisy neighbour hits all of them.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

# (rows, inner, columns) of products: the tower's linear layers over 4,096 patches, and a square.
PEAK_SHAPES = ((4096, 1152, 3456), (4096, 1152, 4304), (4096, 4304, 1152), (4096, 4096, 4096))
ROOT = Path(__file__).parents[1]
"""The repository: paths hold wherever a benchmark is started from."""
RESULTS = ROOT / "runs/benchmarks"


def time_in_turns(
    cases: Mapping[str, Callable[[], Any]], repeats: int = 5, warmup: int = 1
) -> dict[str, list[float]]:
    """Seconds of every run of each case; the cases take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(warmup + repeats):
        for name, run in cases.items():
            began = time.perf_counter()
            run()
            if turn >= warmup:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def median_ratio(of: Sequence[float], to: Sequence[float]) -> float:
    """Median over turns of one case's seconds by another's."""
    return statistics.median(a / b for a, b in zip(of, to, strict=True))


def peak_cases(dtype: torch.dtype, device: str = "cpu") -> dict[str, tuple[Callable[[], Any], float]]:
    """A product of each of `PEAK_SHAPES` by name, with its operations (2 for a multiply-add)."""
    cases: dict[str, tuple[Callable[[], Any], float]] = {}
    for rows, inner, columns in PEAK_SHAPES:
        a = torch.randn(rows, inner, device=device).to(dtype)
        b = torch.randn(columns, inner, device=device).to(dtype)
        cases[f"{rows}x{inner}x{columns}"] = (
            lambda a=a, b=b: torch.nn.functional.linear(a, b),
            2.0 * rows * inner * columns,
        )
    return cases


def measure_peak(dtype: torch.dtype, repeats: int = 7, device: str = "cpu") -> float:
    """FLOP/s of the fastest product: the best median over `PEAK_SHAPES`."""
    cases = peak_cases(dtype, device)
    seconds = time_in_turns({name: run for name, (run, _) in cases.items()}, repeats, warmup=2)
    return max(flops / statistics.median(seconds[name]) for name, (_, flops) in cases.items())


@dataclass
class Report:
    """Rows of one benchmark, printed as a table and written as JSON beside what the machine is."""

    name: str
    peaks: dict[str, float] = field(default_factory=dict)
    """Dtype -> measured FLOP/s of matrix products, in the same run."""
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, figure: str, value: float, unit: str, target: str = "", **more: Any) -> None:
        """One figure. `target` says what is asked of it, as in "at least 0.68"."""
        self.rows.append({"figure": figure, "value": value, "unit": unit, "target": target, **more})

    def finish(self, output: Path | None = None) -> Path:
        """Print the table, write the JSON (by default in `RESULTS`), and return its path."""
        table = Table(title=self.name, title_justify="left")
        for heading, justify in (
            ("figure", "left"),
            ("value", "right"),
            ("unit", "left"),
            ("target", "left"),
        ):
            table.add_column(heading, justify=justify)  # type: ignore[arg-type]
        for row in self.rows:
            table.add_row(row["figure"], f"{row['value']:.4g}", row["unit"], row["target"])
        for dtype, peak in self.peaks.items():
            table.add_row(f"matrix-product peak, {dtype}", f"{peak / 1e9:.0f}", "GFLOP/s", "the limit")
        Console().print(table)
        path = output or RESULTS / f"{self.name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"name": self.name, "machine": machine(), "peak_flops": self.peaks, "figures": self.rows}
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        print(f"Wrote {path}.")
        return path


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("torch", "transformers", "av", "pillow", "numpy")},
    }


def parser(description: str | None) -> argparse.ArgumentParser:
    """Arguments of every benchmark: `--repeats`, `--output`."""
    out = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    out.add_argument("--repeats", type=int, default=5, help="timed runs of each case; medians are reported")
    out.add_argument(
        "--output", type=Path, help="JSON file, instead of the repository's runs/benchmarks/NAME.json"
    )
    return out


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names and names[0] else platform.processor()
