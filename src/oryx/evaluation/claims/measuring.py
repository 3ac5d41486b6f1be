"""What is measured of a trained arm: shares of right answers to fresh questions, their tokens and pixels."""

from __future__ import annotations

import dataclasses
import zlib
from typing import Any

from oryx.data.builders.haystack.needles import drawn_needles, parse_depths
from oryx.data.builders.haystack.sources import open_haystack
from oryx.data.synthetic.settings import FIRST_TEST_SEED
from oryx.data.synthetic.source import Source
from oryx.evaluation.answers import answer_samples, question_of
from oryx.evaluation.claims.arms import Arm, Measure, Measured
from oryx.evaluation.claims.boards import Boards, BoardSettings, Films, FilmSettings
from oryx.evaluation.claims.views import Indexed, Looked, encoded_in
from oryx.evaluation.metrics import is_exact
from oryx.evaluation.needle.evaluate import NeedleTest, evaluate_needle
from oryx.evaluation.rooms.evaluate import RoomResult, evaluate_rooms
from oryx.evaluation.rooms.questions import WITH_MARKS, WITHOUT_MARKS, RoomTest
from oryx.processing.geometry import ResizeRule, frame_view

BATCH = 50
_MAX_NEW_TOKENS = 4
_NEEDLE_SIDE, _DEPTHS = 32, 10
_PER_ROOM = 15


def measure_arm(
    arm: Arm, model: Any, processor: Any, seed: int, rooms: str | None = None
) -> dict[str, Measured]:
    """All measures of an arm by name.

    Args:
        model, processor: as `training.train_arm` gives them.
        seed: of the questions: all arms of a seed have the same ones, those of another seed are others.
        rooms: folder with the rooms "train" and "test".
    """
    measured: dict[str, Measured] = {}
    room_result: RoomResult | None = None
    for measure in arm.measures:
        if measure.material in ("boards", "films"):
            source = questions_of(arm, measure, seed)
            measured[measure.name] = _measure_questions(measure, source, model, processor)
        elif measure.material == "needles":
            measured[measure.name] = _measure_needles(measure, model, processor, seed)
        else:
            if room_result is None:
                room_result = _ask_rooms(measure, model, processor, seed, f"{rooms}/test")
            measured[measure.name] = _of_rooms(arm, measure, room_result, processor.rule)
    return measured


def questions_of(arm: Arm, measure: Measure, seed: int) -> Indexed:
    """Fresh boards or films with one question each, as they are looked at."""
    skill = (
        Boards(BoardSettings(tasks=(measure.task,)), marks=False)
        if measure.material == "boards"
        else Films(FilmSettings(tasks=(measure.task,)), marks=False)
    )
    drawn = FIRST_TEST_SEED + 1000 * seed + zlib.crc32(f"{measure.material} {measure.task}".encode()) % 1000
    views = measure.views or arm.views
    assert views is not None
    return Looked(Source({measure.material: (1.0, skill)}, drawn), views)


def _measure_questions(measure: Measure, source: Indexed, model: Any, processor: Any) -> Measured:
    right = tokens = pixels = 0
    for start in range(0, measure.questions, BATCH):
        drawn = [source[index] for index in range(start, min(start + BATCH, measure.questions))]
        answers, num_tokens = answer_samples(model, processor, drawn, _MAX_NEW_TOKENS, {})
        tokens += num_tokens
        for sample, answer in zip(drawn, answers, strict=True):
            right += is_exact(answer, question_of(sample)[1])
            pixels += sum(view.height * view.width for view in encoded_in(sample).views)
    number = measure.questions
    return Measured(right / number, number, tokens / number, pixels / number, measure.chance)


def _measure_needles(measure: Measure, model: Any, processor: Any, seed: int) -> Measured:
    length = int(measure.task)
    trials = max(1, round(measure.questions / _DEPTHS))
    test = NeedleTest(frames=(length,), depths=parse_depths(str(_DEPTHS)), trials=trials)
    drawn = FIRST_TEST_SEED + seed
    haystack = open_haystack("drawn", drawn, _NEEDLE_SIDE, _NEEDLE_SIDE)
    needles = drawn_needles(drawn, _NEEDLE_SIDE, _NEEDLE_SIDE)
    result = evaluate_needle(model, processor, haystack, needles, test)
    total, cost = result.share(length, None), result.costs[0]
    view = frame_view(_NEEDLE_SIDE, _NEEDLE_SIDE, processor.rule, test.compression)
    assert cost.visual_tokens is not None  # as it is of endpoints alone
    by_depth = {f"{cell.depth:g}": round(cell.share, 4) for cell in result.cells}
    return Measured(
        accuracy=total.share,
        num_questions=total.num_trials,
        visual_tokens=cost.visual_tokens,
        pixels=length * view.height * view.width,
        chance=measure.chance,
        details={"by_depth": by_depth},
    )


def _ask_rooms(measure: Measure, model: Any, processor: Any, seed: int, folder: str) -> RoomResult:
    test = RoomTest(
        rooms=max(1, round(3 * measure.questions / _PER_ROOM)), questions_per_room=_PER_ROOM, seed=seed
    )
    return evaluate_rooms(model, processor, folder, test)


def _of_rooms(arm: Arm, measure: Measure, result: RoomResult, rule: ResizeRule) -> Measured:
    """A group's share in the arm's own way; the other way is kept beside it."""
    own = WITH_MARKS if arm.material == "rooms_marked" else WITHOUT_MARKS
    group = next(found for found in result.groups if found.name == measure.task)
    test = RoomTest()
    view = frame_view(test.height, test.width, rule, test.compression)
    tokens = result.visual_tokens[own]
    assert tokens is not None  # as it is of endpoints alone
    views = (tokens - 2) / (view.num_tokens + 1)
    return Measured(
        accuracy=group.ways[own].share,
        num_questions=group.num_questions,
        visual_tokens=tokens,
        pixels=views * view.height * view.width,
        chance=group.blind_share,
        details={way: dataclasses.asdict(share) for way, share in group.ways.items()},
    )
