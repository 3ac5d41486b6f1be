"""Stretches of a video that deserve more of its tokens: written as times or frame numbers, or "auto"."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from oryx.errors import ConfigError

AUTO: Literal["auto"] = "auto"
"""The focus lies where the picture changes most, which a first pass over the frames finds."""

SPENT_AUTO: Literal["auto, spent"] = "auto, spent"
"""The same once the planner has settled how many frames get which ratio."""

HELP = (
    'times such as "00:31-00:40" or "31s-40s", frame numbers such as "120-240", several with commas between '
    'them, or "auto"'
)
_FRAMES = re.compile(r"(\d+)(?:-(\d+))?")
_CLOCK = re.compile(r"(?:(?:(\d+):)?([0-5]?\d):)?(\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Focus:
    """Spans of a video, both ends included: seconds from its first frame, or frame indices from 0."""

    spans: tuple[tuple[float, float], ...]
    unit: Literal["seconds", "frames"]

    def mask(self, times: np.ndarray | None, num_frames: int, end: float = 0.0) -> np.ndarray:
        """(num_frames,) bool: the frames that are shown at some moment of the spans.

        Args:
            times: (num_frames,) seconds from the first frame; None where there are none.
            end: seconds at which the last frame ends.

        Raises:
            ConfigError: spans of time where there are no times, or one outside the video.
        """
        if self.unit == "seconds":
            if times is None:
                raise ConfigError(
                    f"focus {self} is in times, which pictures without a frame rate lack: give frame numbers."
                )
            begins, ends = times, np.append(times[1:], max(end, float(times[-1])))
        else:
            begins = ends = np.arange(num_frames)
        inside = np.zeros(num_frames, dtype=bool)
        for span in self.spans:
            first, last = span
            # A frame is shown until the next one begins.
            shown = (begins <= last) & ((ends > first) if self.unit == "seconds" else (ends >= first))
            if not shown.any():
                raise ConfigError(
                    f"focus {self._text(span)} lies outside the video, which has {num_frames} frames"
                    + (f" and lasts {_clock(float(ends[-1]))}." if self.unit == "seconds" else ".")
                )
            inside |= shown
        return inside

    def _text(self, span: tuple[float, float]) -> str:
        if self.unit == "frames":
            return f"{span[0]:.0f}-{span[1]:.0f}"
        return f"{_clock(span[0])}-{_clock(span[1])}"

    def __str__(self) -> str:
        return ",".join(self._text(span) for span in self.spans)


def parse_focus(value: Any) -> Focus | Literal["auto"] | None:
    """A focus as people write it: text (see `HELP`), a `Focus`, or a list of (begin, end) in seconds.

    Raises:
        ConfigError: anything else, or a span that ends before it begins.
    """
    if value is None or isinstance(value, Focus):
        return value
    if isinstance(value, str):
        if value.strip().lower() == AUTO or value == SPENT_AUTO:
            return AUTO
        parts = [part.strip() for part in value.split(",")]
        if all(_FRAMES.fullmatch(part) for part in parts):
            return _checked([_frame_span(part) for part in parts], "frames", value)
        return _checked([_time_span(part, value) for part in parts], "seconds", value)
    if isinstance(value, Sequence) and value and not isinstance(value, bytes):
        pairs = value if not isinstance(value[0], int | float) else [value]
        if all(map(_is_pair, pairs)):
            return _checked([(float(begin), float(end)) for begin, end in pairs], "seconds", value)
        if all(isinstance(pair, str) for pair in value):
            return parse_focus(",".join(value))
    raise ConfigError(f"focus {value!r} is not understood; allowed: {HELP}.")


def _checked(spans: list[tuple[float, float]], unit: Literal["seconds", "frames"], written: Any) -> Focus:
    for begin, end in spans:
        if not 0 <= begin <= end < float("inf"):
            raise ConfigError(f"focus {written!r} has a span that does not end after it begins.")
    return Focus(tuple(spans), unit)


def _frame_span(part: str) -> tuple[float, float]:
    first, _, last = part.partition("-")
    return float(first), float(last or first)


def _time_span(part: str, written: str) -> tuple[float, float]:
    begin, dash, end = part.partition("-")
    return _seconds(begin, written), _seconds(end if dash else begin, written)


def _seconds(text: str, written: str) -> float:
    text = text.strip().lower()
    match = _CLOCK.fullmatch(text.removesuffix("s"))
    is_clock = ":" in text
    if match is None or is_clock == text.endswith("s") or (is_clock and float(match[3]) >= 60):
        raise ConfigError(f"focus {written!r} is not understood; allowed: {HELP}.")
    hours, minutes, seconds = match.groups()
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds)


def _clock(seconds: float) -> str:
    """`01:02:03.5`, without hours where there are none."""
    minutes, rest = divmod(round(seconds, 2), 60)
    hours, minutes = divmod(int(minutes), 60)
    whole = f"{rest:05.2f}".rstrip("0").rstrip(".")
    return (f"{hours:02d}:" if hours else "") + f"{minutes:02d}:{whole.zfill(2)}"


def _is_pair(value: Any) -> bool:
    is_pair = isinstance(value, list | tuple) and len(value) == 2
    return is_pair and all(isinstance(end, int | float) and not isinstance(end, bool) for end in value)
