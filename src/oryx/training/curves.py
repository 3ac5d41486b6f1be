"""Loss curves from the logs of runs, drawn with Pillow: one run, or the parts of a chain side by side."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from oryx.files import staged

PICTURE = "loss.png"
"""The picture's name in a run's folder."""
WIDTH, HEIGHT = 960, 480
# Drawn larger and scaled down, which smooths lines and letters.
_SCALE = 2
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 20, 40, 44
_SMOOTHED = 40  # the smooth line averages over about a part in so many of a curve's points
_LOG_FROM = 8.0  # largest over smallest loss from which the axis is logarithmic

_PAPER, _INK, _GRID = (255, 255, 255), (60, 60, 60), (225, 225, 225)
_RAW, _LINE, _BORDER = (176, 200, 230), (31, 90, 160), (150, 150, 150)


@dataclass(frozen=True)
class Curve:
    """The log of one run."""

    name: str
    steps: tuple[int, ...]
    """Of each log line."""
    losses: tuple[float, ...]
    """Mean loss since the line before."""
    minutes: float = 0.0
    """Of training, up to the last line."""


def read_curve(log_file: Path, name: str = "") -> Curve:
    """The curve in a `log.jsonl`; lines that are cut off, hold no finite loss or go back are passed over.

    A run that is stopped writes a line of the few steps since the last one. They are counted with the next.
    """
    steps: list[int] = []
    losses: list[float] = []
    minutes = 0.0
    for line in _lines(log_file):
        try:
            entry = json.loads(line)
            step, loss = int(entry["step"]), float(entry["loss"])
        except (ValueError, KeyError, TypeError):
            continue
        if math.isfinite(loss) and step > (steps[-1] if steps else 0):
            steps.append(step)
            losses.append(loss)
            minutes = float(entry.get("minutes", minutes))
    steps, losses = _with_stops_joined(steps, losses)
    return Curve(name, tuple(steps), tuple(losses), minutes)


def _with_stops_joined(steps: list[int], losses: list[float]) -> tuple[list[int], list[float]]:
    spans = [step - before for before, step in pairwise([0, *steps])]
    usual = max(set(spans), key=spans.count, default=0)
    kept_steps: list[int] = []
    kept_losses: list[float] = []
    total = count = 0.0
    for place, (step, loss, span) in enumerate(zip(steps, losses, spans)):
        total, count = total + loss * span, count + span
        if count >= usual or place == len(steps) - 1:
            kept_steps.append(step)
            kept_losses.append(total / count)
            total = count = 0.0
    return kept_steps, kept_losses


def draw_curves(curves: Sequence[Curve], file: Path, title: str = "") -> Path | None:
    """Draw curves one behind the other and save them as PNG; a picture that is seen is whole.

    Args:
        curves: parts in order, each with its own steps from 1 on; empty ones are left out.
        file: where to save.

    Returns:
        `file`, or None if there is nothing to draw.

    Raises:
        OSError: it cannot be written; nothing is left behind.
    """
    curves = [curve for curve in curves if curve.steps]
    if not curves:
        return None
    picture = _Plot(curves).draw(title)
    with staged(file) as staging:
        picture.save(staging, format="PNG", optimize=True)
    return file


def smooth(losses: Sequence[float]) -> list[float]:
    """An exponential mean whose reach is a fixed share of the curve; its beginning is not pulled to zero."""
    keep = 1 - 1 / max(1.0, len(losses) / _SMOOTHED)
    total = weight = 0.0
    means = []
    for loss in losses:
        total, weight = keep * total + loss, keep * weight + 1
        means.append(total / weight)
    return means


class _Plot:
    """Places on the paper, and what is drawn there."""

    def __init__(self, curves: Sequence[Curve]) -> None:
        self.curves = curves
        self.starts = [0]
        for curve in curves:
            self.starts.append(self.starts[-1] + curve.steps[-1])
        losses = [loss for curve in curves for loss in curve.losses]
        low, high = min(losses), max(losses)
        self.is_log = low > 0 and high / low >= _LOG_FROM
        self.low, self.high = (
            (low / 1.15, high * 1.15) if self.is_log else (min(0.0, low), high * 1.05 or 1.0)
        )
        self.image = Image.new("RGB", (WIDTH * _SCALE, HEIGHT * _SCALE), _PAPER)
        self.pen = ImageDraw.Draw(self.image)

    def x(self, step: float) -> float:
        share = step / max(1, self.starts[-1])
        return _SCALE * (_LEFT + share * (WIDTH - _LEFT - _RIGHT))

    def y(self, loss: float) -> float:
        value: Callable[[float], float] = math.log if self.is_log else float
        share = (value(loss) - value(self.low)) / (value(self.high) - value(self.low))
        return _SCALE * (HEIGHT - _BOTTOM - share * (HEIGHT - _TOP - _BOTTOM))

    def draw(self, title: str) -> Image.Image:
        left, right = self.x(0), self.x(self.starts[-1])
        top, bottom = _SCALE * _TOP, _SCALE * (HEIGHT - _BOTTOM)
        for loss in _log_ticks(self.low, self.high) if self.is_log else _ticks(self.low, self.high):
            self.pen.line((left, self.y(loss), right, self.y(loss)), fill=_GRID, width=_SCALE)
            self.write((left - 8, self.y(loss)), f"{loss:g}", "rm")
        for step in _ticks(0, self.starts[-1]):
            self.pen.line((self.x(step), bottom, self.x(step), bottom + 8), fill=_INK, width=_SCALE)
            self.write((self.x(step), bottom + 12), f"{step:,.0f}", "mt")
        for curve, (start, end) in zip(self.curves, pairwise(self.starts)):
            places = [self.x(start + step) for step in curve.steps]
            self.line(places, curve.losses, _RAW, 1)
            self.line(places, smooth(curve.losses), _LINE, 2)
            if end < self.starts[-1]:
                self.pen.line((self.x(end), top, self.x(end), bottom), fill=_BORDER, width=_SCALE)
            self.name(curve.name, self.x(start), self.x(end), top)
        self.pen.line((left, top, left, bottom, right, bottom), fill=_INK, width=_SCALE)
        self.write((left, 16), title or "loss", "lt", size=13)
        self.write((right, _SCALE * HEIGHT - 12), "steps", "rb")
        return self.image.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)

    def line(
        self, places: Sequence[float], losses: Sequence[float], color: tuple[int, int, int], width: int
    ) -> None:
        points = [(x, self.y(loss)) for x, loss in zip(places, losses, strict=True)]
        if len(points) == 1:
            (x, y) = points[0]
            self.pen.ellipse((x - 5, y - 5, x + 5, y + 5), fill=color)
        else:
            self.pen.line(points, fill=color, width=width * _SCALE, joint="curve")

    def name(self, text: str, start: float, end: float, top: float) -> None:
        """A part's name over its stretch, or downwards along its border where that is too narrow."""
        font = _font(11)
        if font.getlength(text) <= end - start - 8:
            self.pen.text((start + 6, top - 6), text, fill=_INK, font=font, anchor="lb")
            return
        _, _, width, height = font.getbbox(text)
        label = Image.new("L", (math.ceil(width) + 4, math.ceil(height) + 4))
        ImageDraw.Draw(label).text((0, 0), text, fill=255, font=font)
        label = label.rotate(-90, expand=True)
        self.image.paste(_INK, (round(end) - label.width - 2, round(top) + 4), label)

    def write(self, where: tuple[float, float], text: str, anchor: str, size: int = 11) -> None:
        self.pen.text(where, text, fill=_INK, font=_font(size), anchor=anchor)


def _font(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size * _SCALE)
    assert isinstance(font, ImageFont.FreeTypeFont)  # Pillow's own, inside its wheels
    return font


def _ticks(low: float, high: float, about: int = 6) -> Iterator[float]:
    """Round numbers from `low` to `high`, about so many."""
    rough = (high - low) / about
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    tick = math.ceil(low / step - 1e-9) * step
    while tick <= high * (1 + 1e-9):
        yield round(tick, 12)
        tick += step


def _log_ticks(low: float, high: float) -> Iterator[float]:
    for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1):
        for factor in (1, 2, 5):
            if low <= factor * 10.0**power <= high:
                yield round(factor * 10.0**power, 12)


def _lines(log_file: Path) -> list[str]:
    try:
        return log_file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
