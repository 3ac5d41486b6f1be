"""Which questions a test of rooms asks, and the three ways in which each is shown.

    with_marks      the views, with the same number on the same thing in each
    without_marks   the same views as they are
    single_view     one of them: one that the question names, if it names any

The question stays the same, but in its words a single view is view 1, and another that it names is view 2.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from oryx.data.builders.correspondence.drawing import MIN_SIZE
from oryx.data.synthetic import Sample
from oryx.data.synthetic.questions import Question, choose_turns
from oryx.data.synthetic.room_questions import IDENTITY_KINDS, KINDS, MARK_KINDS, WORDINGS
from oryx.data.synthetic.rooms import Rooms, RoomsSettings
from oryx.data.synthetic.sample import converse, whole_between
from oryx.errors import ConfigError
from oryx.processing.geometry import check_compression

WITH_MARKS, WITHOUT_MARKS, SINGLE_VIEW = WAYS = ("with_marks", "without_marks", "single_view")

RATIO = 4
_SUBSETS = 8
"""Choices of views tried in each room, for the rare kinds."""


@dataclass(frozen=True)
class RoomTest:
    """What is asked, and how it is shown."""

    rooms: int = 500
    """The first so many of the folder."""
    views: tuple[int, int] = (4, 8)
    """Fewest and most that are shown together."""
    height: int = 64
    width: int = 96
    """Pixels of each view; both 0 leaves them as they are stored."""
    questions_per_room: int = 15
    """Without numbers, at most; those about numbers come on top, as many a kind."""
    seed: int = 0
    compression: int = RATIO
    mark_size: int = MIN_SIZE
    """Diameter of a number's dot in pixels."""

    def __post_init__(self) -> None:
        for what, value, least in (
            ("rooms", self.rooms, 1),
            ("questions_per_room", self.questions_per_room, 1),
            ("views", self.views[0], 2),
        ):
            if value < least:
                raise ConfigError(f"{what} is {value}; it must be at least {least}.")
        if self.views[0] > self.views[1]:
            raise ConfigError(f"views are {self.views[0]}-{self.views[1]}; the fewest come first.")
        check_compression(self.compression)

    @property
    def views_text(self) -> str:
        """As on the command line."""
        fewest, most = self.views
        return f"{fewest}-{most}" if fewest < most else str(most)


@dataclass(frozen=True)
class RoomQuestion:
    """One question on some views of a room."""

    room: int
    """Its place in the folder."""
    views: tuple[int, ...]
    kind: str
    text: str
    expected: str
    single: int
    """Index in `views` of the one that is shown where only one is."""
    single_text: str
    options: tuple[str, ...]
    """The two things that it names to choose from, if it does."""


def open_rooms(folder: str, test: RoomTest) -> Rooms:
    """The skill that draws the rooms of a folder, all of them, without what only training needs.

    Raises:
        ConfigError: no rooms there, fewer or with fewer views than the test wants, or a setting out of range.
    """
    skill = Rooms(
        RoomsSettings(
            folder=folder,
            split="all",
            views=test.views,
            height=test.height,
            width=test.width,
            compression=(test.compression,),
            mark_size=test.mark_size,
            marks=False,
        )
    )
    if len(skill.rooms) < test.rooms:
        raise ConfigError(f"{folder} holds {len(skill.rooms)} rooms; {test.rooms} are asked for.")
    there = [len(skill.store[room]["views"]) for room in range(test.rooms)]
    if test.views[0] > min(there) or test.views[1] > max(there):
        raise ConfigError(
            f"views are {test.views_text}; the rooms of {folder} have from {min(there)} to {max(there)}: the "
            f"fewest to show together can be {min(there)}, the most {max(there)}."
        )
    return skill


