"""The skills `object` and `scene`: colours, shapes, places and numbers of objects in one picture."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

from oryx.data.marks import Mark
from oryx.data.synthetic.drawing import (
    COLORS,
    NUM_VARIANTS,
    RGB,
    SHAPES,
    Background,
    draw_background,
    draw_color,
    flat,
    shape_mask,
)
from oryx.data.synthetic.questions import PLACES, Question, Turn, choose_turns, listed, plural, with_article
from oryx.data.synthetic.sample import Sample, between, converse, image_visual, whole_between
from oryx.data.synthetic.settings import (
    SkillSettings,
    check_described,
    number,
    one_of,
    real_range,
    some_of,
    whole_range,
)
from oryx.data.synthetic.text import background_marks
from oryx.errors import ConfigError

QUESTION_KINDS = (
    "color",
    "shape",
    "where",
    "where_color",
    "where_shape",
    "what_at",
    "count",
    "count_color",
    "count_shape",
    "describe",
)

_GAP = 2  # least pixels between two objects' boxes


@dataclass(frozen=True)
class Thing:
    """One object: what it is called, the (y, x) of its centre and its size in pixels, how it is drawn."""

    shape: str
    color: str
    y: float
    x: float
    size: int
    variant: int
    rgb: RGB

    @property
    def name(self) -> str:
        """ "red circle"."""
        return f"{self.color} {self.shape}"

    @property
    def corner(self) -> tuple[int, int]:
        """(top, left) of its box in pixels."""
        return round(self.y - self.size / 2), round(self.x - self.size / 2)


@dataclass(frozen=True, kw_only=True)
class DrawingSettings(SkillSettings):
    """Settings of all skills that draw objects."""

    canvas: tuple[int, int] = whole_range(16, 4096, (48, 112))
    """Sides of the picture in pixels; height and width are drawn apart."""
    object_size: tuple[float, float] = real_range(0.02, 0.9, (0.2, 0.4))
    """Size of an object as a share of the shorter side; less where objects would meet."""
    min_object: int = number(4, 512, 10)
    """No object is smaller than so many pixels."""
    colors: tuple[str, ...] = some_of(COLORS)
    """Names of the colours in use."""
    shapes: tuple[str, ...] = some_of(SHAPES)
    """Names of the shapes in use."""
    background: str = one_of("varied", "plain", "white")
    """White; one flat grey, white or black; or also tints, gradients, noise and stripes."""
    style: str = one_of("varied", "plain")
    """Varied: every colour in several tones, shapes a little turned, thicker or thinner, some upside down."""
    turns: tuple[int, int] = whole_range(1, 16, (1, 3))
    """Questions per sample; fewer where the picture does not give as many."""
    described: float = number(0.0, 1.0, 1.0)
    """Share of the samples that may ask for a description, by far the longest answer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_object > self.canvas[0] // 2:
            raise ConfigError(
                f"Setting 'min_object' is {self.min_object}; it must be at most half of the smallest canvas "
                f"side, {self.canvas[0] // 2}."
            )
        if self.background == "white" and set(self.colors) <= {"white"}:
            raise ConfigError(
                "Setting 'colors' has only white on a white background; it must hold another colour."
            )


