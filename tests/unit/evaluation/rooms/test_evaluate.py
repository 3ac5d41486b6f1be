"""Scores, gains and reports of the three ways, from models that say what a test wants."""

import pytest
from made_rooms import make_room, random_room, write_rooms

from oryx.data.synthetic.room_questions import KINDS, MARK_KINDS
from oryx.errors import ConfigError
from oryx.evaluation.metrics import wilson_interval
from oryx.evaluation.output import model_facts
from oryx.evaluation.rooms.evaluate import GROUPS, best_blind_rule, evaluate_rooms
from oryx.evaluation.rooms.questions import (
    SINGLE_VIEW,
    WAYS,
    WITH_MARKS,
    WITHOUT_MARKS,
    RoomQuestion,
    RoomTest,
    draw_questions,
    open_rooms,
)
from oryx.evaluation.rooms.report import FILES, make_report, numbers_table, save_report, ways_table

from ..conftest import TINY, ScriptedModel

HASHES = {"model_sha256": "ab" * 32, "config_sha256": "ef" * 32}
TEST = RoomTest(rooms=4, views=(2, 3), height=16, width=16, mark_size=9, compression=16)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(write_rooms(tmp_path_factory.mktemp("rooms"), [random_room(number) for number in range(4)]))


@pytest.fixture(scope="module")
def asked(folder):
    return draw_questions(open_rooms(folder, TEST), TEST)


@pytest.fixture
def result(processor, folder, asked):
    """All right with marks, every second question without, none on a single view or about numbers."""
    plain, numbered = asked
    answers = [question.expected for question in plain]
    answers += [question.expected if index % 2 else "what" for index, question in enumerate(plain)]
    answers += ["what"] * (len(plain) + len(numbered))
    return evaluate_rooms(ScriptedModel(processor, answers), processor, folder, TEST, batch_size=16)


def test_each_way_is_scored_on_the_same_questions(result, asked):
    plain, numbered = asked
    assert [group.name for group in result.groups] == list(GROUPS)
    assert {kind.name for kind in result.kinds} == {question.kind for question in plain + numbered}
    for kind in (*result.groups, *result.kinds):
        if kind.group == "numbers":
            assert list(kind.ways) == [WITH_MARKS]
            assert kind.ways[WITH_MARKS].num_right == 0
            assert kind.marks_gain is kind.views_gain is None
            continue
        names = GROUPS[kind.group] if kind.name == kind.group else (kind.name,)
        own = [index for index, question in enumerate(plain) if question.kind in names]
        odd = sum(index % 2 for index in own)
        assert kind.num_questions == len(own)
        assert [kind.ways[way].num_right for way in WAYS] == [len(own), odd, 0]
        assert kind.marks_gain.difference == pytest.approx(1 - odd / len(own))
        assert kind.views_gain.difference == pytest.approx(odd / len(own))
        low, high = kind.marks_gain.interval
        assert low <= kind.marks_gain.difference <= high
    assert result.visual_tokens[SINGLE_VIEW] < result.visual_tokens[WITHOUT_MARKS]
    assert result.visual_tokens[WITH_MARKS] == result.visual_tokens[WITHOUT_MARKS]


def test_intervals_of_shares_heed_that_a_room_gives_many_questions(result, asked):
    (group,) = (group for group in result.groups if group.name == "across views")
    share = group.ways[WITHOUT_MARKS]
    low, high = share.interval
    alone = wilson_interval(share.num_right, share.num_trials)
    assert low < share.share < high
    assert share.num_trials == group.num_questions
    assert high - low >= alone[1] - alone[0]
    # All right with marks, but in 4 rooms only: no more sure than 4 answers would make it.
    assert group.ways[WITH_MARKS].interval[0] < 0.6


def test_groups_sum_their_kinds(result):
    for group in result.groups:
        kinds = [kind for kind in result.kinds if kind.group == group.name]
        assert group.num_questions == sum(kind.num_questions for kind in kinds)
        blind = sum(kind.blind_share * kind.num_questions for kind in kinds)
        assert group.blind_share == pytest.approx(blind / group.num_questions)
        assert group.blind_rule is None


