"""The skill `pages`: read lines of short words on pages of any shape, all of them or the one asked for."""

import functools
import math
import random
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from oryx.data.pictures import load_names
from oryx.data.synthetic.drawing import COLORS, SHAPES
from oryx.data.synthetic.fonts import FontFile, choose_fonts
from oryx.data.synthetic.page_layout import PageLayout, lay_out, page_marks
from oryx.data.synthetic.questions import DIRECTIONS, PLACES, WORDINGS, Question, all_wordings, choose_turns
from oryx.data.synthetic.sample import Sample, between, converse, image_visual, whole_between
from oryx.data.synthetic.settings import (
    SkillSettings,
    number,
    one_of,
    real_range,
    some_of,
    texts,
    whole_range,
)
from oryx.data.synthetic.text import choose_ink
from oryx.data.synthetic.words import check_letters, draw_word
from oryx.errors import ConfigError

PAGE_KINDS = ("page", "line", "first_line", "last_line", "first_word", "last_word", "count_lines")
MAX_LINES = 9

SHAPES_OF_PAGES = ("block", "wide", "tall")

_ALIGNMENTS = ("left", "left", "center", "right")


@dataclass(frozen=True, kw_only=True)
class PagesSettings(SkillSettings):
    """Settings of `pages`; all sizes in pixels."""

    num_lines: tuple[int, int] = whole_range(1, MAX_LINES, (1, 5))
    """Lines per page; the last ones are left out where the page would become too large."""
    words_per_line: tuple[int, int] = whole_range(1, 12, (1, 3))
    """Words per line, drawn for each line apart."""
    shapes: tuple[str, ...] = some_of(SHAPES_OF_PAGES)
    """Each sample draws one: any lines; one or two long lines; many lines of the fewest words."""
    letters: tuple[int, int] = whole_range(1, 12, (2, 6))
    """Letters per word."""
    words: str = one_of("mixed", "random", "dictionary")
    """Random letters, words of the list (3 to 6 letters), or half and half."""
    word_split: str = one_of("train", "test")
    """Which words: one string in ten is kept for "test" and never drawn in "train"."""
    capitals: float = number(0.0, 1.0, 0.0)
    """Share of the words written in capitals, or half as often with one capital in front."""
    digits: float = number(0.0, 1.0, 0.0)
    """Share of the words that are numbers of up to four digits instead."""
    fonts: str | tuple[str, ...] = texts("train")
    """ "train", "test", or a list of family names, where "default" is Pillow's own font."""
    font_folders: tuple[str, ...] = texts()
    """Folders of font files besides the system's."""
    num_fonts: int = number(1, 10_000, 10_000)
    """Use only the first so many of these fonts (the plain ones come first)."""
    font_size: tuple[int, int] = whole_range(8, 200, (16, 26))
    """Pixels per em; a page that would become too large takes a smaller one of these."""
    line_height: tuple[float, float] = real_range(1.0, 4.0, (1.15, 1.7))
    """From line to line, in ems."""
    margin: tuple[int, int] = whole_range(0, 500, (3, 10))
    """Empty space around the text, on each side."""
    canvas_extra: tuple[int, int] = whole_range(0, 2000, (0, 24))
    """More canvas, drawn for height and width apart; the text lies anywhere in it."""
    max_area: int = number(256, 4_194_304, 16_384)
    """No page has more square pixels: at the processor's own cap, the resize leaves letters as drawn here."""
    max_side: int = number(32, 4096, 256)
    """No page is higher or wider."""
    colors: str = one_of("varied", "plain")
    """Black on white, or any two colours with good contrast."""
    background: str = one_of("varied", "flat")
    """One colour, or also gradients, noise, clouds and faint stripes."""
    questions: tuple[str, ...] = some_of(PAGE_KINDS)
    """Kinds of questions that may be asked; all but the first need two lines or two words."""
    turns: tuple[int, int] = whole_range(1, 16, (1, 3))
    """Questions per sample; fewer where the page does not give as many."""
    detail: tuple[str, ...] = some_of(("high", "low"), ("high",))
    """Detail of the image, each sample draws one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_letters(self.words, self.letters)
        # One word of the smallest letters must fit: an em is wider than all but the odd letter.
        size = self.font_size[0]
        height = round(size * self.line_height[0]) + 2 * self.margin[0]
        width = size * self.letters[0] + 2 * self.margin[0]
        if max(height, width) > self.max_side or height * width > self.max_area:
            raise ConfigError(
                f"Setting 'font_size' is {self.font_size!r}; its smallest letters do not fit 'max_area' "
                f"{self.max_area} and 'max_side' {self.max_side}."
            )


class Pages:
    """Draws samples of `pages`. Raises `ConfigError` when made if the fonts asked for are not installed."""

    def __init__(self, settings: PagesSettings) -> None:
        self.settings = settings
        self.fonts: list[FontFile] = choose_fonts(settings.fonts, settings.num_fonts, settings.font_folders)

    def materials(self) -> list[str]:
        """The fonts."""
        return [font.name for font in self.fonts]

    @staticmethod
    def vocabulary() -> list[str]:
        """Texts that hold every word of its questions; what stands on pages is spelled."""
        return [text for kind in PAGE_KINDS for text in all_wordings(kind, number="1")]

    def draw(self, rng: random.Random) -> Sample:
        """One page of lines, and some questions about it; lines are answered with breaks between them."""
        s = self.settings
        turns: list[tuple[str, str]] = []
        for attempt in range(16):  # a page may be too short for all of the asked kinds
            lines = self._lines(rng, full=attempt >= 8)
            layout = self._fit(rng, lines)
            turns = choose_turns(rng, self._candidates(lines), whole_between(rng, s.turns), s.wordings)
            if turns:
                break
        else:
            turns = choose_turns(
                rng, {"page": [("page", {}, "\n".join(map(" ".join, lines)))]}, 1, s.wordings
            )
        ink, background = choose_ink(rng, s.colors == "varied", s.background == "varied")
        image = background.paint(rng, layout.height, layout.width)
        for mask, top, left in layout.masks:
            image.paste(ink, (left, top), mask)
        marks = page_marks(rng, lines, layout) if s.marks else None
        visual = image_visual(image, rng.choice(s.compression), rng.choice(s.detail), marks)
        return Sample("pages", [visual], converse(rng, turns, s.joined))

    def _lines(self, rng: random.Random, full: bool) -> list[list[str]]:
        """The words of each line; `full` takes as many lines and words as allowed."""
        s = self.settings
        (least_lines, most_lines), (least_words, most_words) = s.num_lines, s.words_per_line
        shape = "block" if full else rng.choice(s.shapes)
        if full:
            least_lines, least_words = most_lines, most_words
        elif shape == "wide":
            most_lines = max(least_lines, min(2, most_lines))
            least_words = (least_words + most_words + 1) // 2
        elif shape == "tall":
            least_lines, most_words = (least_lines + most_lines + 1) // 2, least_words
        num_lines = rng.randint(least_lines, most_lines)
        counts = [rng.randint(least_words, most_words) for _ in range(num_lines)]
        return [[self._word(rng, s.letters) for _ in range(count)] for count in counts]

    def _word(self, rng: random.Random, letters: tuple[int, int]) -> str:
        s = self.settings
        if s.digits and rng.random() < s.digits:
            return str(rng.randrange(10 ** min(4, whole_between(rng, letters))))
        for _ in range(20):
            word = draw_word(rng, letters, s.words, s.word_split)
            if word not in known_words():
                break
        if s.capitals and rng.random() < s.capitals:
            return word.upper() if rng.random() < 2 / 3 else word.capitalize()
        return word

    def _fit(self, rng: random.Random, lines: list[list[str]]) -> PageLayout:
        """A layout within the page's limits: smaller letters, then fewer words; `lines` is cut to match."""
        s = self.settings
        font, alignment = rng.choice(self.fonts).path, rng.choice(_ALIGNMENTS)
        size, line_height = whole_between(rng, s.font_size), between(rng, s.line_height)
        margin = whole_between(rng, s.margin)
        extra = whole_between(rng, s.canvas_extra), whole_between(rng, s.canvas_extra)
        place = rng.random(), rng.random()
        while True:
            layout = lay_out(font, size, lines, line_height, margin, extra, alignment, place)
            longest = max(layout.height, layout.width)
            if longest <= s.max_side and layout.height * layout.width <= s.max_area:
                return layout
            if any(extra):
                extra = extra[0] // 2, extra[1] // 2
            elif size > s.font_size[0]:
                too_large = max(longest / s.max_side, math.sqrt(layout.height * layout.width / s.max_area))
                size = max(s.font_size[0], min(size - 1, math.ceil(size / too_large)))
            elif margin > s.margin[0]:
                margin = s.margin[0]
            elif line_height > s.line_height[0] and len(lines) > 1:
                line_height = s.line_height[0]
            elif not self._shorten(rng, lines, tall=layout.height >= layout.width):
                return layout

    def _shorten(self, rng: random.Random, lines: list[list[str]], tall: bool) -> bool:
        """Takes a line or a word off, or shortens one; below the settings' least only in the last resort."""
        s = self.settings
        for least_lines, least_words in ((s.num_lines[0], s.words_per_line[0]), (1, 1)):
            widest = max(lines, key=lambda words: sum(map(len, words)) + len(words))
            if len(lines) > least_lines and (tall or len(widest) <= least_words):
                lines.pop()
            elif len(widest) > least_words:
                widest.pop()
            elif len(longest := max(widest, key=len)) > s.letters[0]:
                widest[widest.index(longest)] = self._word(rng, (s.letters[0], len(longest) - 1))
            else:
                continue
            return True
        return False

    def _candidates(self, lines: Sequence[Sequence[str]]) -> dict[str, list[Question]]:
        """Kind -> questions with one right answer on this page."""
        texts = [" ".join(words) for words in lines]
        asked: dict[str, list[Question]] = {kind: [] for kind in PAGE_KINDS}
        asked["page"].append(("page", {}, "\n".join(texts)))
        if len(texts) > 1:
            asked["line"] = [
                ("line", {"number": str(number)}, text) for number, text in enumerate(texts, start=1)
            ]
            asked["first_line"].append(("first_line", {}, texts[0]))
            asked["last_line"].append(("last_line", {}, texts[-1]))
            asked["count_lines"].append(("count_lines", {}, str(len(texts))))
        if sum(map(len, lines)) > 1:
            asked["first_word"].append(("first_word", {}, lines[0][0]))
            asked["last_word"].append(("last_word", {}, lines[-1][-1]))
        return {kind: asked[kind] for kind in self.settings.questions}


@functools.cache
def known_words() -> frozenset[str]:
    """Words of questions and answers: tokenizers know them whole, so pages leave them out and all is spelled.

    A model that spells every word of a page spells such a word as well: its text comes out the same.
    """
    texts: Iterable[str] = [text for wordings in WORDINGS.values() for text in wordings]
    texts = [*texts, *COLORS, *SHAPES, *PLACES, *DIRECTIONS, *load_names()]
    return frozenset(word for text in texts for word in re.findall("[a-z]+", text.lower()))
