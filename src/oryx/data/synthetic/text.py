"""The skill `words`: read one rendered word."""

import functools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw

from oryx.data.marks import Mark
from oryx.data.synthetic.drawing import RGB, Background, any_color, brightness, flat, textured
from oryx.data.synthetic.fonts import FontFile, choose_fonts, load_font
from oryx.data.synthetic.questions import choose_turns
from oryx.data.synthetic.sample import Sample, converse, image_visual, whole_between
from oryx.data.synthetic.settings import SkillSettings, number, one_of, some_of, texts, whole_range
from oryx.data.synthetic.words import check_letters, draw_word

_MIN_CONTRAST = 100.0  # difference in brightness, of 255
_CLEARANCE = 0.6  # ems between a letter's centre and a background mark


@dataclass(frozen=True, kw_only=True)
class WordsSettings(SkillSettings):
    """Settings of `words`; all sizes in pixels."""

    letters: tuple[int, int] = whole_range(1, 12, (3, 6))
    """Letters per word."""
    words: str = one_of("mixed", "random", "dictionary")
    """Random letters, words of the list (3 to 6 letters), or half and half."""
    word_split: str = one_of("train", "test")
    """Which words: one string in ten is kept for "test" and never drawn in "train"."""
    fonts: str | tuple[str, ...] = texts("train")
    """ "train", "test", or a list of family names, where "default" is Pillow's own font."""
    font_folders: tuple[str, ...] = texts()
    """Folders of font files besides the system's."""
    num_fonts: int = number(1, 10_000, 10_000)
    """Use only the first so many of these fonts (the plain ones come first)."""
    font_size: tuple[int, int] = whole_range(6, 400, (14, 32))
    """Pixels per em."""
    margin: tuple[int, int] = whole_range(0, 500, (2, 8))
    """Empty space around the text's ink, on each side."""
    canvas_extra: tuple[int, int] = whole_range(0, 2000, (0, 0))
    """More canvas, drawn for height and width apart; the text lies anywhere in it."""
    colors: str = one_of("varied", "plain")
    """Black on white, or any two colours with good contrast."""
    background: str = one_of("varied", "flat")
    """One colour, or also gradients, noise, clouds and faint stripes."""
    rotation: float = number(0.0, 45.0, 0.0)
    """The text is turned by up to so many degrees either way."""
    detail: tuple[str, ...] = some_of(("high", "low"), ("high",))
    """Detail of the image, each sample draws one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_letters(self.words, self.letters)


class Words:
    """Draws samples of `words`. Raises `ConfigError` when made if the fonts asked for are not installed."""

    def __init__(self, settings: WordsSettings) -> None:
        self.settings = settings
        self.fonts: list[FontFile] = choose_fonts(settings.fonts, settings.num_fonts, settings.font_folders)

    def materials(self) -> list[str]:
        """The fonts."""
        return [font.name for font in self.fonts]

    def draw(self, rng: random.Random) -> Sample:
        """One picture of one word, one question, the bare word as answer."""
        s = self.settings
        word = draw_word(rng, s.letters, s.words, s.word_split)
        size = whole_between(rng, s.font_size)
        angle = rng.uniform(-s.rotation, s.rotation) if s.rotation else 0.0
        mask, centers = render_text(rng.choice(self.fonts).path, size, word, angle)
        height, width = (
            mask.height + 2 * whole_between(rng, s.margin),
            mask.width + 2 * whole_between(rng, s.margin),
        )
        height, width = (
            height + whole_between(rng, s.canvas_extra),
            width + whole_between(rng, s.canvas_extra),
        )
        top = rng.randint(*_slack(height - mask.height, s.margin[0]))
        left = rng.randint(*_slack(width - mask.width, s.margin[0]))
        ink, background = choose_ink(rng, s.colors == "varied", s.background == "varied")
        image = background.paint(rng, height, width)
        image.paste(ink, (left, top), mask)
        marks = None
        if s.marks:
            points = [(top + y, left + x) for y, x in centers]
            marks = [
                Mark(0, y / height, x / width, letter) for (y, x), letter in zip(points, word, strict=True)
            ]
            marks += background_marks(rng, height, width, len(word), points, _CLEARANCE * size)
        visual = image_visual(image, rng.choice(s.compression), rng.choice(s.detail), marks)
        turns = choose_turns(rng, {"words": [("words", {}, word)]}, 1, s.wordings)
        return Sample("words", [visual], converse(rng, turns, s.joined))


def background_marks(
    rng: random.Random,
    height: int,
    width: int,
    num_marks: int,
    keep_off: Sequence[tuple[float, float]],
    clearance: float,
    view: int = 0,
) -> list[Mark]:
    """Up to `num_marks` marks "." at random, at least `clearance` pixels from each (y, x) of `keep_off`."""
    marks: list[Mark] = []
    for _ in range(3 * num_marks):
        y, x = rng.random() * height, rng.random() * width
        if all((y - py) ** 2 + (x - px) ** 2 >= clearance**2 for py, px in keep_off):
            marks.append(Mark(view, y / height, x / width, "."))
            if len(marks) == num_marks:
                break
    return marks


def render_text(
    font_path: str, size: int, text: str, angle: float
) -> tuple[Image.Image, list[tuple[float, float]]]:
    """One line's ink as a mask ("L", cut to the ink's box) and each character's centre (y, x) in it.

    A letter's centre is half the height of an x above the line, and the middle of its ink across.
    """
    font = load_font(font_path, size)
    box = font.getbbox(text, anchor="ls")
    left, top, right, bottom = math.floor(box[0]), math.floor(box[1]), math.ceil(box[2]), math.ceil(box[3])
    mask = Image.new("L", (max(1, right - left), max(1, bottom - top)), 0)
    ImageDraw.Draw(mask).text((-left, -top), text, fill=255, font=font, anchor="ls")
    middle = _x_height(font_path, size) / 2
    letters = [_letter(font_path, size, letter) for letter in text]
    # Kerning, as if it were spread over the whole line.
    kerned = font.getlength(text) / max(1.0, sum(advance for _, advance in letters))
    centers, start = [], 0.0
    for ink, advance in letters:
        centers.append((-middle - top, start + ink - left))
        start += advance * kerned
    if not angle:
        return mask, centers
    turned = mask.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    sin, cos = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    moved = []
    for y, x in centers:  # Pillow turns counterclockwise around the middle
        dy, dx = y - mask.height / 2, x - mask.width / 2
        moved.append((turned.height / 2 + dy * cos - dx * sin, turned.width / 2 + dx * cos + dy * sin))
    return turned, moved


@functools.lru_cache(maxsize=200_000)
def _letter(font_path: str, size: int, letter: str) -> tuple[float, float]:
    """The middle of the letter's ink across, and its advance, in pixels."""
    font = load_font(font_path, size)
    ink = font.getbbox(letter, anchor="ls")
    return (ink[0] + ink[2]) / 2, font.getlength(letter)


