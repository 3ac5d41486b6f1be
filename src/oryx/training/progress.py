"""What a run says while it runs: a progress bar on a terminal, log lines, and `log.jsonl`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from transformers import TrainerCallback

from oryx.files import staged
from oryx.training.curves import PICTURE, draw_curves, read_curve
from oryx.training.data import BatchStats
from oryx.training.distributed import World


def say(console: Console, text: str) -> None:
    """Print a line as it is: what stands in brackets in a path or a record is no markup."""
    console.print(text, soft_wrap=True, highlight=False, markup=False, emoji=False)


class Meter:
    """Throughput of all processes since it was last read, or since the first step began."""

    def __init__(self, world: World | None = None) -> None:
        self.world = world or World()
        self._restart()
        self._is_running = False

    def start(self) -> None:
        """A step begins; the time before the first one, in which all is loaded, is no step's."""
        if not self._is_running:
            self._is_running = True
            self.began = time.perf_counter()

    def add(self, stats: BatchStats) -> None:
        self.samples += stats.num_samples
        self.positions += stats.num_positions
        self.capacity += stats.capacity
        self.broken += len(stats.broken)

    def add_step(self, waited: float) -> None:
        """One step began, after so many seconds of waiting for its data."""
        self.steps += 1
        self.waited += waited

    def read(self) -> dict[str, float]:
        """Rates (tokens are positions in use), the shares `packed` and `data_wait`, `seconds_per_step`.

        And `broken`, the records that were skipped. All processes ask together.
        """
        seconds = max(time.perf_counter() - self.began, 1e-9)
        counts = (self.samples, self.positions, self.capacity, self.waited, self.broken)
        samples, positions, capacity, waited, broken = self.world.sums(counts)
        rates = {
            "samples_per_second": round(samples / seconds, 2),
            "tokens_per_second": round(positions / seconds, 1),
            "packed": round(positions / max(capacity, 1), 4),
            "data_wait": round(waited / self.world.size / seconds, 4),
            "broken": int(broken),
            "seconds_per_step": seconds / max(self.steps, 1),
        }
        self._restart()
        return rates

    def _restart(self) -> None:
        self.samples = self.positions = self.capacity = self.broken = self.steps = 0
        self.waited = 0.0
        self.began = time.perf_counter()


class Reporter(TrainerCallback):
    """Shows the steps, prints the log lines, appends them to a file and draws them at the end, on rank 0."""

    def __init__(self, log_file: Path, console: Console) -> None:
        self.log_file = log_file
        self.console = console
        self.progress: Progress | None = None
        self.minutes = 0.0
        self.began = time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not state.is_world_process_zero:
            return
        try:
            _drop_after(self.log_file, state.global_step)
        except OSError as error:  # the run is worth more than its log
            say(self.console, f"{self.log_file} could not be written ({error})")
        self.minutes, self.began = read_curve(self.log_file).minutes, time.monotonic()
        if self.console.is_terminal:
            columns = (
                TextColumn("step"),
                MofNCompleteColumn(),
                BarColumn(),
                TimeElapsedColumn(),
                TextColumn("left"),
            )
            self.progress = Progress(*columns, TimeRemainingColumn(), console=self.console)
            self.task = self.progress.add_task("train", total=state.max_steps, completed=state.global_step)
            self.progress.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.progress:
            self.progress.update(self.task, completed=state.global_step)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        if not logs or "loss" not in logs or not state.is_world_process_zero:
            return
        minutes = self.minutes + (time.monotonic() - self.began) / 60
        line = {"step": state.global_step, **logs, "minutes": round(minutes, 4)}
        try:
            with self.log_file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:  # a step is worth more than its line
            say(self.console, f"{self.log_file} could not be written ({error})")
        say(self.console, format_line(state.global_step, state.max_steps, logs))

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.close()
        if state.is_world_process_zero:
            self._draw()

    def _draw(self) -> None:
        folder = self.log_file.parent
        try:
            draw_curves([read_curve(self.log_file)], folder / PICTURE, f"loss of {folder.name}")
        except OSError as error:  # the model is worth more than its picture
            say(self.console, f"{folder / PICTURE} could not be written ({error})")

    def close(self) -> None:
        """Give the terminal back."""
        if self.progress:
            self.progress.stop()
            self.progress = None


def format_line(step: int, max_steps: int, logs: dict[str, Any]) -> str:
    """One log line for people."""
    minutes, seconds = divmod(int(logs["seconds_left"]), 60)
    broken = f"broken {logs['broken']}  " if logs.get("broken") else ""
    return (
        f"step {step}/{max_steps}  loss {logs['loss']:.4f}  lr {logs['learning_rate']:.2e}  "
        f"{logs['samples_per_second']:.0f} samples/s  {logs['tokens_per_second']:.0f} tokens/s  "
        f"packed {logs['packed']:.1%}  waits {logs['data_wait']:.1%}  {broken}left {minutes}:{seconds:02d}"
    )


def _drop_after(log_file: Path, step: int) -> None:
    """Forget lines of steps that will be run again."""
    if not log_file.is_file():
        return
    kept = []
    for line in log_file.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line)
        except (ValueError, KeyError, TypeError):  # a line cut off when the run was
            continue
    with staged(log_file) as staging:
        staging.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
