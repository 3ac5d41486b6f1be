"""The evaluation puts needles where it says, asks what it says, and counts as it says."""

import sys

import haystack_stand_in
import numpy as np
import pytest
import torch
from factories import make_config, make_model, make_processor
from PIL import Image

from oryx.data.builders.haystack.needles import Needle, drawn_needles
from oryx.data.builders.haystack.sources import open_haystack
from oryx.errors import ConfigError, MediaError
from oryx.evaluation.metrics import wilson_interval
from oryx.evaluation.needle import evaluate as home
from oryx.evaluation.needle.evaluate import NeedleResult, NeedleTest, evaluate_needle

SIZE = (32, 32)


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch):
    monkeypatch.setitem(sys.modules, "oryx.data.synthetic.haystack", haystack_stand_in)


@pytest.fixture(scope="module")
def own_processor():
    return make_processor()


@pytest.fixture(scope="module")
def model():
    return make_model(make_config())


def measure(model, processor, stack=None, needles=None, **changes):
    given = {"frames": (4, 9), "depths": (0.0, 50.0, 100.0), "trials": 2, "max_new_tokens": 4, **changes}
    stack = stack or open_haystack("drawn", 0, *SIZE)
    return evaluate_needle(model, processor, stack, needles or drawn_needles(0, *SIZE), NeedleTest(**given))


class Listening:
    """In place of the reader: keeps the prompts, and answers by a rule."""

    def __init__(self, answer):
        self.answer_to = answer
        self.prompts = []

    def __call__(self, model, processor):
        self.processor = processor
        return self

    def answer(self, ids, columns, embeds, max_new_tokens):
        self.prompts.append((ids, columns, embeds))
        return self.answer_to(len(self.prompts) - 1)


def test_answers_are_those_to_the_whole_video(model, own_processor):
    """Splicing and shared beginnings change nothing: the same answers as by encoding every video whole."""
    result = measure(model, own_processor, frames=(6,))
    stack, needles = open_haystack("drawn", 0, *SIZE), drawn_needles(0, *SIZE)
    frames = list(stack.frames(5))
    for number, answer in enumerate(result.answers):
        pictures = [*frames[: answer.index], needles(number).image, *frames[answer.index :]]
        batch = own_processor.encode_conversation(
            [{"from": "human", "value": f"<image>\n{answer.question}"}, {"from": "gpt", "value": None}],
            [{"type": "video", "video": pictures, "compression": 16}],
            supervise=None,
        )
        with torch.no_grad():
            ids = model.generate(**batch, max_new_tokens=4, do_sample=False)
        new = ids[0, batch["input_ids"].shape[1] :]
        assert answer.answer == own_processor.tokenizer.decode(new, skip_special_tokens=True).strip()
    assert len({answer.answer for answer in result.answers}) > 1  # the needle is seen


def test_every_place_and_every_needle_once(model, own_processor, monkeypatch):
    listening = Listening(lambda number: "red")
    monkeypatch.setattr(home, "Reader", listening)
    result = measure(model, own_processor)
    assert [(answer.frames, answer.depth, answer.index, answer.trial) for answer in result.answers] == [
        (frames, depth, index, trial)
        for frames, indices in ((4, (0, 2, 3)), (9, (0, 4, 8)))
        for depth, index in zip((0.0, 50.0, 100.0), indices, strict=True)
        for trial in (0, 1)
    ]
    short, long = result.answers[:6], result.answers[6:]
    assert [answer.expected for answer in short] == [answer.expected for answer in long]  # paired
    first = np.array([columns for _, columns, _ in listening.prompts[:6]])
    assert len({tuple(row) for row in first}) == 6
    for ids, columns, embeds in listening.prompts:
        visual = ids == own_processor.image_token_id
        assert visual.sum() == len(embeds)
        assert (columns[visual] < 0).all()
        assert len(set(columns[visual].tolist())) == len(embeds)
        assert (columns[~visual] == ids[~visual]).all()


