"""Needles in haystacks, asked of a model behind an address: each question brings the whole video with it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from PIL import Image

from oryx.data.builders.haystack.needles import Needles
from oryx.data.builders.haystack.sources import Haystack
from oryx.data.synthetic import Sample
from oryx.evaluation.answers import answer_all
from oryx.evaluation.endpoint_answers import EndpointAnswerer
from oryx.evaluation.journal import Journal, Kept, Key
from oryx.evaluation.needle.trials import (
    NeedleAnswer,
    NeedleCost,
    NeedlePart,
    NeedleResult,
    NeedleTest,
    Place,
    number_needles,
)


def measure_needle(
    answerer: EndpointAnswerer,
    haystack: Haystack,
    needles: Needles,
    test: NeedleTest,
    progress: Callable[[str, int, int], None] | None = None,
    kept: Kept | None = None,
) -> NeedleResult:
    """Measure whoever answers, the shortest length first, on the questions of `evaluate_needle`.

    Frames are read once a length and lie in memory. What an answer costs is known to the server alone, but
    for its visual tokens, where it tells them.

    Args:
        progress: called with what is being done, and how much of it is, of how much.
        kept: answers of an earlier run of the same settings; it gets those that come.

    Raises:
        MediaError: the haystack has fewer frames, or some that cannot be read.
        EndpointError, ConfigError: see `EndpointAnswerer`.
    """
    haystack.check(max(test.frames) - 1)
    kept = Journal.in_memory() if kept is None else kept
    tell = progress or (lambda *_: None)
    numbers, _ = number_needles(needles, test)
    dials: dict[str, Any] = {"compression": test.compression} if answerer.is_oryx else {}
    if test.max_pixels is not None:
        dials["max_pixels"] = test.max_pixels
    total, done = len(test.frames) * test.num_needles, 0
    parts = []
    for length in sorted(test.frames):

        def advance(number: int, length: int = length) -> None:
            nonlocal done
            done += number
            tell(f"{length} frames", done, total)

        places = test.places(length)
        keys: list[Key] = [(place.frames, place.depth, place.trial) for place in places]
        frames = [] if all(key in kept for key in keys) else list(haystack.frames(length - 1))
        answered = answer_all(
            answerer,
            keys,
            partial(_draw, frames, needles, test),
            test.max_new_tokens,
            dials,
            answerer.requests,
            kept,
            advance,
        )
        answers = [
            NeedleAnswer.judged(
                test,
                place,
                numbers[place.number(test)],
                needles(place.number(test)),
                one.answer,
                one.problem,
            )
            for place, one in zip(places, answered, strict=True)
        ]
        tokens = next((one.visual_tokens for one in answered if one.visual_tokens is not None), None)
        cost = NeedleCost(
            frames=length,
            visual_tokens=tokens,
            tokens_per_frame=None if tokens is None else round((tokens - 2) / length, 3),
            prompt_tokens=None,
            encode_seconds=None,
            answer_seconds=round(sum(one.seconds for one in answered) / len(answered), 3),
            encode_peak_bytes=None,
            answer_peak_bytes=None,
        )
        parts.append(NeedlePart(cost, answers))
    return NeedleResult.of(test, parts)


def _draw(frames: list[Image.Image], needles: Needles, test: NeedleTest, key: Key) -> Sample:
    length, depth, trial = (int(number or 0) for number in key)
    place = Place(length, depth, trial)
    needle, index = needles(place.number(test)), place.index(test)
    video = {"type": "video", "video": [*frames[:index], needle.image, *frames[index:]]}
    turns = [
        {"from": "human", "value": f"<image>\n{test.ask(needle, length)}"},
        {"from": "gpt", "value": needle.answer},
    ]
    return Sample("needle", [video], turns)
