"""How far a batch is: a bar on a terminal; elsewhere, as in the log of a job, a line a minute."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from oryx.log_lines import LogLines, rate_text


class BatchProgress:
    """Rows done, errors, rate and time left. See `job.Watcher`.

        with BatchProgress(console) as progress:
            run_batch(batch, build_workers, progress)

    Args:
        console: on stderr.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = console.status("")
        self._bar: Progress | None = None
        self._lines: LogLines | None = None
        self._total = self._done = self._num_errors = 0

    def __enter__(self) -> BatchProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._end_bar()
        self._status.stop()

    @property
    def rate(self) -> float:
        """Rows a second since the model was loaded; those of earlier runs are not counted."""
        return 0.0 if self._lines is None else self._lines.rate

    def say(self, doing: str) -> None:
        """Show what is being done while there is no bar."""
        if self._console.is_terminal:
            self._end_bar()
            self._status.update(doing)
            self._status.start()

    def loading(self, label: str) -> None:
        """Show what is being loaded; in a log, too, which is silent for long else."""
        if self._console.is_terminal:
            self.say(f"loading {label}")
        else:
            self.tell(f"loading {label}")

    def tell(self, sentence: str) -> None:
        """A line that stays, above what moves."""
        self._console.print(f"oryx: {sentence}", markup=False, highlight=False, soft_wrap=True)

    def begin(self, total: int, done: int, errors: int) -> None:
        """Show how far it is from now on."""
        self._lines = LogLines(self._console, "rows")
        self._lines.begin(done, total)
        self._total, self._done, self._num_errors = total, done, errors
        if self._console.is_terminal:
            self._status.stop()
            columns = (
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TextColumn("{task.fields[errors]}", style="red"),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=self._console, transient=True, speed_estimate_period=300)
            self._task = self._bar.add_task("", total=total, completed=done, rate="", errors=_errors(errors))
            self._bar.start()

    def advance(self, is_error: bool) -> None:
        """One more row is done."""
        self._done += 1
        self._num_errors += is_error
        errors = _errors(self._num_errors)
        if self._lines is not None:
            self._lines.update(self._done, self._total, "", errors)
        if self._bar is not None:
            self._bar.update(self._task, advance=1, rate=rate_text(self.rate, "rows"), errors=errors)

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _errors(number: int) -> str:
    return f"{number:,} error{'' if number == 1 else 's'}" if number else ""
