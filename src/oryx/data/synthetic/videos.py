"""The skills `video_order` and `video_direction`: what comes when, and which way something moves."""

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from oryx.data.marks import Mark
from oryx.data.synthetic.drawing import RGB
from oryx.data.synthetic.questions import DIRECTIONS, PLACES, Question, Turn, choose_turns, with_article
from oryx.data.synthetic.sample import Sample, converse, video_visual, whole_between
from oryx.data.synthetic.scenes import (
    DrawingSettings,
    Thing,
    choose_colors,
    make_thing,
    object_size,
    paste,
    place_center,
    scene_marks,
)
from oryx.data.synthetic.settings import RATIOS, check_described, number, real_range, some_of, whole_range
from oryx.errors import ConfigError

ORDER_KINDS = ("first", "last", "after", "before", "describe")
DIRECTION_KINDS = ("direction", "color", "shape")

_MAX_MARKED_FRAMES = 6


@dataclass(frozen=True, kw_only=True)
class VideoOrderSettings(DrawingSettings):
    """Settings of `video_order`: objects shown one after the other."""

    compression: tuple[int, ...] = some_of(RATIOS, (4,))
    num_frames: tuple[int, int] = whole_range(2, 256, (4, 16))
    """Frames per video; at least one for each object."""
    num_events: tuple[int, int] = whole_range(2, 8, (2, 4))
    """Objects per video, all different, each shown for a run of frames."""
    drift: int = number(0, 64, 2)
    """From frame to frame an object strays by up to so many pixels from its place."""
    questions: tuple[str, ...] = some_of(ORDER_KINDS)
    """Kinds of questions that may be asked."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_events[1] > self.num_frames[0]:
            raise ConfigError(
                f"Setting 'num_events' is {self.num_events!r}; it must not exceed the fewest frames, "
                f"{self.num_frames[0]}."
            )
        if self.num_events[1] > len(self.shapes) * max(1, len(self.colors) - 1):
            raise ConfigError(
                f"Setting 'num_events' is {self.num_events!r}; 'colors' and 'shapes' must give as many "
                "different objects, one colour left aside for the background."
            )
        check_described(self.described, self.questions)


@dataclass(frozen=True, kw_only=True)
class VideoDirectionSettings(DrawingSettings):
    """Settings of `video_direction`: one object that moves straight."""

    compression: tuple[int, ...] = some_of(RATIOS, (4,))
    object_size: tuple[float, float] = real_range(0.02, 0.5, (0.15, 0.3))
    """Size of the object as a share of the shorter side: at most half, so that it has room to move."""
    num_frames: tuple[int, int] = whole_range(2, 256, (4, 12))
    """Frames per video."""
    min_travel: float = number(0.1, 0.9, 0.4)
    """Least way from first to last frame, as a share of the side moved along; more is drawn at random."""
    drift: int = number(0, 64, 1)
    """From frame to frame the object strays by up to so many pixels across its way."""
    questions: tuple[str, ...] = some_of(DIRECTION_KINDS)
    """Kinds of questions that may be asked."""


class VideoOrder:
    """Draws samples of `video_order`."""

    def __init__(self, settings: VideoOrderSettings) -> None:
        self.settings = settings

    def draw(self, rng: random.Random) -> Sample:
        """One video of different objects, each alone for a run of frames, and questions about their order."""
        s = self.settings
        height, width = whole_between(rng, s.canvas), whole_between(rng, s.canvas)
        num_frames, num_events = whole_between(rng, s.num_frames), whole_between(rng, s.num_events)
        background, colors = choose_colors(rng, s, least=math.ceil(num_events / len(s.shapes)))
        things = _different_things(rng, s, colors, num_events, height, width)
        cuts = [0, *sorted(rng.sample(range(1, num_frames), num_events - 1)), num_frames]
        shown = [
            strayed(rng, thing, (s.drift, s.drift), height, width)
            for thing, (start, end) in zip(things, itertools.pairwise(cuts), strict=True)
            for _ in range(end - start)
        ]
        candidates = _order_questions(things, s.questions)
        if s.described < 1 and rng.random() >= s.described:
            candidates.pop("describe", None)
        turns = choose_turns(rng, candidates, whole_between(rng, s.turns), s.wordings)
        return _video_sample(rng, "video_order", s, background.paint(rng, height, width), shown, turns)


class VideoDirection:
    """Draws samples of `video_direction`."""

    def __init__(self, settings: VideoDirectionSettings) -> None:
        self.settings = settings

    def draw(self, rng: random.Random) -> Sample:
        """One video of an object that moves left, right, up or down at one speed, and questions about it."""
        s = self.settings
        height, width = whole_between(rng, s.canvas), whole_between(rng, s.canvas)
        background, colors = choose_colors(rng, s)
        thing = make_thing(
            rng, s, colors, rng.choice(list(colors)), 0, 0, object_size(rng, s, height, width, most=0.5)
        )
        direction = rng.choice(DIRECTIONS)
        sideways = direction in ("left", "right")
        along, across = (width, height) if sideways else (height, width)
        near = thing.size / 2 + 1  # the least distance of a centre from an edge
        travel = min(along - 2 * near, rng.uniform(s.min_travel, 1.0) * along)
        start = rng.uniform(near, along - near - travel)
        if direction in ("left", "up"):
            start, travel = start + travel, -travel
        line = rng.uniform(near, across - near)
        num_frames = whole_between(rng, s.num_frames)
        shown = []
        for index in range(num_frames):
            way = start + travel * index / (num_frames - 1)
            here = _moved(thing, *((line, way) if sideways else (way, line)))
            shown.append(strayed(rng, here, (s.drift, 0) if sideways else (0, s.drift), height, width))
        answers = {"direction": direction, "color": thing.color, "shape": thing.shape}
        candidates: dict[str, list[Question]] = {kind: [(kind, {}, answers[kind])] for kind in s.questions}
        turns = choose_turns(rng, candidates, whole_between(rng, s.turns), s.wordings)
        return _video_sample(rng, "video_direction", s, background.paint(rng, height, width), shown, turns)


def _different_things(
    rng: random.Random,
    s: VideoOrderSettings,
    colors: dict[str, RGB],
    number: int,
    height: int,
    width: int,
) -> list[Thing]:
    """Objects no two of which have the same name, each in a named place of its own choice."""
    names = rng.sample([(color, shape) for color in colors for shape in s.shapes], number)
    things = []
    for color, shape in names:
        size = object_size(rng, s, height, width, most=0.5)
        y, x = place_center(rng, rng.choice(PLACES), height, width, size)
        things.append(make_thing(rng, s, colors, color, y, x, size, shape))
    return things


def _moved(thing: Thing, y: float, x: float) -> Thing:
    return Thing(thing.shape, thing.color, y, x, thing.size, thing.variant, thing.rgb)


def strayed(rng: random.Random, thing: Thing, reach: tuple[int, int], height: int, width: int) -> Thing:
    """The object up to `reach` (rows, columns) away, still inside the picture."""
    if not any(reach):
        return thing
    near = thing.size / 2
    y = thing.y + rng.uniform(-reach[0], reach[0])
    x = thing.x + rng.uniform(-reach[1], reach[1])
    return _moved(thing, min(max(y, near), height - near), min(max(x, near), width - near))


def _order_questions(things: Sequence[Thing], kinds: Sequence[str]) -> dict[str, list[Question]]:
    """Kind -> questions about objects in the order shown."""
    pairs = list(itertools.pairwise(things))
    questions: dict[str, list[Question]] = {
        "first": [("first", {}, things[0].name)],
        "last": [("last", {}, things[-1].name)],
        "after": [("after", {"color": a.color, "shape": a.shape}, b.name) for a, b in pairs],
        "before": [("before", {"color": b.color, "shape": b.shape}, a.name) for a, b in pairs],
        "describe": [("describe_video", {}, ", then ".join(with_article(thing.name) for thing in things))],
    }
    return {kind: questions[kind] for kind in kinds}


def _video_sample(
    rng: random.Random,
    skill: str,
    s: DrawingSettings,
    empty: Image.Image,
    shown: Sequence[Thing],
    turns: Sequence[Turn],
) -> Sample:
    """The sample of a video whose frame k shows `shown[k]` on the empty picture."""
    frames = []
    for thing in shown:
        frame = empty.copy()
        paste(frame, thing)
        frames.append(frame)
    marks: list[Mark] | None = None
    if s.marks:
        marked = sorted(rng.sample(range(len(shown)), min(_MAX_MARKED_FRAMES, len(shown))))
        marks = []
        for view in marked:
            found = scene_marks(rng, [shown[view]], empty.height, empty.width, view)
            # A token keeps its first mark: one that holds the whole frame learns any word, not only shapes.
            words = [mark for mark in found if mark.text != "."]
            marks += rng.sample(words, len(words)) + found[len(words) :]
    return Sample(
        skill, [video_visual(frames, rng.choice(s.compression), marks)], converse(rng, turns, s.joined)
    )
