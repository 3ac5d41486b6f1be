"""The skill `rooms`: several views of one furnished room, with or without numbers on its things."""

import functools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from oryx.data.builders.correspondence.drawing import MIN_SIZE, Point, draw_marks, least_size
from oryx.data.builders.correspondence.selection import NUM_OBJECTS, select_objects
from oryx.data.marks import Mark
from oryx.data.rooms.catalogue import labels
from oryx.data.rooms.sights import Thing, read_sights
from oryx.data.rooms.store import MAKE_COMMAND, RoomStore
from oryx.data.synthetic.questions import choose_turns, with_article
from oryx.data.synthetic.room_questions import (
    KINDS,
    MARK_KINDS,
    WORDINGS,
    Asked,
    Candidates,
    room_questions,
)
from oryx.data.synthetic.sample import Sample, converse, whole_between
from oryx.data.synthetic.settings import RATIOS, SkillSettings, number, one_of, some_of, whole_range
from oryx.errors import ConfigError

TEST_EVERY = 10
"""Every so many rooms of a folder one is kept for tests: split "test", never drawn in "train"."""

_KINDS_TRIED, _ROOMS_TRIED = 20, 60
_COUNTS = {"count", "count_across"}
_POINTS_ON, _POINTS_BESIDE = 6, 4  # marks on each thing of a view, and where there is none


