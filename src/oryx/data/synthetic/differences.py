"""The skills `frame_difference` and `picture_difference`: how two frames, or two pictures, differ."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image

from oryx.data.synthetic.drawing import NUM_VARIANTS, RGB
from oryx.data.synthetic.long_videos import LongVideoSettings, long_sample, object_marks
from oryx.data.synthetic.questions import PLACES, Question, choose_turns, with_article
from oryx.data.synthetic.sample import Sample, between, converse, image_visual, whole_between
from oryx.data.synthetic.scenes import DrawingSettings, Thing, choose_colors, paste, place_center
from oryx.data.synthetic.settings import some_of, whole_range
from oryx.data.synthetic.videos import strayed
from oryx.errors import ConfigError

CHANGES = ("color", "shape", "place", "size", "nothing")

SAME = "They are the same."

# Shares of the shorter side that are plainly small, and plainly large but not too large for a place.
_SIZES = {"small": (0.3, 0.36), "large": (0.54, 0.6)}


@dataclass(frozen=True)
class Look:
    """What can be said of the one object of a picture."""

    color: str
    shape: str
    place: str
    size: str
    """ "small" or "large"."""

    @property
    def name(self) -> str:
        """ "red circle"."""
        return f"{self.color} {self.shape}"


def describe_difference(first: Look, second: Look) -> str:
    """One sentence that says what changes between two looks, which have at most one thing unlike."""
    if first.color != second.color:
        return f"The {first.shape} is {first.color}, then {second.color}."
    if first.shape != second.shape:
        shapes = with_article(first.shape), with_article(second.shape)
        return f"The {first.color} object is {shapes[0]}, then {shapes[1]}."
    if first.place != second.place:
        return f"The {first.name} is at the {first.place}, then at the {second.place}."
    if first.size != second.size:
        return f"The {first.name} is {first.size}, then {second.size}."
    return SAME


@dataclass(frozen=True, kw_only=True)
class _Differing(DrawingSettings):
    """What both skills have."""

    changes: tuple[str, ...] = some_of(CHANGES)
    """What may differ, each with equal chance. Sizes are small or large, whatever `object_size` says."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if "color" in self.changes and len(self.colors) < 3:
            raise ConfigError(
                f"Setting 'colors' is {self.colors!r}; for a change of color it must hold 3 or more, one "
                "left aside for the background."
            )
        if "shape" in self.changes and len(self.shapes) < 2:
            raise ConfigError(
                f"Setting 'shapes' is {self.shapes!r}; for a change of shape it must hold 2 or more."
            )
        most = int(_SIZES["small"][1] * self.canvas[0])
        if "size" in self.changes and self.min_object > most:
            raise ConfigError(
                f"Setting 'min_object' is {self.min_object}; for a change of size it must be at most {most}, "
                "a small object on the smallest canvas."
            )


@dataclass(frozen=True, kw_only=True)
class FrameDifferenceSettings(LongVideoSettings, _Differing):  # in this order: defaults of long videos
    """Settings of `frame_difference`: one object that changes from frame to frame."""

    num_frames: tuple[int, int] = whole_range(2, 256, (2, 16))
    """Frames per video; they are numbered from 0."""


@dataclass(frozen=True, kw_only=True)
class PictureDifferenceSettings(_Differing):
    """Settings of `picture_difference`: two pictures of one object, and the question how they differ."""

    canvas: tuple[int, int] = whole_range(16, 4096, (32, 80))
    detail: tuple[str, ...] = some_of(("high", "low"), ("high",))
    """Detail of the images, each sample draws one."""


class FrameDifference:
    """Draws samples of `frame_difference`."""

    def __init__(self, settings: FrameDifferenceSettings) -> None:
        self.settings = settings

    def draw(self, rng: random.Random) -> Sample:
        """One video on one background; questions name two frames that differ in one way, or in none."""
        s = self.settings
        height, width = whole_between(rng, s.canvas), whole_between(rng, s.canvas)
        num_frames, num_turns = whole_between(rng, s.num_frames), whole_between(rng, s.turns)
        background, colors = choose_colors(rng, s, least=3)
        empty = background.paint(rng, height, width)
        usual = _any_look(rng, s, colors)
        looks = [_changed(rng, s, colors, usual, rng.choice(s.changes)) for _ in range(num_frames)]
        plain = rng.randrange(num_frames)
        looks[plain] = usual  # with it, any other frame has one thing unlike at most
        cast = _Cast(rng, s, colors, height, width)
        shown = [strayed(rng, cast.thing(look), (s.drift, s.drift), height, width) for look in looks]
        frames = [_painted(empty, thing) for thing in shown]
        candidates = _difference_questions(rng, looks, plain, num_turns, s.changes)
        turns = choose_turns(rng, candidates, num_turns, s.wordings)
        return long_sample(rng, "frame_difference", s, frames, shown, [_words(look) for look in looks], turns)


