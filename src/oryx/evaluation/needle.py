"""Needles in haystacks: a picture in a long video, at every depth, and a question that only it answers.

    stack = open_haystack("drawn", seed=0, height=32, width=32)
    result = evaluate_needle(model, processor, stack, drawn_needles(0, 32, 32), NeedleTest(frames=(100, 400)))

The haystack is encoded once for each length, and the needle's tokens are put between its frames: the tower
never looks across frames, so these are the tokens of the whole video. Prompts share the keys and values of
all frames before the needle. Both leave the answers what they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from oryx.data.builders.haystack.needles import Needle, Needles, needle_index
from oryx.data.builders.haystack.sources import Haystack
from oryx.engine.encode import VisualTokens
from oryx.engine.reader import Reader
from oryx.engine.splice import encode_frames, frame_offset, splice
from oryx.errors import ConfigError
from oryx.evaluation.metrics import is_contained, is_match, wilson_interval
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
    depths: tuple[float, ...] = (0.0, 25.0, 50.0, 75.0, 100.0)
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
    question: str
    expected: str
    answer: str
    exact: bool
    contains: bool


@dataclass(frozen=True)
class NeedleShare:
    """Right answers of a length, or of one depth of it."""

    frames: int
    depth: float | None
    """None: of all depths."""
    num_right: int
    num_trials: int
    share: float
    interval: tuple[float, float]
    """95%, Wilson's."""


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
class NeedleResult:
    """One model on all lengths."""

    cells: list[NeedleShare]
    totals: list[NeedleShare]
    costs: list[NeedleCost]
    answers: list[NeedleAnswer] = field(default_factory=list)

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
) -> NeedleResult:
    """Measure a model, the shortest length first.

    Args:
        model, processor: as `oryx.load` gives them.
        haystack, needles: as `builders.haystack` opens them.
        progress: called with what is being done, and how much of it is, of how much.

    Raises:
        ConfigError: a dial that cannot be, or a length that the model does not read. Nothing was run by then.
        MediaError: the haystack has fewer frames, or some that cannot be read.
    """
    test = test or NeedleTest()
    lengths = sorted(test.frames)
    haystack.check(lengths[-1] - 1)
    _check_room(model, processor, haystack, needles, test)
    tell = progress or (lambda *_: None)
    answers: list[NeedleAnswer] = []
    costs = []
    for length in lengths:
        own, cost = _evaluate_length(model, processor, haystack, needles, test, length, tell)
        answers += own
        costs.append(cost)
    cells = [_share(answers, test.score, length, depth) for length in lengths for depth in test.depths]
    totals = [_share(answers, test.score, length, None) for length in lengths]
    return NeedleResult(cells, totals, costs, answers)


def _evaluate_length(
    model: OryxForConditionalGeneration,
    processor: OryxProcessor,
    haystack: Haystack,
    needles: Needles,
    test: NeedleTest,
    length: int,
    tell: Callable[[str, int, int], None],
) -> tuple[list[NeedleAnswer], NeedleCost]:
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
    reader, began = Reader(model, processor), time.perf_counter()
    memory.start()
    answers: list[NeedleAnswer] = []
    total, longest, whole = len(test.depths) * test.trials, 0, video
    for place, depth in enumerate(test.depths):
        for trial in range(test.trials):
            tell(f"{length} frames, depth {depth:g}%", len(answers), total)
            number = place * test.trials + trial
            needle, index = needles(number), needle_index(depth, length)
            tokens = encode_frames(model, processor, [needle.image], test.compression, dials)
            whole = splice(video, tokens, index)
            ids, columns = _prompt(processor, video, tokens, whole, index, number, test.ask(needle, length))
            said = reader.answer(ids, columns, whole.embeds, test.max_new_tokens)
            longest = max(longest, len(ids))
            right = is_match(said, needle.answer), is_contained(said, needle.answer)
            asked = needle.question, needle.answer
            answers.append(NeedleAnswer(length, depth, index, trial, *asked, said, *right))
    cost = NeedleCost(
        frames=length,
        visual_tokens=whole.num_tokens,
        tokens_per_frame=round((whole.num_tokens - 2) / length, 3),  # without begin and end
        prompt_tokens=longest,
        encode_seconds=round(encode_seconds, 3),
        answer_seconds=round((time.perf_counter() - began) / total, 3),
        encode_peak_bytes=encode_peak,
        answer_peak_bytes=memory.read(),
    )
    return answers, cost


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


def _check_room(
    model: OryxForConditionalGeneration,
    processor: OryxProcessor,
    haystack: Haystack,
    needles: Needles,
    test: NeedleTest,
) -> None:
    """Refuse, before anything runs, what no prompt of the longest video has room for."""
    view = frame_view(haystack.height, haystack.width, processor.rule, test.compression, test.max_pixels)
    length = max(test.frames)
    questions = {test.ask(needles(number), length) for number in range(len(test.depths) * test.trials)}
    num_text = max(processor.count_text(_turns(question), 1) for question in questions)
    num_tokens = 2 + length * (view.num_tokens + 1)
    check_context(num_tokens + num_text, test.max_new_tokens, context_limit(model.config.text_config))


def _share(answers: list[NeedleAnswer], score: str, frames: int, depth: float | None) -> NeedleShare:
    own = [answer for answer in answers if answer.frames == frames and depth in (None, answer.depth)]
    num_right = sum(answer.exact if score == "exact" else answer.contains for answer in own)
    interval = wilson_interval(num_right, len(own))
    return NeedleShare(frames, depth, num_right, len(own), num_right / len(own), interval)
