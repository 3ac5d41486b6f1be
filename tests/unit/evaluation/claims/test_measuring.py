"""Measures count right answers; films, needles and rooms are asked as the plan says."""

import dataclasses

import pytest
from made_rooms import random_room, write_rooms

from oryx.evaluation.claims.arms import Measure
from oryx.evaluation.claims.materials import material_of
from oryx.evaluation.claims.measuring import measure_arm, questions_of
from oryx.evaluation.claims.plan import ARMS


def answer_sequence(monkeypatch, wrong):
    """Models that answer everything right, but each `wrong`-th question."""
    counted = []

    def answer(model, processor, drawn, max_new_tokens, dials):
        said = []
        for sample in drawn:
            counted.append(sample)
            said.append("?" if len(counted) % wrong == 0 else sample.conversations[1]["value"])
        return said, 10 * len(drawn)

    monkeypatch.setattr("oryx.evaluation.claims.measuring.answer_samples", answer)
    return counted


@pytest.mark.parametrize(("name", "measure"), [("square", "color"), ("films", "letter at 16x")])
def test_right_answers_are_counted(monkeypatch, name, measure):
    arm = ARMS[name]
    only = next(dataclasses.replace(one, questions=60) for one in arm.measures if one.name == measure)
    asked = answer_sequence(monkeypatch, wrong=4)
    found = measure_arm(dataclasses.replace(arm, measures=(only,)), None, None, seed=0)[measure]
    assert (found.accuracy, found.num_questions, found.visual_tokens) == (0.75, 60, 10.0)
    assert found.pixels == (64 * 64 if name == "square" else 18 * 32 * 64)
    assert found.chance == only.chance
    assert len(asked) == 60
    assert all(len(sample.conversations) == 2 for sample in asked)


def test_arms_of_a_seed_are_asked_the_same_and_other_seeds_others():
    measure = ARMS["native"].measures[0]

    def answers(name, seed):
        source = questions_of(ARMS[name], measure, seed)
        return [source[index].conversations[1]["value"] for index in range(30)]

    assert answers("native", 0) == answers("square", 0)
    assert answers("native", 0) != answers("native", 1)


@pytest.fixture(scope="module")
def small():
    from oryx.evaluation.claims.training import build_arm

    return build_arm(ARMS["base"], 0, {})


def test_needles(small):
    model, processor = small
    measure = Measure(name="20 frames", material="needles", task="20", questions=10, chance=1 / 6)
    arm = dataclasses.replace(ARMS["needles"], measures=(measure,))
    found = measure_arm(arm, model.eval(), processor, 0)["20 frames"]
    assert found.num_questions == 10
    assert found.visual_tokens == 2 + 20 * 3
    assert found.pixels == 20 * 32 * 32
    assert len(found.details["by_depth"]) == 10


def test_rooms_are_asked_in_the_arms_own_way(small, tmp_path):
    model, processor = small
    write_rooms(tmp_path / "test", [random_room(number) for number in range(3)])
    for name, own in (("rooms_marked", "with_marks"), ("rooms_plain", "without_marks")):
        measures = tuple(
            dataclasses.replace(one, questions=5) for one in ARMS[name].measures if one.name == "across views"
        )
        arm = dataclasses.replace(ARMS[name], measures=measures)
        found = measure_arm(arm, model.eval(), processor, 0, str(tmp_path))["across views"]
        assert found.accuracy == found.details[own]["share"]
        assert 0 < found.chance < 1
        assert found.pixels / (64 * 96) == pytest.approx((found.visual_tokens - 2) / 29)


def test_only_one_material_has_needles_and_long_videos():
    def lengths(name):
        source = material_of(name, 5)
        drawn = [source[index] for index in range(60)]
        return {sample.skill for sample in drawn}, [len(sample.visuals[0]["video"]) for sample in drawn]

    skills, frames = lengths("needles")
    assert "needle" in skills
    assert max(frames) > 64
    skills, frames = lengths("short_videos")
    assert skills == {"video_order", "frame_at"}
    assert max(frames) <= 16