@dataclass(frozen=True, kw_only=True)
class ObjectSettings(DrawingSettings):
    """Settings of `object`: one object in the picture."""

    num_objects: tuple[int, int] = whole_range(1, 6, (1, 1))
    """Objects per picture."""
    layout: str = one_of("mixed", "places", "free")
    """Objects in named places, one each (five at most); anywhere; or a quarter of the pictures "free"."""
    questions: tuple[str, ...] = some_of(
        QUESTION_KINDS, ("color", "shape", "where", "what_at", "count", "describe")
    )
    """Kinds of questions that may be asked."""
    detail: tuple[str, ...] = some_of(("high", "low"), ("high",))
    """Detail of the image, each sample draws one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_described(self.described, self.questions)


@dataclass(frozen=True, kw_only=True)
class SceneSettings(ObjectSettings):
    """Settings of `scene`: several objects in the picture."""

    object_size: tuple[float, float] = real_range(0.02, 0.9, (0.15, 0.3))
    num_objects: tuple[int, int] = whole_range(1, 6, (1, 4))
    questions: tuple[str, ...] = some_of(QUESTION_KINDS)


class Scenes:
    """Draws samples of `object` or `scene`."""

    def __init__(self, settings: ObjectSettings) -> None:
        self.settings = settings
        self.skill = "scene" if isinstance(settings, SceneSettings) else "object"

    def draw(self, rng: random.Random) -> Sample:
        """One picture of objects that never touch, and some questions that have one right answer in it."""
        s = self.settings
        height, width = whole_between(rng, s.canvas), whole_between(rng, s.canvas)
        background, colors = choose_colors(rng, s)
        turns: list[Turn] = []
        for attempt in range(8):  # a drawing may leave none of the asked kinds with one right answer
            count = 1 if attempt == 7 else whole_between(rng, s.num_objects)
            free = s.layout == "free" or (s.layout == "mixed" and rng.random() < 0.25) or count > len(PLACES)
            if attempt == 7:
                free = False
            things = _arrange(rng, s, colors, height, width, count, free)
            candidates = _candidates(rng, things, height, width, s)
            if s.described < 1 and rng.random() >= s.described:
                candidates.pop("describe", None)
            turns = choose_turns(rng, candidates, whole_between(rng, s.turns), s.wordings)
            if turns:
                break
        image = background.paint(rng, height, width)
        for thing in things:
            paste(image, thing)
        marks = scene_marks(rng, things, height, width) if s.marks else None
        visual = image_visual(image, rng.choice(s.compression), rng.choice(s.detail), marks)
        return Sample(self.skill, [visual], converse(rng, turns, s.joined))


def choose_colors(
    rng: random.Random, s: DrawingSettings, least: int = 2
) -> tuple[Background, dict[str, RGB]]:
    """A background, and of the colours in use (name -> RGB) those that stand out on it.

    At least `least` of them if possible (all but one always is), and never none.
    """
    for attempt in range(20):
        kind = s.background if attempt < 18 else "plain"
        background = draw_background(rng, kind)
        colors = {name: draw_color(rng, name, s.style == "varied") for name in s.colors}
        colors = {name: rgb for name, rgb in colors.items() if background.contrasts(rgb)}
        if len(colors) >= min(least, len(s.colors)):
            return background, colors
    for end in ((255, 255, 255), (0, 0, 0)):  # whatever the colour, one of the two is far from it
        background = flat(end)
        colors = {name: draw_color(rng, name, False) for name in s.colors}
        colors = {name: rgb for name, rgb in colors.items() if background.contrasts(rgb)}
        if colors:
            break
    return background, colors


def make_thing(
    rng: random.Random,
    s: DrawingSettings,
    colors: dict[str, RGB],
    color: str,
    y: float,
    x: float,
    size: int,
    shape: str | None = None,
) -> Thing:
    """An object of a given colour centred at (y, x), of a random shape if none is given."""
    variant = rng.randrange(NUM_VARIANTS) if s.style == "varied" else 0
    return Thing(shape or rng.choice(s.shapes), color, y, x, size, variant, colors[color])


def object_size(rng: random.Random, s: DrawingSettings, height: int, width: int, most: float = 0.9) -> int:
    """A size in pixels as the settings ask, at most `most` of the shorter side and at least `min_object`."""
    side = min(height, width)
    return max(s.min_object, round(min(most, between(rng, s.object_size)) * side))


def place_center(rng: random.Random, place: str, height: int, width: int, size: int) -> tuple[float, float]:
    """A centre (y, x) in pixels clearly in the named place, the object's box inside the picture."""
    if place == "center":
        return height * rng.uniform(0.45, 0.55), width * rng.uniform(0.45, 0.55)
    centers = []
    for side, far in ((height, place.startswith("bottom")), (width, place.endswith("right"))):
        low = (size / 2 + 1) / side
        share = rng.uniform(min(low, 0.33), 0.33)
        centers.append(side * (1 - share if far else share))
    return centers[0], centers[1]


def place_of(thing: Thing, height: int, width: int) -> str | None:
    """The named place in which the object clearly is, if any."""
    return place_at(thing.y / height, thing.x / width)


def place_at(y: float, x: float) -> str | None:
    """The named place in which a centre clearly is, if any; `y` and `x` are 0 to 1 of the picture's sides."""
    if 0.42 <= y <= 0.58 and 0.42 <= x <= 0.58:
        return "center"
    if 0.36 < y < 0.64 or 0.36 < x < 0.64:
        return None
    return f"{'top' if y < 0.5 else 'bottom'} {'left' if x < 0.5 else 'right'}"


def paste(image: Image.Image, thing: Thing) -> None:
    """Draws the object into the picture."""
    mask, _ = shape_mask(thing.shape, thing.size, thing.variant)
    top, left = thing.corner
    image.paste(thing.rgb, (left, top), mask)


def scene_marks(
    rng: random.Random, things: Sequence[Thing], height: int, width: int, view: int = 0
) -> list[Mark]:
    """Marks of one view: an object's shape at its centre, any word about it inside it, "." beside it.

    Questions find an object by its colour, shape or place and ask for another of them, so that all tokens of
    an object should know all three.
    """
    marks: list[Mark] = []
    for thing in things:
        _, points = shape_mask(thing.shape, thing.size, thing.variant)
        top, left = thing.corner
        half = thing.size / 2
        marks.append(Mark(view, (top + half) / height, (left + half) / width, f" {thing.shape}"))
        for y, x in rng.sample(points, min(3, len(points))):
            words = [thing.color, thing.shape]
            if place := place_of(thing, height, width):
                words.append(rng.choice(place.split()))
            marks.append(Mark(view, (top + y) / height, (left + x) / width, f" {rng.choice(words)}"))
    spread = max((thing.size for thing in things), default=0) * 0.75 + _GAP
    centers = [(thing.y, thing.x) for thing in things]
    return marks + background_marks(rng, height, width, max(2, len(things)), centers, spread, view)


