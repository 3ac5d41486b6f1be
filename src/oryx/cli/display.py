"""What people see: plan lines and tables, and progress of long work."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console

from oryx.log_lines import LogLines, rate_text
from oryx.processing.geometry import IMAGE

if TYPE_CHECKING:
    from rich.progress import Progress

    from oryx.processing.forecast import Forecast, VisualForecast

# A bar that comes and goes at once only flickers.
PATIENCE = 1.0


def stderr() -> Console:
    """Rich output beside the answer."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def plan_line(visual: VisualForecast) -> str:
    """As in `cat.jpg  image  96x128 px  low 4x5 + native 12x16  1x  240 tokens`: heights first."""
    return "  ".join(
        [
            visual.name,
            visual.kind if visual.layout == IMAGE else f"{visual.kind} of {frames_text(visual)}",
            f"{visual.height}x{visual.width} px",
            grids_text(visual),
            ratio_text(visual),
            f"{visual.num_tokens:,} tokens",
        ]
    )


def frames_text(visual: VisualForecast) -> str:
    """`64`, or `60 keyframes`."""
    return f"{visual.num_frames} keyframes" if visual.keyframes else str(visual.num_frames)


def grids_text(visual: VisualForecast) -> str:
    """The grids in patches; an image's two views by name."""
    grids = [f"{height}x{width}" for height, width in visual.grids]
    if visual.layout == IMAGE:
        return " + ".join(f"{name} {grid}" for name, grid in zip(("low", "native"), grids))
    return ", ".join(grids[:3]) + (f" and {len(grids) - 3} more" if len(grids) > 3 else "")


def ratio_text(visual: VisualForecast) -> str:
    """`4x`, or the range where frames differ."""
    ratio = visual.compression
    return f"{ratio}x" if isinstance(ratio, int) else f"{min(ratio)}x to {max(ratio)}x"


def print_plan(forecast: Forecast) -> None:
    """The table of `oryx plan`, on stdout."""
    from rich.table import Table

    plan = forecast.to_dict()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("medium", "kind", "pixels", "frames", "grid (patches)", "ratio", "tokens"):
        table.add_column(heading, justify="right" if heading in ("frames", "ratio", "tokens") else "left")
    for visual in forecast.visuals:
        pixels = f"{visual.height}x{visual.width}"
        cells = (grids_text(visual), ratio_text(visual), f"{visual.num_tokens:,}")
        table.add_row(visual.name, visual.kind, pixels, frames_text(visual), *cells)
    totals = Table(box=None, pad_edge=False, show_header=False)
    totals.add_row("visual tokens", f"{plan['total_tokens']:,}")
    if "prompt_tokens" in plan:
        totals.add_row("prompt tokens", f"{plan['prompt_tokens']:,}")
    totals.add_row("KV cache", f"{scaled(plan['kv_cache_bytes'], 1024, 'B')} ({plan['dtype']})")
    totals.add_row("vision", scaled(plan["vision_flops"], 1000, "FLOP"))
    totals.add_row("LM prefill", scaled(plan["lm_prefill_flops"], 1000, "FLOP"))
    totals.add_row("peak memory", f"{scaled(plan['peak_memory_bytes'], 1024, 'B')}, weights included")
    if "seconds" in plan:
        parts = ", ".join(
            f"{name} {plan['seconds'][name]:.2g} s" for name in ("read", "vision", "prefill", "rest")
        )
        totals.add_row("first word after", f"{plan['seconds']['total']:.2g} s ({parts})")
    console = Console(highlight=False)
    console.print(table)
    console.print()
    console.print(totals)


def scaled(number: float, base: int, unit: str) -> str:
    """`1.5 GFLOP`, `2.0 MiB`: three digits and a prefix."""
    prefixes = ["", "k", "M", "G", "T", "P"] if base == 1000 else ["", "Ki", "Mi", "Gi", "Ti", "Pi"]
    step = 0
    while number >= base and step < len(prefixes) - 1:
        number, step = number / base, step + 1
    return f"{number:.3g} {prefixes[step]}{unit}" if number < 1000 else f"{number:.0f} {prefixes[step]}{unit}"


class Bar:
    """A progress bar on a terminal, once the work has taken longer than `PATIENCE`; else a line a minute."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.console = stderr()
        self.began = time.monotonic()
        self.progress: Progress | None = None
        self.lines = LogLines(self.console)

    def update(self, done: int, total: int, label: str | None = None) -> None:
        """Report `done` of `total` steps."""
        self.lines.update(done, total, label or self.label)
        if self.progress is None:
            if not self.console.is_terminal or time.monotonic() - self.began < PATIENCE or done >= total:
                return
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
            )
            self.progress = Progress(*columns, console=self.console, transient=True)
            # What was done at once, such as by an earlier run, says nothing of how fast the rest will go.
            self.task = self.progress.add_task(self.label, total=total, completed=done, rate="")
            self.progress.start()
        rate = rate_text(self.progress.tasks[0].speed)
        self.progress.update(
            self.task, completed=done, total=total, description=label or self.label, rate=rate
        )

    def close(self) -> None:
        """Take the bar away."""
        if self.progress is not None:
            self.progress.stop()
            self.progress = None


@contextmanager
def progress_bar(label: str) -> Iterator[Bar]:
    """A `Bar` that is gone when the block ends, also by an error."""
    bar = Bar(label)
    try:
        yield bar
    finally:
        bar.close()


@contextmanager
def waiting(label: str) -> Iterator[None]:
    """A sign of life on a terminal for work whose length nobody knows."""
    console = stderr()
    if not console.is_terminal:
        yield
        return
    with console.status(label):
        yield


def print_rows(rows: Sequence[tuple[str, Any]]) -> None:
    """Names and values in two columns, on stdout; wide values are not cut."""
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {value}")
