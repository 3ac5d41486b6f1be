"""The settings that a visual can have, from the cheapest to the richest: what the planner climbs.

Each visual has a ladder of rungs; a higher rung costs more tokens. What its request sets stays as set. The
order says what is given up first, and keeps to what the published weights were trained on:

    image   the low-resolution view at 16x ... 1x, then both views at 1x with a growing native area
    video   frames at 16x up to one a second, then 8x and 4x, then up to 64 frames, then 2x and 1x
    focus   its frames at 4x and the others at 16x from the start, then its frames at 2x and 1x
    views   all of them, at 16x ... 1x

From one ratio to the next, more and more of a video's frames, evenly spread, have the finer one; of a list of
views, or with a focus, the area grows instead. Below the first step, views shrink until one region of patches
is left.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from oryx.errors import ConfigError
from oryx.media.focus import AUTO, SPENT_AUTO, parse_focus
from oryx.media.sampling import num_in_focus, spread
from oryx.processing.forecast import forecast_visual
from oryx.processing.geometry import (
    IMAGE,
    REGIONS,
    VIDEO,
    ResizeRule,
    check_compression,
    frame_view,
    image_views,
    num_visual_tokens,
)
from oryx.processing.headers import Header
from oryx.processing.visuals import FEW_FRAMES

AREA_STEP = 2**0.125  # from one area to the next: about a tenth more tokens
FEW_SECONDS = 8  # a shorter clip still has so many frames before each gets more tokens
FOCUS_RATIOS = (4, 2, 1)
MANY = 256  # numbers of frames to choose from, beyond the first few: each is a percent or two more


@dataclass(frozen=True)
class Rung:
    """One way to spend on a visual."""

    tokens: int
    """Positions that the visual takes in the sequence."""
    dials: Mapping[str, Any]
    """Keys of the visual dict that make it so; `MixedRatios` become a list when settled."""


@dataclass(frozen=True)
class MixedRatios:
    """Two ratios in one video: `num_rich` of its frames at one, in the focus or else evenly spread."""

    rich: int
    others: int
    num_rich: int


def build_ladder(header: Header, visual: Mapping[str, Any], rule: ResizeRule) -> list[Rung]:
    """All rungs of a visual, ascending in tokens; at least one.

    Args:
        header: of the visual.
        visual: its dict; `compression`, `detail` and `fps` are kept, `max_frames` and `max_pixels` are caps.

    Raises:
        ConfigError: a dial out of range, or a focus that cannot be.
    """
    make = _image_rungs if header.kind == "image" else _video_rungs
    ladder: list[Rung] = []
    for rung in make(header, visual, rule):
        # Sides are floored to multiples, so that a step may change nothing, or even cost less.
        if not ladder or rung.tokens > ladder[-1].tokens:
            ladder.append(rung)
    return ladder


def settle(header: Header, visual: Mapping[str, Any], rung: Rung) -> dict[str, Any]:
    """The visual dict with a rung's dials: what processor, engine and forecast take.

    A focus in spans becomes one ratio per frame. With "auto" the ratios are listed from the richest on, and
    `focus` becomes `SPENT_AUTO`: reading the frames finds out which frame gets which.
    """
    dials = dict(rung.dials)
    ratios = dials.get("compression")
    settled = {**{key: value for key, value in visual.items() if key != "max_visual_tokens"}, **dials}
    if not isinstance(ratios, MixedRatios):
        return settled
    clip = header.choose(settled)
    num_frames = header.num_frames if clip is None else clip.num_frames
    focus = parse_focus(visual.get("focus"))
    if focus == AUTO:
        settled["focus"] = SPENT_AUTO
        is_rich = np.arange(num_frames) < ratios.num_rich
    elif focus is None:
        is_rich = np.isin(np.arange(num_frames), spread(num_frames, ratios.num_rich))
    else:
        inside = _focus_mask(header, visual)
        is_rich = inside if clip is None else inside[clip.indices]
    settled["compression"] = [ratios.rich if rich else ratios.others for rich in is_rich]
    return settled


def check_auto(visual: Mapping[str, Any]) -> None:
    """Raises ConfigError for a list of ratios beside a focus that is to choose them."""
    focus = visual.get("focus")
    has_ratios = isinstance(visual.get("compression"), list | tuple)
    if has_ratios and focus != SPENT_AUTO and parse_focus(focus) == AUTO:
        raise ConfigError(
            'focus "auto" chooses the ratios itself: give one ratio for the other frames, or none.'
        )


def _image_rungs(header: Header, visual: Mapping[str, Any], rule: ResizeRule) -> Iterator[Rung]:
    size, cap, detail = header.sizes[0], visual.get("max_pixels"), visual.get("detail")
    ratios = _ratios(visual)

    def rung(ratio: int, detail: Any, max_pixels: int | None) -> Rung:
        views = image_views(*size, rule, ratio, detail, max_pixels)
        dials = {"compression": ratio, "detail": detail, "max_pixels": max_pixels}
        return Rung(num_visual_tokens(IMAGE, views), dials)

    top = rule.native_area if cap is None else min(cap, rule.native_area)
    start = min(rule.low_area, top)
    small = detail or "low"
    for area in _areas(rule.patch_size**2, start):
        yield rung(ratios[0], small, area)
    for ratio in ratios:
        for area in _areas(max(1, start // 2), start):
            yield rung(ratio, small, area)
        yield rung(ratio, small, cap if small == "low" else start)
    if detail != "low":
        for area in _areas(start, top):
            yield rung(ratios[-1], "high", area)
        yield rung(ratios[-1], "high", cap)


def _video_rungs(header: Header, visual: Mapping[str, Any], rule: ResizeRule) -> Iterator[Rung]:
    """Also of views. A list of ratios leaves nothing to choose."""
    cap = visual.get("max_pixels")
    if isinstance(visual.get("compression"), list | tuple):
        check_auto(visual)
        yield Rung(forecast_visual(visual, rule, header).num_tokens, {})
        return
    ratios = _ratios(visual)
    counts, more = _counts(header, visual)
    focus = parse_focus(visual.get("focus"))
    rest, steps = ratios[0], [ratio for ratio in ratios[1:] if ratio >= FOCUS_RATIOS[0]]
    inner = [ratio for ratio in FOCUS_RATIOS if ratio < rest] if focus is not None else []
    if focus is not None and not inner:
        raise ConfigError(f"focus needs a ratio above 1 for the other frames; compression is {rest}.")
    frames = _Frames(header, visual, rule)

    def rung(asked: int, ratio: int, focused: int | None = None, max_pixels: int | None = cap) -> Rung:
        if focused is None:
            return make(asked, max_pixels, ratio, ratio, 0)
        focused = min(focused, ratio)
        rich = frames.num_rich(asked, ratio, focused)
        return make(asked, max_pixels, MixedRatios(focused, ratio, rich), ratio, rich)

    def make(asked: int, max_pixels: int | None, ratios: Any, others: int, num_rich: int) -> Rung:
        rich = ratios.rich if isinstance(ratios, MixedRatios) else others
        dials: dict[str, Any] = {"max_pixels": max_pixels, "compression": ratios}
        if not header.is_list and visual.get("fps") is None:
            dials["max_frames"] = asked
        return Rung(frames.tokens(frames.chosen(asked)[0], others, rich, num_rich, max_pixels), dials)

    least = rule.patch_size**2 * REGIONS[rest][0] * REGIONS[rest][1]
    top = rule.video_min_area if cap is None else min(cap, rule.video_min_area)
    first = inner[0] if inner else None
    for area in _areas(least, top):
        yield rung(counts[0], rest, first, area)
    for count in counts:
        yield rung(count, rest, first)

    def enrich(num_frames: int, ratio: int, focused: int | None) -> Iterator[Rung]:
        """On the way to a finer ratio: some frames have it already, or views are still smaller."""
        if focus is None and header.kind == "video" and not header.is_list:
            others = ratios[ratios.index(ratio) - 1]
            for num_rich in _steps(frames.chosen(num_frames)[0], MANY // 4)[:-1]:
                yield make(num_frames, cap, MixedRatios(ratio, others, num_rich), others, num_rich)
            yield rung(num_frames, ratio)
            return
        for area in _areas(rule.video_min_area, rule.video_max_area if cap is None else cap):
            yield rung(num_frames, ratio, focused, area)
        yield rung(num_frames, ratio, focused)

    for ratio in inner[1:]:
        yield from enrich(counts[-1], rest, ratio)
    last = inner[-1] if inner else None
    for ratio in steps:
        yield from enrich(counts[-1], ratio, last)
    for count in more:
        yield rung(count, steps[-1] if steps else rest, last)
    for ratio in ratios[len(steps) + 1 :]:
        yield from enrich((more or counts)[-1], ratio, last)


class _Frames:
    """The frames that a video's dials choose, and their tokens; in closed form where that is possible."""

    def __init__(self, header: Header, visual: Mapping[str, Any], rule: ResizeRule) -> None:
        self.header, self.visual, self.rule = header, visual, rule
        self.focus = parse_focus(visual.get("focus"))
        self.mask = None if self.focus in (None, AUTO) else _focus_mask(header, visual)
        if self.focus == AUTO and len(set(header.sizes)) > 1:
            raise ConfigError('focus "auto" needs frames of one size; give the frames to focus on.')
        self.of_frame = lru_cache(maxsize=None)(self._of_frame)
        self.chosen = lru_cache(maxsize=None)(self._chosen)

    def tokens(self, num_frames: int, others: int, rich: int, num_rich: int, max_pixels: int | None) -> int:
        """Of `num_frames` frames of which `num_rich` have another ratio than the others."""
        if self.header.is_list:
            inside = np.arange(num_frames) < num_rich if self.mask is None else self.mask
            ratios = [rich if is_in else others for is_in in inside]
            return 2 + sum(self.of_frame(s, r, max_pixels) for s, r in zip(self.header.sizes, ratios))
        size = self.header.sizes[0]
        of_rich = num_rich * self.of_frame(size, rich, max_pixels)
        return 2 + of_rich + (num_frames - num_rich) * self.of_frame(size, others, max_pixels)

    def num_rich(self, asked: int, others: int, rich: int) -> int:
        """Frames that get the focus's ratio. With "auto", so many that they cost half of all tokens."""
        num_frames, inside = self.chosen(asked)
        if self.focus != AUTO:
            return inside
        costs = [self.of_frame(self.header.sizes[0], ratio, None) for ratio in (others, rich)]
        return max(1, round(num_frames * costs[0] / sum(costs)))

    def _chosen(self, asked: int) -> tuple[int, int]:
        """(frames that are taken where `asked` may be, how many of them lie in the focus's spans)."""
        header, visual = self.header, self.visual
        if header.is_list:
            return header.num_frames, 0 if self.mask is None else int(self.mask.sum())
        if visual.get("fps") is None and not visual.get("keyframes"):
            if self.mask is None:
                return asked, 0
            inside = int(self.mask.sum())
            return asked, num_in_focus(inside, len(self.mask) - inside, asked)
        clip = header.choose(visual if visual.get("fps") is not None else {**visual, "max_frames": asked})
        assert clip is not None
        return clip.num_frames, 0 if self.mask is None else int(self.mask[clip.indices].sum())

    def _of_frame(self, size: tuple[int, int], ratio: int, max_pixels: int | None) -> int:
        return num_visual_tokens(VIDEO, [frame_view(*size, self.rule, ratio, max_pixels)]) - 2