def draw_questions(skill: Rooms, test: RoomTest) -> tuple[list[RoomQuestion], list[RoomQuestion]]:
    """Questions that name no number, and questions that do.

    A room's questions depend on the seed and the room alone. Each room gives one question of every kind that
    it has, or as many as `questions_per_room` allows; places that are left go to what marks are for,
    `IDENTITY_KINDS`, which fewer rooms have.
    """
    plain: list[RoomQuestion] = []
    numbered: list[RoomQuestion] = []
    share = -(-test.questions_per_room * len(MARK_KINDS) // len(KINDS))
    for room in range(test.rooms):
        rng = random.Random(f"rooms {test.seed} {room}")
        subsets = [skill.choose_views(rng, room, whole_between(rng, test.views)) for _ in range(_SUBSETS)]
        for kinds, repeated, count, found in (
            (KINDS, IDENTITY_KINDS, test.questions_per_room, plain),
            (MARK_KINDS, MARK_KINDS, share, numbered),
        ):
            pools = _pools(skill, rng, room, subsets, kinds)
            for kind, views, question in _choose(rng, pools, repeated, count):
                found.append(_worded(rng, room, views, kind, question))
    return plain, numbered


def shown(question: RoomQuestion, way: str) -> tuple[str, tuple[int, ...]]:
    """The question's words, and the views that go with them."""
    if way == SINGLE_VIEW:
        return question.single_text, (question.views[question.single],)
    return question.text, question.views


def sample_of(skill: Rooms, question: RoomQuestion, way: str) -> Sample:
    """What the model is given: the question and its visual, with the expected answer."""
    text, views = shown(question, way)
    rng = random.Random(0)  # nothing depends on it
    pictures, _ = skill.show(rng, question.room, views, drawn=way == WITH_MARKS)
    visual = {"type": "views", "views": pictures, "compression": skill.settings.compression[0]}
    return Sample("rooms", [visual], converse(rng, [(text, question.expected)]))


_Pool = list[tuple[tuple[int, ...], Question]]


def _pools(
    skill: Rooms, rng: random.Random, room: int, subsets: Sequence[Sequence[int]], kinds: Sequence[str]
) -> dict[str, _Pool]:
    """Kind -> the questions of all subsets in random order, each on the same stored views once."""
    pools: dict[str, dict[str, tuple[tuple[int, ...], Question]]] = {}
    for views in map(tuple, subsets):
        drawn = kinds == MARK_KINDS
        for kind, questions in skill.candidates(rng, room, views, drawn, kinds).items():
            for question in questions:
                named = {key: views[int(question[1][key]) - 1] for key in _named(question[1])}
                pools.setdefault(kind, {})[str((question[1] | named, None if named else views))] = (
                    views,
                    question,
                )
    return {kind: rng.sample(list(found.values()), len(found)) for kind, found in pools.items()}


def _choose(
    rng: random.Random, pools: Mapping[str, _Pool], repeated: Sequence[str], count: int
) -> Iterator[tuple[str, tuple[int, ...], Question]]:
    """Up to `count`: one of every kind, then more of the `repeated` kinds."""
    left = {kind: list(pool) for kind, pool in pools.items()}
    wanted = list(left)
    while count and wanted:
        for kind in rng.sample(wanted, min(count, len(wanted))):
            yield kind, *left[kind].pop()
            count -= 1
        wanted = [kind for kind in repeated if left.get(kind)]


def _worded(
    rng: random.Random, room: int, views: tuple[int, ...], kind: str, question: Question
) -> RoomQuestion:
    key, words, answer = question
    named = _named(words)
    shown = rng.choice(named) if named else None
    single = rng.randrange(len(views)) if shown is None else int(words[shown]) - 1
    renamed = {name: "1" if name == shown else "2" for name in named}
    wording = rng.getrandbits(32)  # the same for both texts
    text, single_text = (
        choose_turns(random.Random(wording), {kind: [(key, filled, answer)]}, 1, table=WORDINGS)[0][0]
        for filled in (words, words | renamed)
    )
    options = tuple(words[name] for name in ("first", "second") if name in words)
    return RoomQuestion(room, views, kind, text, answer, single, single_text, options)


def _named(words: Mapping[str, str]) -> list[str]:
    """Those of a question's words that are numbers of views."""
    return [name for name in ("view", "other") if name in words]
