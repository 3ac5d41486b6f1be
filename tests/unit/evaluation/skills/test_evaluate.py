"""The suite asks one question per sample, scores exactly, and refuses what it cannot do before it starts."""

import json
import zipfile
from pathlib import Path

import pytest
from PIL import Image

import oryx
from oryx.data.pictures.store import FILE_NAME, INDEX_NAME
from oryx.errors import ConfigError
from oryx.evaluation.metrics import events_named
from oryx.evaluation.skills.evaluate import (
    FIRST_TEST_SEED,
    TESTS,
    drawable_tests,
    evaluate_skills,
    make_test_source,
)

from ..conftest import TINY, ScriptedModel

# Pictures of these need no font installed.
DRAWN = [name for name, test in TESTS.items() if not {"words", "pages"} & set(test.skills)]


def expected_answers(name, number, **options):
    source = make_test_source(name, **options)
    return [source[index].conversations[1]["value"] for index in range(number)]


@pytest.mark.parametrize("name", DRAWN)
def test_each_test_asks_one_question_without_marks(name, picture_store):
    source = make_test_source(name, pictures=picture_store)
    for index in range(20):
        sample = source[index]
        assert len(sample.conversations) == 2
        assert all("marks" not in visual for visual in sample.visuals)


def test_count_asks_for_all_and_for_one_color():
    source = make_test_source("count")
    questions = [source[index].conversations[0]["value"] for index in range(60)]
    of_color = [any(f" {color} " in text for color in ("red", "green", "blue")) for text in questions]
    assert 0 < sum(of_color) < 60


def test_things_are_asked_about_from_pictures_never_trained_on(picture_store, processor):
    known, new = (
        make_test_source(name, pictures=picture_store) for name in ("things_known", "things_new_style")
    )
    for source, style in ((known, "clipart"), (new, "noto")):
        skill = source.skills["things"][1]
        assert {picture.style for found in skill.pictures.values() for picture in found} == {style}
        assert source[0].conversations[1]["value"].split()[0] in ("a", "an", "some")
    model = ScriptedModel(processor, expected_answers("things_known", 3, pictures=picture_store))
    (result,) = evaluate_skills(model, processor, ["things_known"], samples=3, pictures=picture_store)
    assert result.num_right == 3


def test_without_pictures_all_other_tests_remain(picture_store):
    left_out = set(TESTS) - set(drawable_tests(None))
    assert left_out == {"things_known", "things_new_style"}
    assert drawable_tests(picture_store) == list(TESTS)


def test_lines_are_of_unseen_words_and_fonts():
    for name in ("lines", "page"):
        (settings,) = TESTS[name].skills.values()
        assert (settings["fonts"], settings["word_split"]) == ("test", "test")


def test_events_told_in_part_count_in_part(processor):
    expected = expected_answers("video_describe", 2)
    first = expected[0].split(", then ")
    given = [first[0], expected[1]]
    (result,) = evaluate_skills(ScriptedModel(processor, given), processor, ["video_describe"], samples=2)
    assert result.accuracy == pytest.approx((1 / len(first) + 1) / 2)
    assert result.num_right == 1
    assert result.interval[0] < result.accuracy < result.interval[1]


def test_right_answers_score_one(processor):
    model = ScriptedModel(processor, expected_answers("color", 5))
    (result,) = evaluate_skills(model, processor, ["color"], samples=5, batch_size=2)
    assert (result.test, result.num_right, result.accuracy, result.token_f1) == ("color", 5, 1.0, 1.0)
    assert result.interval[0] == pytest.approx(0.5655, abs=1e-4)
    assert result.wrong == []


def test_the_same_answer_stands_beside_the_result(processor):
    expected = expected_answers("shape", 20)
    (result,) = evaluate_skills(ScriptedModel(processor, expected), processor, ["shape"], samples=20)
    assert result.same_answer == max(map(expected.count, expected)) / 20
    told = expected_answers("video_describe", 2)
    (result,) = evaluate_skills(ScriptedModel(processor, told), processor, ["video_describe"], samples=2)
    assert result.same_answer == (1 + events_named(told[0], told[1])) / 2  # as the test is scored


def test_wrong_answers_are_counted_and_some_are_kept(processor):
    expected = expected_answers("what_at", 10)
    given = [*expected[:3], *[f"{answer} x" for answer in expected[3:]]]
    (result,) = evaluate_skills(ScriptedModel(processor, given), processor, ["what_at"], samples=10)
    assert (result.num_right, result.accuracy) == (3, 0.3)
    assert result.token_f1 == pytest.approx((3 + 7 * 0.8) / 10)  # two words right, a third too many
    assert [item.index for item in result.wrong] == [3, 4, 5, 6, 7]
    assert (result.wrong[0].expected, result.wrong[0].answer) == (expected[3], given[3])
    assert not result.wrong[0].question.startswith("<image>")