def test_wrong_answers_are_kept_with_what_was_shown(result):
    assert {one.way for one in result.wrong} == set(WAYS)
    for one in result.wrong:
        assert one.answer == "what" != one.expected
        assert (len(one.views) == 1) == (one.way == SINGLE_VIEW)
        if one.way == WITH_MARKS:
            assert one.kind in MARK_KINDS


def test_progress_and_room_for_every_answer(processor, folder, asked):
    plain, numbered = asked
    total = 3 * len(plain) + len(numbered)
    model, seen = ScriptedModel(processor, ["yes"] * total), []
    evaluate_rooms(
        model, processor, folder, TEST, batch_size=50, progress=lambda done, of: seen.append((done, of))
    )
    assert seen[-1] == (total, total)
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    expected = [question.expected for question in plain + numbered]
    longest = max(len(ids) for ids in processor.tokenizer(expected)["input_ids"])
    assert {call["max_new_tokens"] for call in model.calls} == {longest + 4}


def question(expected, options=()):
    return RoomQuestion(0, (0, 1), "nearer", "?", expected, 0, "?", options)


def test_the_best_rule_that_sees_no_picture():
    counts = [question(answer) for answer in ("2", "1", "2", "3")]
    assert best_blind_rule(counts) == ("'2'", 2)
    pairs = [
        question("bed", ("bed", "sofa")),
        question("lamp", ("lamp", "bed")),
        question("bed", ("a", "bed")),
    ]
    assert best_blind_rule(pairs[:2]) == ("the first named", 2)
    numbers = [question("object 2", ("1", "2")), question("object 3", ("2", "3"))]
    assert best_blind_rule(numbers) == ("the second named", 2)


def test_tables_name_every_kind(result):
    ways, numbers = ways_table(result), numbers_table(result)
    for kind in result.kinds:
        assert f"| {kind.name} | {kind.num_questions} |" in (numbers if kind.name in MARK_KINDS else ways)
    assert "| **across views** |" in ways
    assert set(KINDS).isdisjoint(numbers.split())


def test_reports_are_written_whole_and_guarded(result, processor, folder, tmp_path):
    import oryx

    model, _ = oryx.load(TINY, dtype="float32", device="cpu")
    report = make_report(model_facts("tiny", HASHES, model), folder, "oryx eval rooms", TEST, result)
    paths = save_report(report, tmp_path)
    assert [path.name for path in paths] == [*FILES]
    page = paths[1].read_text()
    assert "# Rooms: tiny" in page
    assert "4 rooms of" in page
    assert "100.0%" in page
    paths[0].write_text('{"model_sha256": "00", "command": ""}')
    with pytest.raises(ConfigError, match="results of another model"):
        save_report(report, tmp_path)
    assert paths[1].read_text() == page


def test_the_chart_shows_shares_intervals_and_chance(result, folder):
    from oryx.evaluation.bar_chart import Bars, Section, draw_bars

    full = Section("a", [Bars("x", {"one": (1.0, 0.9, 1.0), "two": (0.0, 0.0, 0.1)}, 0.5)])
    image = draw_bars("title", {"one": "One", "two": "Two"}, [full], "chance")
    colors = {color: count for count, color in image.getcolors(1 << 20)}
    blue, orange = colors[(0, 114, 178)], colors[(230, 159, 0)]
    assert blue > 300 * 12  # a full bar of 300 pixels, beside the legend
    assert orange < 400  # little but the legend


def test_refused_before_anything_runs(processor, folder, tmp_path):
    model = ScriptedModel(processor, [])
    with pytest.raises(ConfigError, match="batch_size is 0"):
        evaluate_rooms(model, processor, folder, TEST, batch_size=0)
    with pytest.raises(ConfigError, match="holds 4 rooms; 500 are asked for"):
        evaluate_rooms(model, processor, folder)
    empty = str(write_rooms(tmp_path, [make_room(0, [], [{}, {}])]))
    with pytest.raises(ConfigError, match="the first 1 rooms give no question"):
        evaluate_rooms(model, processor, empty, RoomTest(rooms=1, views=(2, 2)))
    assert model.calls == []