@dataclass(frozen=True, kw_only=True)
class RoomsSettings(SkillSettings):
    """Settings of `rooms`."""

    folder: str = ""
    """Where `oryx data rooms` wrote them."""
    split: str = one_of("train", "test", "all")
    """Which rooms of the folder: one in ten is kept for "test"."""
    compression: tuple[int, ...] = some_of(RATIOS, (4,))
    views: tuple[int, int] = whole_range(1, 64, (4, 8))
    """Views per sample, fewer where the room has fewer; in their order around the room."""
    height: int = number(0, 2048, 0)
    """Pixels to which the views are scaled before the numbers are drawn; 0 leaves them as they are."""
    width: int = number(0, 2048, 0)
    """Pixels; both or neither of height and width."""
    marks_drawn: float = number(0.0, 1.0, 0.5)
    """Share of the samples whose things bear numbers: those seen in most views, the same number in each."""
    num_marks: int = number(1, 20, NUM_OBJECTS)
    """Things that bear numbers, at most."""
    mark_size: int = number(MIN_SIZE, 200, MIN_SIZE)
    """Diameter of a number's dot in pixels."""
    turns: tuple[int, int] = whole_range(1, 16, (1, 3))
    """Questions per sample; fewer where the room does not give as many."""
    questions: tuple[str, ...] = some_of((*KINDS, *MARK_KINDS))
    """Kinds of questions that may be asked; those about numbers only where there are numbers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.height) != bool(self.width):
            raise ConfigError("Settings 'height' and 'width' belong together; give both or neither.")
        least = least_size(self.num_marks)
        if self.mark_size < least:
            raise ConfigError(
                f"mark_size is {self.mark_size}; with num_marks {self.num_marks} at least {least} is needed."
            )


class Rooms:
    """Draws samples of `rooms`.

    Raises:
        ConfigError: the folder holds no rooms, or none of the split.
    """

    def __init__(self, settings: RoomsSettings) -> None:
        if not settings.folder:
            raise ConfigError(
                f"Skill 'rooms': setting 'folder' must name a folder of rooms; make one with: {MAKE_COMMAND}."
            )
        self.settings = settings
        self.store = RoomStore(settings.folder)
        self.rooms = [
            index
            for index in range(len(self.store))
            if settings.split == "all" or (index % TEST_EVERY == TEST_EVERY - 1) == (settings.split == "test")
        ]
        if not self.rooms:
            raise ConfigError(f"{settings.folder} holds no rooms of split {settings.split!r}.")

    def materials(self) -> str:
        """The rooms."""
        return self.store.hash_rooms(len(self.store))

    def draw(self, rng: random.Random) -> Sample:
        """Views of one room, and questions that have one right answer in them."""
        s = self.settings
        for _ in range(_KINDS_TRIED):
            drawn = rng.random() < s.marks_drawn
            kinds = [kind for kind in s.questions if drawn or kind not in MARK_KINDS]
            if not kinds:
                continue
            # The kind comes first, then a room that gives it: else the rare kinds would hardly be seen.
            kind = rng.choice(kinds)
            for _ in range(_ROOMS_TRIED):
                room = rng.choice(self.rooms)
                views = self.choose_views(rng, room, whole_between(rng, s.views))
                leading = self.candidates(rng, room, views, drawn, [kind])
                if leading:
                    return self._sample(rng, room, views, drawn, leading)
        raise ConfigError(
            f"{s.folder}: {_KINDS_TRIED * _ROOMS_TRIED} tries gave no question of {', '.join(s.questions)}."
        )

    def _sample(
        self, rng: random.Random, room: int, views: Sequence[int], drawn: bool, leading: Candidates
    ) -> Sample:
        """The sample whose turns are one of the leading questions and, if more are wanted, some of others."""
        s = self.settings
        number = whole_between(rng, s.turns)
        turns = choose_turns(rng, leading, 1, s.wordings, WORDINGS)
        if number > 1:
            # Both counts ask the same in the same words.
            asked = {*leading, *(_COUNTS if leading.keys() & _COUNTS else ())}
            others = [kind for kind in s.questions if kind not in asked]
            more = self.candidates(rng, room, views, drawn, others)
            if more.keys() >= _COUNTS:
                del more[rng.choice(sorted(_COUNTS))]
            turns += choose_turns(rng, more, number - 1, s.wordings, WORDINGS)
            turns = list(dict.fromkeys(turns))
            rng.shuffle(turns)
        pictures, marks = self.show(rng, room, views, drawn)
        visual = {"type": "views", "views": pictures, "compression": rng.choice(s.compression)}
        if s.marks:
            visual["marks"] = marks
        return Sample("rooms", [visual], converse(rng, turns, s.joined))

    def choose_views(self, rng: random.Random, room: int, count: int) -> list[int]:
        """Indices of `count` of the room's views, ascending."""
        there = len(self.store[room]["views"])
        return sorted(rng.sample(range(there), min(count, there)))

    def things(self, room: int, views: Sequence[int]) -> list[Thing]:
        """The room's things as those views show them."""
        return read_sights(self.store[room], views, *self._stored_size)

    def candidates(
        self, rng: random.Random, room: int, views: Sequence[int], drawn: bool, kinds: Sequence[str]
    ) -> Candidates:
        """Kind -> questions on those views; none that name numbers unless numbers are `drawn`."""
        things = self.things(room, views)
        asked = Asked(
            things, len(views), self._numbers(room, things) if drawn else {}, labels(), self.store.labels
        )
        return room_questions(rng, asked, [kind for kind in kinds if drawn or kind not in MARK_KINDS])

    def show(
        self, rng: random.Random, room: int, views: Sequence[int], drawn: bool
    ) -> tuple[list[Image.Image], list[Mark]]:
        """The views as pictures, with numbers where asked for, and the marks that teach what is where."""
        s = self.settings
        things = self.things(room, views)
        numbers = self._numbers(room, things) if drawn else {}
        pictures = [self.store.view(room, view) for view in views]
        if s.height:
            pictures = [picture.resize((s.width, s.height), Image.Resampling.BICUBIC) for picture in pictures]
        if numbers:
            centers: dict[int, Mapping[int, Point]] = {
                thing.id: {
                    view: (
                        thing.sights[view].y * pictures[view].height,
                        thing.sights[view].x * pictures[view].width,
                    )
                    for view in thing.clear_views
                }
                for thing in things
                if thing.id in numbers
            }
            pictures = draw_marks(pictures, centers, numbers, s.mark_size)
        marks: list[Mark] = []
        if s.marks:
            for index, view in enumerate(views):
                marks += _view_marks(rng, index, self.store.ids(room, view), things, numbers)
        return pictures, marks

    def _numbers(self, room: int, things: Sequence[Thing]) -> dict[int, int]:
        """Thing's id -> its number, for the things that are clearly seen in most views.

        The numbers are in no order, or a low one would tell that its thing is large and often seen.
        """
        areas = {
            thing.id: {view: thing.sights[view].area for view in thing.clear_views}
            for thing in things
            if thing.clear_views
        }
        chosen = sorted(select_objects(areas, self.settings.num_marks))
        random.Random(f"{self.store[room]['room']} {chosen}").shuffle(chosen)
        return {name: place for place, name in enumerate(chosen, 1)}

    @property
    def _stored_size(self) -> tuple[int, int]:
        return self.store.settings["height"], self.store.settings["width"]

    @staticmethod
    @functools.cache
    def vocabulary() -> list[str]:
        """Texts that hold every word of the skill, in its questions and in its answers."""
        texts = []
        words = {"view": "1", "other": "2", "number": "3"}
        for label in labels().values():
            filled = {
                "label": label.name,
                "labels": label.plural,
                "a_label": with_article(label.name),
                "first": label.name,
                "second": label.name,
            }
            texts += [text.format(**words, **filled) for wordings in WORDINGS.values() for text in wordings]
            texts.append(f"It is {with_article(label.name)}, 2 {label.plural} and {with_article(label.name)}")
        return [*texts, "1, 2 and 3, left or right, yes or no: object 1 "]


def _view_marks(
    rng: random.Random, index: int, ids: np.ndarray, things: Sequence[Thing], numbers: dict[int, int]
) -> list[Mark]:
    """In a view's corner: which view it is. On a thing: its name, at its middle its number. Beside: "."."""
    marks = [Mark(index, 0.0, 0.0, str(index + 1))]
    for thing in things:
        if not thing.is_clear(index):
            continue
        sight = thing.sights[index]
        # As answers begin: a space before a digit may be a token of its own, and be all that is learned.
        middle = str(numbers[thing.id]) if thing.id in numbers else f" {thing.label}"
        marks.append(Mark(index, sight.y, sight.x, middle))
        marks += _points(rng, index, ids == thing.id, _POINTS_ON, f" {thing.label}")
    return marks + _points(rng, index, ids == 0, _POINTS_BESIDE, ".")


def _points(rng: random.Random, index: int, mask: np.ndarray, count: int, text: str) -> list[Mark]:
    height, width = mask.shape
    places = np.flatnonzero(mask)
    if not len(places):
        return []
    chosen = [divmod(int(places[rng.randrange(len(places))]), width) for _ in range(count)]
    return [Mark(index, (y + 0.5) / height, (x + 0.5) / width, text) for y, x in chosen]
