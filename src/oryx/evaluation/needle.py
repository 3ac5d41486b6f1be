"""Needles in haystacks: a picture in a long video, at every depth, and a question that only it answers.

    stack = open_haystack("drawn", seed=0, height=32, width=32)
    result = evaluate_needle(model, processor, stack, drawn_needles(0, 32, 32), NeedleTest(frames=(100, 400)))

The haystack is encoded once for each length, and the needle's tokens are put between its frames: the tower
never looks across frames, so these are the tokens of the whole video. Prompts share the keys and values of
all frames before the needle. Both leave the answers what they are.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from oryx.data.builders.haystack.needles import Needle, Needles, needle_index, parse_depths
from oryx.data.builders.haystack.sources import Haystack
from oryx.engine.encode import VisualTokens
from oryx.engine.reader import Reader
from oryx.engine.splice import encode_frames, frame_offset, splice
from oryx.errors import ConfigError
from oryx.evaluation.metrics import Share, is_contained, is_match
from oryx.evaluation.peak_memory import PeakMemory
from oryx.processing.context import check_context, context_limit
from oryx.processing.geometry import frame_view

if TYPE_CHECKING:
    from oryx.model.modeling import OryxForConditionalGeneration
    from oryx.processing.processor import OryxProcessor

SCORES = ("exact", "contains")


@dataclass(frozen=True)
class NeedleTest:
    """What is asked."""

    frames: tuple[int, ...] = (100, 400, 1600)
    """Lengths of the video, the needle's frame among them."""
    depths: tuple[float, ...] = parse_depths("10")
    """Places of the needle in percent: 0 is the first frame, 100 the last."""
    trials: int = 10
    """Needles at each depth of each length. All lengths, and all models, have the same."""
    compression: int = 16
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

    @property
    def num_needles(self) -> int:
        """Needles of each length."""
        return len(self.depths) * self.trials

    def ask(self, needle: Needle, num_frames: int) -> str:
        """The prompt about a needle."""
        return self.prompt.replace("{frames}", str(num_frames)).replace("{question}", needle.question)


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
    """What one length takes."""

    frames: int
    visual_tokens: int
    """Positions of the video, needle included."""
    tokens_per_frame: float
    """Positions from one frame to the next, newlines and separator included: the mean."""
    prompt_tokens: int
    """Positions of the longest prompt."""
    encode_seconds: float
    """Of the haystack, once."""
    answer_seconds: float
    """Mean of a question."""
    encode_peak_bytes: int
    """Peak memory while the haystack is encoded: the whole process, or the tensors on CUDA."""
    answer_peak_bytes: int
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

    def share(self, frames: int, depth: float | None) -> NeedleShare:
        """The share of one cell, or of a length's total."""
        shares = self.totals if depth is None else self.cells
        return next(share for share in shares if (share.frames, share.depth) == (frames, depth))


def evaluate_needle(
    model: OryxForConditionalGeneration,
    processor: OryxProcessor,
    haystack: Haystack,
    needles: Needles,
    test: NeedleTest | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    done: Sequence[NeedlePart] = (),
    keep: Callable[[NeedlePart], None] | None = None,
) -> NeedleResult:
    """Measure a model, the shortest length first.

    Args:
        model, processor: as `oryx.load` gives them.
        haystack, needles: as `builders.haystack` opens them.
        progress: called with what is being done, and how much of it is, of how much.
        done: lengths that this model was measured on before, with the same haystack, needles and test.
        keep: called with every length that is measured now.

    Raises:
        ConfigError: a dial that cannot be, or a length that the model does not read. Nothing was run by then.
        MediaError: the haystack has fewer frames, or some that cannot be read.
    """
    test = test or NeedleTest()
    haystack.check(max(test.frames) - 1)
    check_room(processor, context_limit(model.config.text_config), haystack, needles, test)
    tell = progress or (lambda *_: None)
    parts = {part.cost.frames: part for part in done}
    for length in sorted(test.frames):
        if length not in parts:
            parts[length] = _evaluate_length(model, processor, haystack, needles, test, length, tell)
            if keep is not None:
                keep(parts[length])
    return NeedleResult.of(test, list(parts.values()))


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