def test_generation_is_greedy_left_padded_and_reports_progress(processor):
    model, seen = ScriptedModel(processor, [""] * 10), []
    evaluate_skills(
        model,
        processor,
        ["shape", "place"],
        samples=5,
        batch_size=4,
        progress=lambda name, number: seen.append((name, number)),
    )
    assert seen == [("shape", 4), ("shape", 1), ("place", 4), ("place", 1)]
    for call in model.calls:
        assert (call["do_sample"], call["num_beams"]) == (False, 1)
        assert call["attention_mask"][:, -1].all()


def test_dial_changes_tokens_and_nothing_else(processor):
    tokens, questions = [], []
    for compression, max_pixels in ((None, None), (4, None), (None, 64 * 64)):
        model = ScriptedModel(processor, ["no"] * 4)
        (result,) = evaluate_skills(
            model, processor, ["color"], samples=4, compression=compression, max_pixels=max_pixels
        )
        assert (result.compression, result.max_pixels) == (compression, max_pixels)
        tokens.append(result.visual_tokens)
        questions.append([(item.question, item.expected) for item in result.wrong])
    assert tokens[1] < tokens[0]
    assert tokens[2] < tokens[0]
    assert questions[0] == questions[1] == questions[2]


def test_detail_is_for_pictures_only(processor):
    model = ScriptedModel(processor, [""] * 2)
    results = evaluate_skills(model, processor, ["color", "video_direction"], samples=1, detail="low")
    assert [result.detail for result in results] == ["low", "low"]


def test_seed_decides_the_samples():
    same, again, other = (make_test_source("place", seed)[0] for seed in (10_000_000, 10_000_000, 10_000_001))
    assert same.visuals[0]["image"].tobytes() == again.visuals[0]["image"].tobytes()
    assert isinstance(other.visuals[0]["image"], Image.Image)
    assert same.visuals[0]["image"].tobytes() != other.visuals[0]["image"].tobytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"skills": ["colour"]}, "Unknown test 'colour'; did you mean 'color'"),
        ({"skills": ["zzz"]}, r"Unknown test 'zzz' \(known: words, "),
        ({"samples": 0}, "samples is 0; it must be at least 1"),
        ({"batch_size": 0}, "batch_size is 0; it must be at least 1"),
        ({"seed": 7}, f"seed is 7; it must be at least {FIRST_TEST_SEED}"),
        ({"compression": 3}, "^compression 3 is not one of the ratios 1, 2, 4, 8, 16"),
        ({"detail": "medium"}, "^detail is 'medium'; allowed: high, low"),
        (
            {"skills": ["things_known"]},
            "Test 'things_known' needs pictures: make a store with `oryx data pictures",
        ),
        ({"skills": ["things_known"], "pictures": "/no/store"}, "No store of pictures at /no/store"),
    ],
)
def test_refused_before_anything_runs(processor, arguments, message):
    model = ScriptedModel(processor, [])
    with pytest.raises(ConfigError, match=message):
        evaluate_skills(model, processor, **{"skills": ["color"], "samples": 1, **arguments})
    assert model.calls == []


def test_answers_of_a_real_model_do_not_depend_on_the_batch():
    model, processor = oryx.load(TINY, dtype="float32", device="cpu")
    runs = [
        evaluate_skills(model, processor, ["color", "video_direction"], samples=3, batch_size=size)
        for size in (1, 3)
    ]
    answers = [[item.answer for result in run for item in result.wrong] for run in runs]
    assert answers[0] == answers[1]
    assert len(answers[0]) == 6  # random weights: nothing is right


def test_a_partial_store_is_no_test(picture_store, tmp_path):
    """It holds out other pictures than the whole one: a model may have been trained on them."""
    with zipfile.ZipFile(Path(picture_store) / FILE_NAME) as whole:
        files = {name: whole.read(name) for name in whole.namelist()}
    index = {**json.loads(files[INDEX_NAME]), "missing": ["noto", "clipart"]}
    with zipfile.ZipFile(tmp_path / FILE_NAME, "w") as partial:
        for name, data in {**files, INDEX_NAME: json.dumps(index)}.items():
            partial.writestr(name, data)
    with pytest.raises(ConfigError, match=r"lacks the pictures of noto, clipart; .*without --partial"):
        make_test_source("things_known", pictures=str(tmp_path))
    make_test_source("color", pictures=str(tmp_path))