@functools.lru_cache(maxsize=8192)
def _x_height(font_path: str, size: int) -> float:
    return -load_font(font_path, size).getbbox("x", anchor="ls")[1]


def _slack(free: int, margin: int) -> tuple[int, int]:
    """Where the text's box may begin, given the free pixels and the least margin."""
    return margin, max(margin, free - margin)


def choose_ink(rng: random.Random, varied_colors: bool, varied_background: bool) -> tuple[RGB, Background]:
    """The ink's colour and a background, well apart in brightness."""
    if varied_colors and rng.random() < 0.7:
        for _ in range(40):
            ink, paper = any_color(rng), any_color(rng)
            if abs(brightness(ink) - brightness(paper)) < _MIN_CONTRAST:
                continue
            background = textured(rng, paper) if varied_background else flat(paper)
            if _readable(ink, background):
                return ink, background
    ink, paper = (0, 0, 0), (255, 255, 255)
    return ink, textured(rng, paper) if varied_background else flat(paper)


def _readable(ink: RGB, background: Background) -> bool:
    """Whether the ink is much darker, or much lighter, than all of the background."""
    lights = [brightness(rgb) - brightness(ink) for rgb in (background.first, background.second)]
    return min(lights) >= _MIN_CONTRAST or max(lights) <= -_MIN_CONTRAST
