"""Needles in haystacks: a picture in a long video, at every depth, and a question that only it answers.

    stack = open_haystack("drawn", seed=0, height=32, width=32)
    result = evaluate_needle(model, processor, stack, drawn_needles(0, 32, 32), NeedleTest(frames=(100, 400)))

The haystack is encoded once for each length, and the needle's tokens are put between its frames: the tower
never looks across frames, so these are the tokens of the whole video. Prompts share the keys and values of
all frames before the needle. Both leave the answers what they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from oryx.data.builders.haystack.needles import Needles
from oryx.data.builders.haystack.sources import Haystack
from oryx.engine.encode import VisualTokens
from oryx.engine.reader import Reader
from oryx.engine.splice import encode_frames, frame_offset, splice
from oryx.evaluation.needle.trials import (
    SCORES,
    NeedleAnswer,
    NeedleCost,
    NeedlePart,
    NeedleResult,
    NeedleShare,
    NeedleTest,
    number_needles,
)
from oryx.evaluation.peak_memory import PeakMemory
from oryx.processing.context import check_context, context_limit
from oryx.processing.geometry import frame_view

if TYPE_CHECKING:
    from oryx.model.modeling import OryxForConditionalGeneration
    from oryx.processing.processor import OryxProcessor

__all__ = [
    "SCORES",
    "NeedleAnswer",
    "NeedleCost",
    "NeedlePart",
    "NeedleResult",
    "NeedleShare",
    "NeedleTest",
    "check_room",
    "evaluate_needle",
    "number_needles",
]


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
    for place in test.places(length):
        tell(f"{length} frames, depth {test.depths[place.depth]:g}%", len(answers), test.num_needles)
        number, index = place.number(test), place.index(test)
        needle = needles(number)
        tokens = encode_frames(model, processor, [needle.image], test.compression, dials)
        whole = splice(video, tokens, index)
        ids, columns = _prompt(processor, video, tokens, whole, index, number, test.ask(needle, length))
        said = reader.answer(ids, columns, whole.embeds, test.max_new_tokens)
        longest = max(longest, len(ids))
        answers.append(NeedleAnswer.judged(test, place, numbers[number], needle, said))
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
