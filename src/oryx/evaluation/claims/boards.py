"""What the arms look at: boards with a small letter and a large object, and films of them.

A board has both, so that one picture serves what needs reading (one small letter) and what needs only objects
(the color or the shape of something that is seen from afar), and both cost the same. Its size and its aspect
ratio vary while the letter stays as small as it is: a picture of a page, not of a poster.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from oryx.data.marks import Mark
from oryx.data.synthetic.drawing import COLORS, shape_mask
from oryx.data.synthetic.fonts import choose_fonts
from oryx.data.synthetic.questions import WORDINGS
from oryx.data.synthetic.sample import Sample, converse, whole_between
from oryx.data.synthetic.text import background_marks, render_text

LETTER, COLOR, SHAPE = TASKS = ("letter", "color", "shape")
"""What may be asked of a board."""
LETTERS = "acegkmnorsuvwxyz"
INKS = ("red", "green", "blue", "yellow", "purple")
FORMS = ("circle", "square", "triangle", "cross")
CHANCE = {LETTER: 1 / len(LETTERS), COLOR: 1 / len(INKS), SHAPE: 1 / len(FORMS)}
"""Right by guessing."""

QUESTIONS = {LETTER: WORDINGS["words"][0], COLOR: WORDINGS["color"][0], SHAPE: WORDINGS["shape"][0]}
_PAPERS = ((255, 255, 255), (232, 232, 232), (208, 208, 208))
_GAP = 2
_CLEARANCE = 12.0  # pixels between what is there and what is marked as empty


@dataclass(frozen=True)
class BoardSettings:
    """What boards look like."""

    area: tuple[int, int] = (40 * 40, 90 * 90)
    """Least and most pixels; drawn evenly on a logarithmic scale."""
    aspect: float = 4.0
    """The longer side is at most so many times the shorter."""
    font_size: tuple[int, int] = (11, 13)
    """Pixels per em of the letter."""
    object_size: tuple[int, int] = (14, 20)
    """Pixels of the object's side."""
    tasks: tuple[str, ...] = TASKS
    """What is asked, each once, in random order."""


@dataclass(frozen=True)
class Board:
    """What a picture shows, and where."""

    letter: str
    color: str
    shape: str
    height: int
    width: int
    paper: tuple[int, int, int]
    font_size: int
    letter_box: tuple[int, int, int, int]
    """Top, left, height and width in pixels."""
    object_box: tuple[int, int, int, int]

    def answer(self, task: str) -> str:
        """The answer to a task, one token of a spelling tokenizer."""
        return self.letter if task == LETTER else f" {self.color if task == COLOR else self.shape}"


def draw_board(rng: random.Random, settings: BoardSettings, size: tuple[int, int] | None = None) -> Board:
    """A board drawn by chance; `size` is its height and width, if they are given."""
    height, width = size or draw_size(rng, settings)
    letter, font_size = rng.choice(LETTERS), whole_between(rng, settings.font_size)
    mask, _ = render_text(_font(), font_size, letter, 0.0)
    # The two lie apart along the longer side.
    side = min(whole_between(rng, settings.object_size), min(height, width) - 2 * _GAP)
    sizes = [(mask.height, mask.width), (side, side)]
    rng.shuffle(sizes)
    along = 0 if height >= width else 1
    free = (height, width)[along] - sizes[0][along] - sizes[1][along] - 3 * _GAP
    first = rng.randint(0, max(0, free))
    second = rng.randint(first, max(first, free))
    boxes = {}
    for size, shift in zip(sizes, (first, second + sizes[0][along] + _GAP)):
        start = [rng.randint(_GAP, max(_GAP, (height, width)[axis] - size[axis] - _GAP)) for axis in (0, 1)]
        start[along] = shift + _GAP
        boxes[size] = (start[0], start[1], size[0], size[1])
    return Board(
        letter=letter,
        color=rng.choice(INKS),
        shape=rng.choice(FORMS),
        height=height,
        width=width,
        paper=rng.choice(_PAPERS),
        font_size=font_size,
        letter_box=boxes[mask.height, mask.width],
        object_box=boxes[side, side],
    )