def test_columns_tell_what_prompts_share(model, own_processor, monkeypatch):
    listening = Listening(lambda number: "red")
    monkeypatch.setattr(home, "Reader", listening)
    measure(model, own_processor, frames=(9,))
    by_column = {}
    for ids, columns, embeds in listening.prompts:
        for column, row in zip(columns[ids == own_processor.image_token_id].tolist(), embeds, strict=True):
            assert torch.equal(by_column.setdefault(column, row), row)  # same number, same embedding


def different(number):
    """Needles of which no two are the same; the stand-in has few."""
    return Needle(Image.new("RGB", SIZE, (40 * number, 0, 0)), "Which is it?", f"number {number}")


def test_shares_and_intervals(model, own_processor, monkeypatch):
    expected = [different(number).answer for number in range(6)]
    said = [expected[0].upper() + ".", f"It is {expected[1]}.", "no", expected[3], "no", "no"]
    monkeypatch.setattr(home, "Reader", Listening(lambda number: said[number]))
    result = measure(model, own_processor, needles=different, frames=(4,))
    assert [(cell.depth, cell.num_right, cell.share) for cell in result.cells] == [
        (0.0, 1, 0.5),
        (50.0, 1, 0.5),
        (100.0, 0, 0.0),
    ]
    assert (result.share(4, None).num_right, result.share(4, None).num_trials) == (2, 6)
    assert result.share(4, None).interval == pytest.approx((0.0968, 0.7000), abs=1e-3)
    assert result.share(4, 50.0).num_right == 1
    monkeypatch.setattr(home, "Reader", Listening(lambda number: said[number]))
    loose = measure(model, own_processor, needles=different, frames=(4,), score="contains")
    assert loose.share(4, None).num_right == 3


def test_a_needle_that_comes_again_tells_less(model, own_processor, monkeypatch):
    monkeypatch.setattr(home, "Reader", Listening(lambda number: f"number {number % 3}"))
    apart = measure(model, own_processor, needles=different, frames=(4,))
    monkeypatch.setattr(home, "Reader", Listening(lambda number: f"number {number % 3}"))
    again = measure(model, own_processor, needles=lambda number: different(number % 3 + 3), frames=(4,))
    assert [answer.needle for answer in apart.answers] == [0, 1, 2, 3, 4, 5]
    assert [answer.needle for answer in again.answers] == [0, 1, 2, 0, 1, 2]
    assert again.share(4, None).num_right == 0
    low, high = again.share(4, None).interval
    assert high > wilson_interval(0, 6)[1] + 0.1
    assert low == 0.0


def test_lengths_that_were_measured_are_not_measured_again(model, own_processor, monkeypatch):
    whole, kept = measure(model, own_processor), []

    def give(**changes):
        return evaluate_needle(
            model,
            own_processor,
            open_haystack("drawn", 0, *SIZE),
            drawn_needles(0, *SIZE),
            NeedleTest(frames=(4, 9), depths=(0.0, 50.0, 100.0), trials=2, max_new_tokens=4),
            **changes,
        )

    assert give(keep=kept.append).answers == whole.answers
    assert [part.cost.frames for part in kept] == [4, 9]
    listening, later = Listening(lambda number: "red"), []
    monkeypatch.setattr(home, "Reader", listening)
    result = give(done=kept[:1], keep=later.append)
    assert len(listening.prompts) == 6
    assert [part.cost.frames for part in later] == [9]
    assert result.answers[:6] == whole.answers[:6]
    assert {answer.answer for answer in result.answers[6:]} == {"red"}
    assert result.costs[0] == kept[0].cost
    assert NeedleResult.of(NeedleTest(frames=(4, 9), depths=(0.0, 50.0, 100.0)), kept).cells == whole.cells


