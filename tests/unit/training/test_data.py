"""Batches are functions of their number, full, and free of leaks between samples."""

import pickle
import random
from collections import Counter

import pytest
import torch

from oryx.data.synthetic import Sample
from oryx.errors import AlignmentError, ConfigError, OryxError
from oryx.processing.collate import first_fit
from oryx.training.building import build_model
from oryx.training.data import (
    STATS,
    BatchLoader,
    RecordBatches,
    ResumingSampler,
    SyntheticBatches,
    choose_full,
    make_batches,
    pack_stream,
)
from oryx.training.recipe import load_recipe


@pytest.fixture
def recipe(recipe_file):
    return load_recipe(recipe_file)


@pytest.fixture
def built(recipe):
    return build_model(recipe)


@pytest.fixture
def processor(built):
    return built[1]


@pytest.fixture
def file_recipe(recipe_file, record_file):
    files = f"data.files=[{{path: {record_file}}}]"
    return load_recipe(
        recipe_file,
        ["data.synthetic=null", files, "model.new.spelling_samples=null", "model.new.tokenizer=none"],
    )


def assert_same(first, second):
    assert first.keys() == second.keys()
    for key in first.keys() - {STATS}:
        assert torch.equal(first[key], second[key]), key
    assert first[STATS] == second[STATS]


# --- synthetic ------------------------------------------------------------------------------------


def test_a_batch_depends_on_its_number_alone(recipe, processor):
    batches = SyntheticBatches(processor, recipe.data, recipe.batch)
    third = batches[3]
    _ = [batches[number] for number in (0, 7)]
    assert_same(batches[3], third)
    assert_same(pickle.loads(pickle.dumps(batches))[3], third)
    assert not torch.equal(batches[4]["input_ids"], third["input_ids"])


def test_batches_share_no_sample(recipe, processor):
    batches = SyntheticBatches(processor, recipe.data, recipe.batch)
    names = [name for number in range(6) for name in batches[number][STATS].names]
    assert len(names) == len(set(names))


def test_batches_have_the_recipe_s_shape_and_are_full(recipe_file, processor):
    recipe = load_recipe(recipe_file, ["batch.row_length=512", "batch.rows=4"])
    batches = SyntheticBatches(processor, recipe.data, recipe.batch)
    for number in range(5):
        batch = batches[number]
        assert batch["input_ids"].shape == batch["labels"].shape == batch["position_ids"].shape == (4, 512)
        stats = batch[STATS]
        assert stats.capacity == 4 * 512
        assert stats.num_positions >= 0.95 * stats.capacity
        assert stats.num_samples == len(stats.names)
        assert "attention_mask" not in batch


def test_the_seed_changes_the_samples(recipe_file, processor):
    other = load_recipe(recipe_file, ["data.synthetic.seed=4"])
    recipe = load_recipe(recipe_file)
    first, second = (SyntheticBatches(processor, r.data, r.batch)[0] for r in (recipe, other))
    assert not torch.equal(first["patches"][:50], second["patches"][:50])


def test_a_packed_batch_has_the_loss_of_its_samples_alone(recipe, built):
    """Nothing leaks between samples of a row: the sums of their losses are equal, to float32's rounding."""
    model, processor = built
    model.train()
    batches = SyntheticBatches(processor, recipe.data, recipe.batch)
    batch = batches[0]
    names = batch.pop(STATS).names
    packed = model(**batch, num_items_in_batch=1, use_cache=False).loss
    alone = 0.0
    for name in names:
        sample = batches.source[int(name.split()[1])]
        single = processor.encode_conversation(sample.conversations, sample.visuals)
        alone += model(**single, num_items_in_batch=1).loss
    assert packed.item() == pytest.approx(alone.item(), rel=1e-5)


def test_a_sample_longer_than_a_row_is_named(recipe_file, processor):
    recipe = load_recipe(recipe_file, ["batch.row_length=20"])
    with pytest.raises(
        ConfigError, match=r"sample 0 \(skill words\) has \d+ positions, more than batch.row_length"
    ):
        _ = SyntheticBatches(processor, recipe.data, recipe.batch)[0]


def test_questions_that_find_no_room_in_a_row_are_left_out(recipe_file, processor):
    recipe = load_recipe(recipe_file, ["batch.row_length=100", "batch.rows=1"])
    batches = SyntheticBatches(processor, recipe.data, recipe.batch)
    talk = [{"from": who, "value": "a b c d"} for _ in range(50) for who in ("human", "gpt")]
    batches.source = dict.fromkeys(range(100), Sample("talk", [], talk))
    batch = batches[0]
    assert batch[STATS].num_samples == 1
    whole = len(processor.encode_sample(talk, []))
    turn = (whole - len(processor.encode_sample(talk[:-2], []))) if whole > 100 else 0
    assert 100 - turn < batch[STATS].num_positions <= 100


