"""What a forward pass keeps for its gradient: less with checkpointing, nothing in a frozen tower."""

import pytest
import torch
from factories import encode, make_config, make_model, make_processor, unlike_samples
from torch.profiler import ProfilerActivity, profile

from oryx.model import loss as loss_module


@pytest.fixture
def batch():
    return encode(make_processor(), unlike_samples()[:6], supervise="published")


def kept_bytes(run) -> int:
    """Bytes that are still allocated after `run`, while its result is."""
    run()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        result = run()
    assert result is not None
    return sum(event.self_cpu_memory_usage for event in profiler.key_averages())


def deep(**vision):
    return make_model(make_config(vision={"num_hidden_layers": 6, **vision}, num_hidden_layers=6)).train()


def checkpointed(model):
    getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)()
    return model


@pytest.mark.parametrize("part", ["the whole", "the tower"])
def test_checkpointing_keeps_less(batch, part):
    plain, saving = deep(), checkpointed(deep())

    def run(model):
        if part == "the tower":
            return model.vision_tower(batch["patches"], batch["grids"])
        return model(**batch).loss

    assert kept_bytes(lambda: run(saving)) < 0.4 * kept_bytes(lambda: run(plain))


def test_a_frozen_tower_keeps_nothing(batch):
    model = deep()
    model.vision_tower.requires_grad_(False)
    features = model.vision_tower(batch["patches"], batch["grids"])
    kept = kept_bytes(lambda: model.vision_tower(batch["patches"], batch["grids"]))
    assert kept < 1.5 * features.numel() * features.element_size()


def test_logits_in_chunks_are_not_kept(batch, monkeypatch):
    model = make_model(make_config(vocab_size=20_000)).train()
    supervised = int((batch["labels"][:, 1:] != -100).sum())
    at_once = kept_bytes(lambda: model(**batch).loss)
    monkeypatch.setitem(loss_module.CHUNK_VALUES, "cpu", 20_000)
    in_chunks = kept_bytes(lambda: model(**batch).loss)
    assert at_once - in_chunks > 0.9 * supervised * 20_000 * 4


def test_the_loss_is_the_same_with_checkpointing(batch):
    torch.testing.assert_close(checkpointed(deep())(**batch).loss, deep()(**batch).loss)