def test_tokens_are_measured(model, own_processor):
    result = measure(model, own_processor, frames=(9, 4))
    assert [cost.frames for cost in result.costs] == [4, 9]
    for cost in result.costs:
        # 32x32 pixels at 16x: 2x2 tokens with two newlines and a separator.
        assert cost.tokens_per_frame == 7
        assert cost.visual_tokens == 7 * cost.frames + 2
        assert cost.prompt_tokens > cost.visual_tokens
        assert cost.encode_peak_bytes > 10**7
        assert cost.answer_peak_bytes > 10**7
    small = measure(model, own_processor, frames=(4,), max_pixels=256)
    assert small.costs[0].tokens_per_frame == 3


def test_the_prompt_may_name_the_number_of_frames(model, own_processor, monkeypatch):
    listening = Listening(lambda number: "red")
    monkeypatch.setattr(home, "Reader", listening)
    measure(model, own_processor, frames=(9,), prompt="Of {frames} frames: {question}")
    text = own_processor.tokenizer.decode(
        [token for token in listening.prompts[0][0].tolist() if token != own_processor.image_token_id]
    )
    assert "Of 9 frames: What color is the square?" in text


def test_needles_of_another_number_of_rows_are_found_too(model, own_processor):
    needles = lambda number: Needle(Image.new("RGB", (64, 16), "red"), "What?", "red")  # noqa: E731
    result = measure(model, own_processor, needles=needles, frames=(4,))
    assert len(result.answers) == 6


def test_progress_covers_both_parts(model, own_processor):
    seen = []
    evaluate_needle(
        model,
        own_processor,
        open_haystack("drawn", 0, *SIZE),
        drawn_needles(0, *SIZE),
        NeedleTest(frames=(4,), depths=(0.0,), trials=2, max_new_tokens=2),
        lambda what, done, total: seen.append((what, done, total)),
    )
    assert seen == [("4 frames, encoding", 3, 3), ("4 frames, depth 0%", 0, 2), ("4 frames, depth 0%", 1, 2)]


def test_a_length_that_the_model_does_not_read_is_refused_at_once(own_processor):
    small = make_model(make_config(max_position_embeddings=100))
    with pytest.raises(
        ConfigError, match="reads at most 100: ask for fewer frames than 90, raise compression"
    ):
        measure(small, own_processor, frames=(4, 90))


def test_a_haystack_that_is_too_short_is_refused_at_once(model, own_processor, tmp_path):
    for number in range(5):
        Image.new("RGB", SIZE).save(tmp_path / f"{number}.png")
    stack = open_haystack(str(tmp_path), 0, *SIZE)
    assert measure(model, own_processor, stack, frames=(6,)).answers
    with pytest.raises(MediaError, match="has 5 frames; 8 are needed"):
        measure(model, own_processor, stack, frames=(4, 9))


@pytest.mark.parametrize(
    "change",
    [
        {"score": "fuzzy"},
        {"trials": 0},
        {"max_new_tokens": 0},
        {"frames": (1,)},
        {"frames": ()},
        {"depths": ()},
        {"prompt": "What?"},
    ],
    ids=str,
)
def test_tests_that_cannot_be(change):
    with pytest.raises(ConfigError):
        NeedleTest(**change)


def test_the_longest_question_is_what_must_have_room(own_processor):
    def needles(number):
        return Needle(Image.new("RGB", SIZE, "red"), "What? " * (60 if number == 3 else 1), "red")

    small = make_model(make_config(max_position_embeddings=160))
    encoded = []
    for trials, is_refused in ((1, False), (2, True)):  # needle 3 is the second of the second depth
        given = NeedleTest(frames=(4,), depths=(0.0, 50.0), trials=trials, max_new_tokens=4)
        arguments = (small, own_processor, open_haystack("drawn", 0, *SIZE), needles, given)
        if not is_refused:
            assert evaluate_needle(*arguments).answers
            continue
        with pytest.raises(ConfigError, match="reads at most 160"):
            evaluate_needle(*arguments, lambda *done: encoded.append(done))
    assert encoded == []
