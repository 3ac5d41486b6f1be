"""The skill `frame_at`: what frame i of a video of many shots shows."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from oryx.data.marks import Mark
from oryx.data.synthetic.drawing import RGB, shape_mask
from oryx.data.synthetic.questions import Question, Turn, choose_turns, tell_frames
from oryx.data.synthetic.sample import Sample, converse, video_visual, whole_between
from oryx.data.synthetic.scenes import (
    DrawingSettings,
    Thing,
    choose_colors,
    make_thing,
    object_size,
    paste,
)
from oryx.data.synthetic.settings import RATIOS, number, one_of, real_range, some_of, whole_range
from oryx.data.synthetic.text import background_marks
from oryx.data.synthetic.videos import strayed
from oryx.errors import ConfigError

FRAME_KINDS = ("object", "color", "shape", "first_frame")

_MAX_MARKED_FRAMES = 8


@dataclass(frozen=True, kw_only=True)
class LongVideoSettings(DrawingSettings):
    """Settings of the skills that ask about numbered frames."""

    compression: tuple[int, ...] = some_of(RATIOS, (4,))
    canvas: tuple[int, int] = whole_range(16, 4096, (32, 48))
    object_size: tuple[float, float] = real_range(0.02, 0.9, (0.4, 0.65))
    drift: int = number(0, 64, 1)
    """While it is shown, an object strays by up to so many pixels from its place."""
    counted: float = number(0.0, 1.0, 0.5)
    """Share of the samples whose first question says how many frames there are."""


@dataclass(frozen=True, kw_only=True)
class FrameAtSettings(LongVideoSettings):
    """Settings of `frame_at`: shots of one object each, and questions that name a frame by its number."""

    num_frames: tuple[int, int] = whole_range(2, 256, (4, 32))
    """Frames per video; they are numbered from 0."""
    run_length: tuple[int, int] = whole_range(1, 256, (1, 4))
    """Frames per shot, drawn anew for each: the longer, the less exactly a frame has to be found."""
    cuts: str = one_of("mixed", "scene", "object")
    """From shot to shot the background changes too; or the object alone; or half of the videos each."""
    questions: tuple[str, ...] = some_of(FRAME_KINDS)
    """Kinds of questions that may be asked."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.shapes) * max(1, len(self.colors) - 1) < 2:
            raise ConfigError(
                "Settings 'colors' and 'shapes' must give two different objects or more, one colour left "
                "aside for the background."
            )


class FrameAt:
    """Draws samples of `frame_at`."""

    def __init__(self, settings: FrameAtSettings) -> None:
        self.settings = settings

    def draw(self, rng: random.Random) -> Sample:
        """One video whose neighbouring shots show different objects, and questions about numbered frames."""
        s = self.settings
        height, width = whole_between(rng, s.canvas), whole_between(rng, s.canvas)
        num_frames = whole_between(rng, s.num_frames)
        lengths = _run_lengths(rng, s.run_length, num_frames)
        scenes = s.cuts == "scene" or (s.cuts == "mixed" and rng.random() < 0.5)
        frames: list[Image.Image] = []
        shown: list[Thing] = []
        for length in lengths:
            if scenes or not shown:
                background, colors = choose_colors(rng, s)
                empty = background.paint(rng, height, width)
            thing = _another(rng, s, colors, shown[-1] if shown else None, height, width)
            for _ in range(length):
                shown.append(strayed(rng, thing, (s.drift, s.drift), height, width))
                frames.append(empty.copy())
                paste(frames[-1], shown[-1])
        num_turns = whole_between(rng, s.turns)
        candidates = _frame_questions(rng, shown, num_turns, s.questions)
        turns = choose_turns(rng, candidates, num_turns, s.wordings)
        words = [(thing.color, thing.shape) for thing in shown]
        return long_sample(rng, "frame_at", s, frames, shown, words, turns)


def long_sample(
    rng: random.Random,
    skill: str,
    s: LongVideoSettings,
    frames: list[Image.Image],
    shown: Sequence[Thing],
    words: Sequence[Sequence[str]],
    turns: list[Turn],
) -> Sample:
    """The sample of a video whose frame k shows `shown[k]`, of which marks say any of `words[k]`.

    As often as the settings say, the first question tells how many frames there are.
    """
    if rng.random() < s.counted:
        turns = [(tell_frames(rng, turns[0][0], len(frames), s.wordings), turns[0][1]), *turns[1:]]
    marks: list[Mark] | None = None
    if s.marks:
        marks = []
        for view in sorted(rng.sample(range(len(shown)), min(_MAX_MARKED_FRAMES, len(shown)))):
            thing, frame = shown[view], frames[view]
            marks += object_marks(rng, thing, words[view], frame.height, frame.width, view)
    return Sample(
        skill, [video_visual(frames, rng.choice(s.compression), marks)], converse(rng, turns, s.joined)
    )


def object_marks(
    rng: random.Random, thing: Thing, words: Sequence[str], height: int, width: int, view: int = 0
) -> list[Mark]:
    """Marks of a view with one object: any of the words at three points of it, then "." beside it.

    A visual token keeps its first mark; where one token holds the whole view, it learns any of the words.
    """
    _, points = shape_mask(thing.shape, thing.size, thing.variant)
    top, left = thing.corner
    marks = [
        Mark(view, (top + y) / height, (left + x) / width, f" {rng.choice(words)}")
        for y, x in rng.sample(points, min(3, len(points)))
    ]
    clearance = thing.size * 0.75 + 2
    return marks + background_marks(rng, height, width, 2, [(thing.y, thing.x)], clearance, view)


def _run_lengths(rng: random.Random, bounds: tuple[int, int], num_frames: int) -> list[int]:
    """Lengths of the shots of a video; the last one is cut off where the video ends."""
    lengths: list[int] = []
    while (left := num_frames - sum(lengths)) > 0:
        lengths.append(min(left, whole_between(rng, bounds)))
    return lengths


def _another(
    rng: random.Random,
    s: DrawingSettings,
    colors: dict[str, RGB],
    last: Thing | None,
    height: int,
    width: int,
) -> Thing:
    """An object anywhere in the frame, by another name than the last."""
    names = [(color, shape) for color in colors for shape in s.shapes]
    color, shape = rng.choice([name for name in names if last is None or name != (last.color, last.shape)])
    size = object_size(rng, s, height, width)
    y, x = rng.uniform(size / 2, height - size / 2), rng.uniform(size / 2, width - size / 2)
    return make_thing(rng, s, colors, color, y, x, size, shape)


def _frame_questions(
    rng: random.Random, shown: Sequence[Thing], most: int, kinds: Sequence[str]
) -> dict[str, list[Question]]:
    """Kind -> up to `most` questions, each about a frame or an object drawn with equal chance."""
    questions: dict[str, list[Question]] = {kind: [] for kind in kinds}
    answers = {
        "object": ("frame_at", "name"),
        "color": ("frame_color", "color"),
        "shape": ("frame_shape", "shape"),
    }
    for kind in kinds:
        if kind == "first_frame":
            first: dict[str, int] = {}
            for index, thing in enumerate(shown):
                first.setdefault(thing.name, index)
            for name in rng.sample(list(first), min(most, len(first))):
                color, shape = name.split()
                words = {"color": color, "shape": shape}
                questions[kind].append(("first_frame", words, str(first[name])))
            continue
        wordings, attribute = answers[kind]
        for index in rng.sample(range(len(shown)), min(most, len(shown))):
            questions[kind].append((wordings, {"index": str(index)}, getattr(shown[index], attribute)))
    return questions
