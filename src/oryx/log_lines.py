"""How far long work is, as lines of a log: what stands where there is no terminal for a bar."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

LINE_SECONDS = 60.0
"""Between two lines; a step has to be done for the next."""


def log_line(done: int, total: int, unit: str, *parts: str, seconds_left: float | None = None) -> str:
    """`460 of 10,000 rows, 1 error, 1 rows/s, 2:39:00 left`.

    Args:
        unit: what is counted; may be empty.
        parts: what else there is to say; empty ones are left out.
        seconds_left: None where nothing is known of it.
    """
    left = "" if seconds_left is None else f"{timedelta(seconds=round(seconds_left))} left"
    return ", ".join(filter(None, (f"{done:,} of {total:,} {unit}".rstrip(), *parts, left)))


def rate_text(speed: float | None, unit: str = "") -> str:
    """`3.2/s`, or `0.5/min` for slow work, `3.2 rows/s` with a unit; empty while nothing is known."""
    if not speed:
        return ""
    number, time_unit = (speed, "s") if speed >= 1 else (60 * speed, "min")
    what = f" {unit}/{time_unit}" if unit else f"/{time_unit}"
    return f"{number:,.0f}{what}" if number >= 100 else f"{number:.3g}{what}"


class LogLines:
    """Lines on counted work, at most one a minute; none on a terminal.

    Args:
        console: on stderr.
        unit: what is counted, as in "rows"; may be empty.
    """

    def __init__(self, console: Console, unit: str = "") -> None:
        self._console = console
        self._unit = unit
        self._began = self._said = time.monotonic()
        self._first = self._done = self._total = 0

    def begin(self, done: int, total: int) -> None:
        """Measure the rate from now on: what was done by now says nothing of how fast the rest will go."""
        self._began = time.monotonic()
        self._first, self._done, self._total = done, done, total

    @property
    def rate(self) -> float:
        """Steps a second since `begin`."""
        seconds = time.monotonic() - self._began
        return (self._done - self._first) / seconds if seconds > 0 else 0.0

    def update(self, done: int, total: int, label: str = "", *parts: str) -> None:
        """`done` of `total` steps are done; writes a line if one is due. Another total begins anew.

        Args:
            label: of the work, in front of the line.
            parts: see `log_line`.
        """
        if total != self._total or done < self._done:
            self.begin(done, total)
        self._done = done
        if self._console.is_terminal or time.monotonic() - self._said < LINE_SECONDS:
            return
        self._said = time.monotonic()
        rate = self.rate
        left = (total - done) / rate if rate else None
        line = log_line(done, total, self._unit, *parts, rate_text(rate, self._unit), seconds_left=left)
        text = f"oryx: {label}: {line}" if label else f"oryx: {line}"
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)