def check_room(
    processor: OryxProcessor, limit: int | None, haystack: Haystack, needles: Needles, test: NeedleTest
) -> None:
    """Refuse, before anything runs, what no prompt of the longest video has room for.

    Args:
        limit: positions that the model reads; see `context_limit`.
    """
    view = frame_view(haystack.height, haystack.width, processor.rule, test.compression, test.max_pixels)
    length = max(test.frames)
    questions = {test.ask(needles(number), length) for number in range(test.num_needles)}
    num_text = max(processor.count_text(_turns(question), 1) for question in questions)
    num_tokens = 2 + length * (view.num_tokens + 1)
    advice = f"ask for fewer frames than {length:,}, raise compression, or lower max_pixels or max_new_tokens"
    check_context(num_tokens + num_text, test.max_new_tokens, limit, advice)


def _evaluate_length(
    model: OryxForConditionalGeneration,
    processor: OryxProcessor,
    haystack: Haystack,
    needles: Needles,
    test: NeedleTest,
    length: int,
    tell: Callable[[str, int, int], None],
) -> NeedlePart:
    dials: dict[str, Any] = {} if test.max_pixels is None else {"max_pixels": test.max_pixels}
    memory, began = PeakMemory(model.device), time.perf_counter()
    memory.start()
    video = encode_frames(
        model,
        processor,
        haystack.frames(length - 1),
        test.compression,
        dials,
        lambda done: tell(f"{length} frames, encoding", done, length - 1),
    )
    encode_seconds, encode_peak = time.perf_counter() - began, memory.read()
    numbers, _ = number_needles(needles, test)
    reader, began = Reader(model, processor), time.perf_counter()
    memory.start()
    answers: list[NeedleAnswer] = []
    longest, whole = 0, video
    for place, depth in enumerate(test.depths):
        for trial in range(test.trials):
            tell(f"{length} frames, depth {depth:g}%", len(answers), test.num_needles)
            number = place * test.trials + trial
            needle, index = needles(number), needle_index(depth, length)
            tokens = encode_frames(model, processor, [needle.image], test.compression, dials)
            whole = splice(video, tokens, index)
            ids, columns = _prompt(processor, video, tokens, whole, index, number, test.ask(needle, length))
            said = reader.answer(ids, columns, whole.embeds, test.max_new_tokens)
            longest = max(longest, len(ids))
            answers.append(
                NeedleAnswer(
                    frames=length,
                    depth=depth,
                    index=index,
                    trial=trial,
                    needle=numbers[number],
                    question=needle.question,
                    expected=needle.answer,
                    answer=said,
                    matches=is_match(said, needle.answer),
                    contains=is_contained(said, needle.answer),
                )
            )
    cost = NeedleCost(
        frames=length,
        visual_tokens=whole.num_tokens,
        tokens_per_frame=round((whole.num_tokens - 2) / length, 3),  # without begin and end
        prompt_tokens=longest,
        encode_seconds=round(encode_seconds, 3),
        answer_seconds=round((time.perf_counter() - began) / test.num_needles, 3),
        encode_peak_bytes=encode_peak,
        answer_peak_bytes=memory.read(),
    )
    return NeedlePart(cost, answers)


def _prompt(
    processor: OryxProcessor,
    video: VisualTokens,
    needle: VisualTokens,
    whole: VisualTokens,
    index: int,
    number: int,
    question: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Ids (T,) and columns (T,): a number below 0 for each embedding of the haystack and of each needle."""
    sample = processor.encode_sample(_turns(question), [whole.stand_in()], supervise=None)
    start = sample.spans[0][0]
    columns = sample.ids.astype(np.int64, copy=True)
    own = -1 - np.arange(video.num_tokens)
    others = -((number + 1) << 32) - np.arange(needle.num_tokens - 2)
    at = frame_offset(video.views, index)
    columns[start : start + whole.num_tokens] = np.concatenate([own[:at], others, own[at:]])
    return sample.ids, columns


def _turns(question: str) -> list[dict[str, str | None]]:
    return [{"from": "human", "value": f"<image>\n{question}"}, {"from": "gpt", "value": None}]


def _share(answers: list[NeedleAnswer], score: str, frames: int, depth: float | None) -> NeedleShare:
    own = [answer for answer in answers if answer.frames == frames and depth in (None, answer.depth)]
    share = Share.of([answer.is_right(score) for answer in own], [answer.needle for answer in own])
    return NeedleShare(**vars(share), frames=frames, depth=depth)