def _counts(header: Header, visual: Mapping[str, Any]) -> tuple[list[int], list[int]]:
    """Numbers of frames: up to one a second, and then up to `FEW_FRAMES`. A list or a rate has one number."""
    if header.is_list or visual.get("fps") is not None:
        return [header.num_frames], []
    cap, most = visual.get("max_frames"), header.num_frames
    if visual.get("keyframes"):
        clip = header.choose({**visual, "max_frames": most, "focus": None})
        assert clip is not None
        most = clip.num_frames
    most = most if cap is None else min(cap, most)
    seconds = FEW_FRAMES if header.duration is None else max(FEW_SECONDS, math.ceil(header.duration))
    covering = min(most, seconds)
    counts = _steps(covering, MANY // 4 if visual.get("keyframes") else MANY)
    return counts, list(range(covering + 1, min(most, max(covering, FEW_FRAMES)) + 1))


def _steps(most: int, many: int) -> list[int]:
    """Numbers from 1 to `most`, ascending: all of the first few, then about `many` in even proportions."""
    few = range(1, min(most, FEW_FRAMES) + 1)
    return sorted({*few, *np.geomspace(1, most, many).astype(int).tolist(), most})


def _ratios(visual: Mapping[str, Any]) -> list[int]:
    """The ratio that is set, or all of them from the strongest on."""
    ratio = visual.get("compression")
    return sorted(REGIONS, reverse=True) if ratio is None else [check_compression(ratio)]


def _focus_mask(header: Header, visual: Mapping[str, Any]) -> np.ndarray:
    """(num_frames,) bool over the frames of the source, or over a list."""
    focus: Any = parse_focus(visual["focus"])
    if header.info is not None:
        return focus.mask(header.info.times, header.num_frames, header.info.end)
    fps = visual.get("fps")
    times = np.arange(header.num_frames) / fps if fps else None
    return focus.mask(times, header.num_frames, header.num_frames / fps if fps else 0.0)


def _areas(low: int, high: int) -> Sequence[int]:
    """Areas in square pixels from `low` up to below `high`."""
    steps = max(0, math.ceil(math.log(high / low) / math.log(AREA_STEP) - 1e-9)) if high > low else 0
    return [min(high, round(low * AREA_STEP**step)) for step in range(steps)]