def _arrange(
    rng: random.Random,
    s: ObjectSettings,
    colors: dict[str, RGB],
    height: int,
    width: int,
    number: int,
    free: bool,
) -> list[Thing]:
    """`number` objects that do not meet; one that finds no room is left out (the first always has room)."""
    names = list(colors)
    # In most pictures one colour or one shape prevails, so that counts of it go beyond one.
    favourite_color = rng.choice(names) if rng.random() < 0.4 else None
    favourite_shape = None if favourite_color or rng.random() < 0.3 else rng.choice(s.shapes)
    places = rng.sample(PLACES, min(number, len(PLACES)))
    things: list[Thing] = []
    for index in range(number):
        color = favourite_color if favourite_color and rng.random() < 0.7 else rng.choice(names)
        shape = favourite_shape if favourite_shape and rng.random() < 0.7 else None
        place = "" if free else places[index]
        size = object_size(rng, s, height, width, most=0.9 if free or place == "center" else 0.5)
        for _ in range(16):
            if free:
                half = size / 2 + 1
                y, x = rng.uniform(half, height - half), rng.uniform(half, width - half)
            else:
                y, x = place_center(rng, place, height, width, size)
            if all(_apart(y, x, size, other) for other in things):
                things.append(make_thing(rng, s, colors, color, y, x, size, shape))
                break
            size = max(s.min_object, int(size * 0.93))
    return things


def _apart(y: float, x: float, size: int, other: Thing) -> bool:
    """Whether a box of this centre and size keeps clear of the other object's."""
    return max(abs(y - other.y), abs(x - other.x)) >= (size + other.size) / 2 + _GAP


def _candidates(
    rng: random.Random, things: Sequence[Thing], height: int, width: int, s: ObjectSettings
) -> dict[str, list[Question]]:
    """Kind -> questions with one right answer in this scene."""
    questions: dict[str, list[Question]] = {kind: [] for kind in s.questions}
    names, shapes, colors = ([getattr(thing, key) for thing in things] for key in ("name", "shape", "color"))
    places = [place_of(thing, height, width) for thing in things]
    alone = len(things) == 1

    def add(kind: str, wordings: str, answer: str, **words: str) -> None:
        if kind in questions:
            questions[kind].append((wordings, words, answer))

    for thing, place in zip(things, places, strict=True):
        # An object that is alone is mostly "the object", and sometimes "the circle" or "the red object".
        if alone:
            add("color", "color", thing.color)
            add("shape", "shape", thing.shape)
        if shapes.count(thing.shape) == 1 and (not alone or rng.random() < 0.2):
            add("color", "color_of_shape", thing.color, shape=thing.shape)
        if colors.count(thing.color) == 1 and (not alone or rng.random() < 0.2):
            add("shape", "shape_of_color", thing.shape, color=thing.color)
        if place and alone:
            add("where", "where", place)
        if place and names.count(thing.name) == 1:
            add("where", "where_is", place, color=thing.color, shape=thing.shape)
        if place and colors.count(thing.color) == 1:
            add("where_color", "where_color", place, color=thing.color)
        if place and shapes.count(thing.shape) == 1:
            add("where_shape", "where_shape", place, shape=thing.shape)
        if place and sum(_roughly_at(other, place, height, width) for other in things) == 1:
            add("what_at", "what_at", thing.name, place=place)
    add("count", "count", str(len(things)))
    color = _to_count(rng, colors, s.colors)
    add("count_color", "count_color", str(colors.count(color)), color=color)
    shape = _to_count(rng, shapes, s.shapes)
    add("count_shape", "count_shape", str(shapes.count(shape)), shapes=plural(shape))
    if None not in places and len(set(places)) == len(places):
        ordered = sorted(zip(places, things, strict=True), key=lambda pair: PLACES.index(pair[0] or ""))
        phrases = [f"{with_article(thing.name)} at the {place}" for place, thing in ordered]
        add("describe", "describe", listed(phrases))
    return questions


def _to_count(rng: random.Random, seen: Sequence[str], known: Sequence[str]) -> str:
    """Which colour or shape to count: often the most frequent, sometimes one that may not be there at all."""
    luck = rng.random()
    return max(seen, key=seen.count) if luck < 0.45 else rng.choice(seen if luck < 0.85 else known)


def _roughly_at(thing: Thing, place: str, height: int, width: int) -> bool:
    """Whether somebody could say that the object is in that place."""
    y, x = thing.y / height, thing.x / width
    if place == "center":
        return 0.33 < y < 0.67 and 0.33 < x < 0.67
    return (
        (y > 0.5) == place.startswith("bottom")
        and (x > 0.5) == place.endswith("right")
        and not (0.42 < y < 0.58 and 0.42 < x < 0.58)
    )