def test_an_error_of_a_sample_names_it(recipe, processor, monkeypatch):
    batches = SyntheticBatches(processor, recipe.data, recipe.batch)
    monkeypatch.setattr("oryx.data.synthetic.text.converse", lambda *_: [{"from": "human", "value": "Hi"}])
    with pytest.raises(AlignmentError, match=r"^sample 0 \(skill words\): "):
        _ = batches[0]


def test_synthetic_data_has_no_epochs(recipe, processor):
    with pytest.raises(ConfigError, match="synthetic data has no end"):
        make_batches(recipe, processor).num_batches(1)


# --- files ----------------------------------------------------------------------------------------


def test_an_epoch_holds_every_record_once_in_an_order_of_its_own(file_recipe, processor):
    batches = make_batches(file_recipe, processor)
    count = batches.num_batches(1)
    orders = []
    for epoch in range(2):
        first = batches.num_batches(epoch)
        last = batches.num_batches(epoch + 1)
        orders.append([name for number in range(first, last) for name in batches[number][STATS].names])
        assert Counter(orders[-1]) == Counter(record.place for record in batches.records)
    assert orders[0] != orders[1]
    assert 1 < count <= batches.num_batches(1.5) <= batches.num_batches(2)


def test_record_batches_depend_on_their_number_alone(file_recipe, processor):
    batches = make_batches(file_recipe, processor)
    last = batches.num_batches(2) - 1
    expected = batches[last]
    _ = batches[0]
    assert_same(batches[last], expected)
    assert_same(make_batches(file_recipe, processor)[last], expected)


def test_counted_lengths_are_true(file_recipe, processor):
    batches = make_batches(file_recipe, processor)
    for record, length in zip(batches.records, batches.lengths):
        assert len(processor.encode_sample(record.conversations, record.visuals)) == length


def test_batches_never_have_more_rows_than_asked(file_recipe, processor):
    batches = make_batches(file_recipe, processor)
    shapes = [tuple(batches[number]["input_ids"].shape) for number in range(batches.num_batches(3))]
    assert all(rows <= 2 and length == 192 for rows, length in shapes)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("<image>", "", 1), "record 1: "),
        (lambda text: text.replace("2_1.png", "none.png"), "record 2: "),
        (lambda text: text.replace("word word", "word" * 400), "positions, more than batch.row_length"),
    ],
)
def test_a_broken_record_is_named_before_training(file_recipe, record_file, processor, change, said):
    record_file.write_text(change(record_file.read_text()))
    with pytest.raises(OryxError) as error:
        RecordBatches(processor, file_recipe.data, file_recipe.batch, seed=0)
    assert f"{record_file} record " in str(error.value)
    assert said in str(error.value)


# --- packing --------------------------------------------------------------------------------------


def test_chosen_samples_find_the_rows_they_were_chosen_for():
    rng = random.Random(0)
    for _ in range(50):
        lengths = [rng.randint(1, 100) for _ in range(40)]
        chosen = choose_full(lengths, row_length=100, num_rows=4)
        assert len(first_fit([lengths[index] for index in chosen], 100)) <= 4
        free = 4 * 100 - sum(lengths[index] for index in chosen)
        left = [lengths[index] for index in set(range(40)) - set(chosen)]
        assert all(length > free // 4 for length in left)  # whatever was left out fits no row


def test_a_stream_is_packed_whole_and_tightly():
    rng = random.Random(0)
    lengths = [rng.randint(10, 60) for _ in range(2000)]
    rows = pack_stream(lengths, 100)
    assert sorted(index for row in rows for index in row) == list(range(2000))
    assert all(sum(lengths[index] for index in row) <= 100 for row in rows)
    assert sum(lengths) / (100 * len(rows)) > 0.95


# --- loading --------------------------------------------------------------------------------------


class Numbers:
    """Batches that are their number; the fifth is broken."""

    def __getitem__(self, number):
        if number == 5:
            raise ConfigError("batch 5 is broken.")
        return {"number": torch.tensor(number)}

    def num_batches(self, epochs):
        return 10


def numbers(loader):
    return [int(batch["number"]) for batch in loader]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_loading_begins_where_the_run_stands(num_workers):
    done = 0
    loader = BatchLoader(Numbers(), ResumingSampler(5, lambda: done), num_workers, pin_memory=False)
    assert numbers(loader) == [0, 1, 2, 3, 4]
    done = 3  # looked up when iteration begins: the Trainer makes the loader before it reads its checkpoint
    assert numbers(loader) == [3, 4]
    assert len(loader) == 5


def test_processes_share_the_batches_out():
    seen = [list(ResumingSampler(3, lambda: 1, rank=rank, world_size=2)) for rank in range(2)]
    assert seen == [[2, 4], [3, 5]]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_an_error_in_a_worker_stays_one_sentence(num_workers):
    loader = BatchLoader(Numbers(), ResumingSampler(9, lambda: 4), num_workers, pin_memory=False)
    with pytest.raises(ConfigError) as error:
        numbers(loader)
    assert str(error.value) == "batch 5 is broken."


def test_loading_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    numbers(BatchLoader(Numbers(), ResumingSampler(2, lambda: 0), 0, pin_memory=False))
    assert torch.equal(torch.get_rng_state(), before)
