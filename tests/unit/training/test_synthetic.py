"""Batches of synthetic samples are functions of their number, full, and free of leaks between samples."""

import pickle

import pytest
import torch
from made_records import assert_same_batch

from oryx.data.synthetic import Sample
from oryx.errors import AlignmentError, ConfigError
from oryx.training.data import STATS, SyntheticBatches
from oryx.training.recipe import load_recipe


def test_a_batch_depends_on_its_number_alone(recipe, processor):
    batches = SyntheticBatches(processor, recipe.data, recipe.batch)
    third = batches[3]
    _ = [batches[number] for number in (0, 7)]
    assert_same_batch(batches[3], third)
    assert_same_batch(pickle.loads(pickle.dumps(batches))[3], third)
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
        sample = batches.rows.source[int(name.split()[1])]
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
    batches.rows.source = dict.fromkeys(range(100), Sample("talk", [], talk))
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