class PictureDifference:
    """Draws samples of `picture_difference`."""

    def __init__(self, settings: PictureDifferenceSettings) -> None:
        self.settings = settings

    def draw(self, rng: random.Random) -> Sample:
        """Two pictures of one size that differ in one way, or in none."""
        s = self.settings
        height, width = whole_between(rng, s.canvas), whole_between(rng, s.canvas)
        background, colors = choose_colors(rng, s, least=3)
        empty = background.paint(rng, height, width)
        first = _any_look(rng, s, colors)
        second = _changed(rng, s, colors, first, rng.choice(s.changes))
        cast = _Cast(rng, s, colors, height, width)
        detail, compression = rng.choice(s.detail), rng.choice(s.compression)
        visuals: list[dict[str, Any]] = []
        for look in (first, second):
            thing = cast.thing(look)
            marks = object_marks(rng, thing, _words(look), height, width) if s.marks else None
            visuals.append(image_visual(_painted(empty, thing), compression, detail, marks))
        question: Question = ("pictures_differ", {}, describe_difference(first, second))
        turns = choose_turns(rng, {"difference": [question]}, 1, s.wordings)
        return Sample("picture_difference", visuals, converse(rng, turns, s.joined, len(visuals)))


def _any_look(rng: random.Random, s: DrawingSettings, colors: dict[str, RGB]) -> Look:
    return Look(rng.choice(list(colors)), rng.choice(s.shapes), rng.choice(PLACES), rng.choice(list(_SIZES)))


def _changed(rng: random.Random, s: DrawingSettings, colors: dict[str, RGB], look: Look, change: str) -> Look:
    """The look with another value of what changes."""
    if change == "nothing":
        return look
    values = {"color": list(colors), "shape": s.shapes, "place": PLACES, "size": list(_SIZES)}[change]
    other = rng.choice([value for value in values if value != getattr(look, change)])
    return replace(look, **{change: other})


class _Cast:
    """The objects of one sample: looks that share a place and a size share them to the pixel."""

    def __init__(
        self, rng: random.Random, s: DrawingSettings, colors: dict[str, RGB], height: int, width: int
    ) -> None:
        self.rng, self.colors, self.height, self.width = rng, colors, height, width
        self.variant = rng.randrange(NUM_VARIANTS) if s.style == "varied" else 0
        self.sizes = {
            size: max(s.min_object, round(between(rng, share) * min(height, width)))
            for size, share in _SIZES.items()
        }
        self.centers: dict[tuple[str, str], tuple[float, float]] = {}

    def thing(self, look: Look) -> Thing:
        """The object that looks like this."""
        spot, size = (look.place, look.size), self.sizes[look.size]
        if spot not in self.centers:
            self.centers[spot] = place_center(self.rng, look.place, self.height, self.width, size)
        y, x = self.centers[spot]
        return Thing(look.shape, look.color, y, x, size, self.variant, self.colors[look.color])


def _painted(empty: Image.Image, thing: Thing) -> Image.Image:
    image = empty.copy()
    paste(image, thing)
    return image


def _words(look: Look) -> tuple[str, ...]:
    """What a token of the object may be taught to say."""
    return look.color, look.shape, look.place.split()[0], look.place.split()[-1], look.size


def _difference_questions(
    rng: random.Random, looks: Sequence[Look], plain: int, most: int, changes: Sequence[str]
) -> dict[str, list[Question]]:
    """Change -> up to `most` questions about pairs of frames, the earlier one first."""
    everywhere = range(len(looks))
    pairs = {tuple(sorted((plain, other))) for other in everywhere if other != plain}
    pairs |= {tuple(sorted(rng.sample(everywhere, 2))) for _ in range(4 * most)}
    ordered = sorted(pairs)
    rng.shuffle(ordered)
    questions: dict[str, list[Question]] = {change: [] for change in changes}
    for first, second in ordered:
        change = _change_between(looks[first], looks[second])
        if change in questions and len(questions[change]) < most:
            words = {"first": str(first), "second": str(second)}
            answer = describe_difference(looks[first], looks[second])
            questions[change].append(("frames_differ", words, answer))
    return questions


def _change_between(first: Look, second: Look) -> str | None:
    """What is unlike; None where it is more than one thing."""
    unlike = [change for change in CHANGES[:-1] if getattr(first, change) != getattr(second, change)]
    return "nothing" if not unlike else unlike[0] if len(unlike) == 1 else None