def draw_size(rng: random.Random, settings: BoardSettings) -> tuple[int, int]:
    """Height and width in pixels."""
    low, high = (math.log(area) for area in settings.area)
    area, longest = math.exp(rng.uniform(low, high)), math.log(settings.aspect)
    aspect = math.exp(rng.uniform(-longest, longest))
    return round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))


def paint(board: Board, with_object: bool = True, with_letter: bool = True) -> Image.Image:
    """The picture of a board, or of a part of it."""
    image = Image.new("RGB", (board.width, board.height), board.paper)
    if with_letter:
        mask, _ = render_text(_font(), board.font_size, board.letter, 0.0)
        top, left, *_ = board.letter_box
        image.paste((0, 0, 0), (left, top), mask)
    if with_object:
        top, left, side, _ = board.object_box
        image.paste(COLORS[board.color][0], (left, top), shape_mask(board.shape, side)[0])
    return image


def board_marks(rng: random.Random, board: Board, view: int = 0, with_object: bool = True) -> list[Mark]:
    """What the visual tokens are taught: the letter, words of the object, and "." beside them."""
    _, centers = render_text(_font(), board.font_size, board.letter, 0.0)
    top, left, *_ = board.letter_box
    points = [(top + y, left + x) for y, x in centers]
    texts = [board.letter]
    if with_object:
        top, left, side, _ = board.object_box
        points.append((top + side / 2, left + side / 2))
        texts.append(f" {board.shape}")
        inner = shape_mask(board.shape, side)[1]
        for y, x in rng.sample(inner, min(2, len(inner))):
            points.append((top + y, left + x))
            texts.append(f" {rng.choice((board.color, board.shape))}")
    marks = [Mark(view, y / board.height, x / board.width, text) for (y, x), text in zip(points, texts)]
    return marks + background_marks(rng, board.height, board.width, 2, points, _CLEARANCE, view)


def ask(rng: random.Random, board: Board, tasks: Sequence[str]) -> list[dict[str, str]]:
    """The conversation: each task once, in random order."""
    chosen = rng.sample(tasks, len(tasks))
    return converse(rng, [(QUESTIONS[task], board.answer(task)) for task in chosen])


class Boards:
    """Draws one board a sample; a skill, as `oryx.data.synthetic.source` wants it."""

    def __init__(self, settings: BoardSettings | None = None, marks: bool = True) -> None:
        self.settings = settings or BoardSettings()
        self.marks = marks

    def draw(self, rng: random.Random) -> Sample:
        """One picture, and a question for each task."""
        board = draw_board(rng, self.settings)
        visual: dict[str, Any] = {"type": "image", "image": paint(board)}
        visual["marks"] = board_marks(rng, board) if self.marks else []
        return Sample("board", [visual], ask(rng, board, self.settings.tasks))


@dataclass(frozen=True)
class FilmSettings:
    """What films look like: one board whose letter stays and whose object is there for a moment only."""

    num_frames: int = 36
    """Frames of the film as it is; how many are looked at is the viewer's choice."""
    moment: int = 2
    """Frames in which the object is there."""
    size: tuple[int, int] = (32, 64)
    """Height and width of the frames in pixels."""
    tasks: tuple[str, ...] = (LETTER, COLOR)


class Films:
    """Draws one film a sample. The letter needs detail, the object's color a frame of the moment."""

    def __init__(self, settings: FilmSettings | None = None, marks: bool = True) -> None:
        self.settings = settings or FilmSettings()
        self.marks = marks

    def draw(self, rng: random.Random) -> Sample:
        """One film, and a question for each task."""
        s = self.settings
        board = draw_board(rng, BoardSettings(), s.size)
        start = rng.randint(0, s.num_frames - s.moment)
        moment = range(start, start + s.moment)
        with_object, without = paint(board), paint(board, with_object=False)
        frames = [with_object if index in moment else without for index in range(s.num_frames)]
        marks: list[Mark] = []
        if self.marks:
            for index in range(s.num_frames):
                marks += board_marks(rng, board, index, index in moment)
        visual = {"type": "video", "video": frames, "marks": marks}
        return Sample("film", [visual], ask(rng, board, s.tasks))


@functools.cache
def _font() -> str:
    return choose_fonts(("default",), 1, ())[0].path
