"""What a test of needles asks, and what comes of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from oryx.data.builders.haystack.needles import Needle, Needles, needle_index, parse_depths
from oryx.errors import ConfigError
from oryx.evaluation.metrics import Share, is_blank, is_contained, is_match

SCORES = ("exact", "contains")
RATIO = 16


@dataclass(frozen=True)
class NeedleTest:
    """What is asked."""

    frames: tuple[int, ...] = (100, 400, 1600)
    """Lengths of the video, the needle's frame among them."""
    depths: tuple[float, ...] = parse_depths("10")
    """Places of the needle in percent: 0 is the first frame, 100 the last."""
    trials: int = 10
    """Needles at each depth of each length. All lengths, and all models, have the same."""
    compression: int = RATIO
    max_pixels: int | None = None
    prompt: str = "{question}"
    """May hold `{frames}`, the length of the video."""
    score: str = "exact"
    """"exact" (but for case, space and a full stop) or "contains": what counts as right."""
    max_new_tokens: int = 24

    def __post_init__(self) -> None:
        if self.score not in SCORES:
            raise ConfigError(f"score is {self.score!r}; allowed: {', '.join(SCORES)}.")
        for name in ("trials", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1.")
        if not self.frames or min(self.frames) < 2 or not self.depths:
            raise ConfigError("at least one depth is needed, and lengths of 2 frames or more.")
        if "{question}" not in self.prompt:
            raise ConfigError("the prompt must hold {question}; {frames} is the length of the video.")
        for place in re.findall(r"\{\w+\}", self.prompt):
            if place not in ("{question}", "{frames}"):
                raise ConfigError(f"the prompt holds {place}; allowed: {{question}} and {{frames}}.")
        for length in self.frames:
            if len({needle_index(depth, length) for depth in self.depths}) < len(self.depths):
                raise ConfigError(
                    f"{len(self.depths)} depths are too many for {length} frames: two would be one frame."
                )

    @property
    def num_needles(self) -> int:
        """Needles of each length."""
        return len(self.depths) * self.trials

    def places(self, frames: int) -> list[Place]:
        """Where the needles of a length are, in the order in which they are asked about."""
        return [
            Place(frames, depth, trial) for depth in range(len(self.depths)) for trial in range(self.trials)
        ]

    def ask(self, needle: Needle, num_frames: int) -> str:
        """The prompt about a needle."""
        return self.prompt.replace("{frames}", str(num_frames)).replace("{question}", needle.question)


@dataclass(frozen=True)
class Place:
    """Where a needle is."""

    frames: int
    depth: int
    """Index into the depths of the test."""
    trial: int

    def number(self, test: NeedleTest) -> int:
        """Which needle it is; all lengths have the same."""
        return self.depth * test.trials + self.trial

    def index(self, test: NeedleTest) -> int:
        """Frame that it is."""
        return needle_index(test.depths[self.depth], self.frames)


@dataclass(frozen=True)
class NeedleAnswer:
    """One needle at one place."""

    frames: int
    depth: float
    index: int
    """Frame that the needle is."""
    trial: int
    needle: int
    """Which needle; one that a file gives again has the number that it had first."""
    question: str
    expected: str
    answer: str
    matches: bool
    """But for case, space and a full stop."""
    contains: bool
    problem: str | None = None
    """Why there is no answer, where a server gave none."""

    @classmethod
    def judged(
        cls,
        test: NeedleTest,
        place: Place,
        number: int,
        needle: Needle,
        answer: str,
        problem: str | None = None,
    ) -> NeedleAnswer:
        """An answer about a needle; `number` is that of `number_needles`. What says nothing is wrong."""
        says = not is_blank(answer)
        return cls(
            frames=place.frames,
            depth=test.depths[place.depth],
            index=place.index(test),
            trial=place.trial,
            needle=number,
            question=needle.question,
            expected=needle.answer,
            answer=answer,
            matches=says and is_match(answer, needle.answer),
            contains=says and is_contained(answer, needle.answer),
            problem=problem,
        )

    def is_right(self, score: str) -> bool:
        """Whether it counts as right under one of `SCORES`."""
        return self.matches if score == "exact" else self.contains


@dataclass(frozen=True)
class NeedleShare(Share):
    """Right answers of a length, or of one depth of it. Clusters are the needles."""

    frames: int
    depth: float | None
    """None: of all depths."""


@dataclass(frozen=True)
class NeedleCost:
    """What one length takes; None is what a server does not tell."""

    frames: int
    visual_tokens: int | None
    """Positions of the video, needle included."""
    tokens_per_frame: float | None
    """Positions from one frame to the next, newlines and separator included: the mean."""
    prompt_tokens: int | None
    """Positions of the longest prompt."""
    encode_seconds: float | None
    """Of the haystack, once."""
    answer_seconds: float
    """Mean of a question."""
    encode_peak_bytes: int | None
    """Peak memory while the haystack is encoded: the whole process, or the tensors on CUDA."""
    answer_peak_bytes: int | None
    """The same while questions are answered: keys and values of the prompt included."""


@dataclass(frozen=True)
class NeedlePart:
    """One model on one length."""

    cost: NeedleCost
    answers: list[NeedleAnswer]


@dataclass(frozen=True)
class NeedleResult:
    """One model on all lengths."""

    cells: list[NeedleShare]
    totals: list[NeedleShare]
    costs: list[NeedleCost]
    answers: list[NeedleAnswer] = field(default_factory=list)

    @classmethod
    def of(cls, test: NeedleTest, parts: Sequence[NeedlePart]) -> NeedleResult:
        """The result of a test, from a part for each of its lengths."""
        by_length = {part.cost.frames: part for part in parts}
        lengths = sorted(test.frames)
        answers = [answer for length in lengths for answer in by_length[length].answers]
        return cls(
            cells=[_share(answers, test.score, length, depth) for length in lengths for depth in test.depths],
            totals=[_share(answers, test.score, length, None) for length in lengths],
            costs=[by_length[length].cost for length in lengths],
            answers=answers,
        )

    @property
    def num_unparsed(self) -> int:
        """Answers that say nothing, or never came: wrong, whatever was expected."""
        return sum(is_blank(answer.answer) for answer in self.answers)

    def share(self, frames: int, depth: float | None) -> NeedleShare:
        """The share of one cell, or of a length's total."""
        shares = self.totals if depth is None else self.cells
        return next(share for share in shares if (share.frames, share.depth) == (frames, depth))


def number_needles(needles: Needles, test: NeedleTest) -> tuple[list[int], str]:
    """For each needle of a test the first that is the same one, and a SHA-256 of all of them."""
    first: dict[bytes, int] = {}
    numbers, whole = [], hashlib.sha256()
    for number in range(test.num_needles):
        needle = needles(number)
        text = f"{needle.question}\n{needle.answer}\n{needle.image.size}\n"
        digest = hashlib.sha256(text.encode() + needle.image.tobytes()).digest()
        whole.update(digest)
        numbers.append(first.setdefault(digest, number))
    return numbers, whole.hexdigest()


def _share(answers: list[NeedleAnswer], score: str, frames: int, depth: float | None) -> NeedleShare:
    own = [answer for answer in answers if answer.frames == frames and depth in (None, answer.depth)]
    share = Share.of([answer.is_right(score) for answer in own], [answer.needle for answer in own])
    return NeedleShare(**vars(share), frames=frames, depth=depth)
