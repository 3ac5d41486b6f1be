"""Packed rows attended sample by sample equal those under a mask; everything else stays as "sdpa" has it."""

import copy

import pytest
import torch
from factories import BACKBONES, encode, make_config, make_model, make_processor, unlike_samples

from oryx.errors import ConfigError
from oryx.model import packed
from oryx.model.packed import attend_by_sample
from oryx.processing.collate import pack_rows

CLOSE = {"atol": 1e-5, "rtol": 1e-5}


@pytest.fixture(scope="module")
def processor():
    return make_processor()


@pytest.fixture(scope="module", params=BACKBONES)
def models(request):
    """One model twice: with masks, and sample by sample."""
    masked = make_model(make_config(request.param))
    by_sample = copy.deepcopy(masked)
    attend_by_sample(by_sample.language_model)
    return masked, by_sample


@pytest.fixture
def batch(processor):
    encoded = [processor.encode_sample(*sample) for sample in unlike_samples()]
    return pack_rows(encoded, 2 * max(map(len, encoded)), pad_id=0)


def loss_and_gradients(model, batch):
    model.train().zero_grad()
    loss = model(**batch).loss
    loss.backward()
    return loss, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def test_loss_and_gradients_equal_those_with_masks(models, batch):
    assert (batch["position_ids"] == 0).sum() > len(batch["input_ids"])
    (expected, gradients), (loss, found) = (loss_and_gradients(model, batch) for model in models)
    torch.testing.assert_close(loss, expected, **CLOSE)
    assert found.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(found[name], gradient, msg=name, **CLOSE)


def test_no_call_sees_more_than_one_sample(models, batch, monkeypatch):
    lengths = []
    forward = packed.sdpa_attention_forward

    def watched(module, query, *args, **kwargs):
        lengths.append(query.shape[2])
        return forward(module, query, *args, **kwargs)

    monkeypatch.setattr(packed, "sdpa_attention_forward", watched)
    models[1](**batch)
    ends = [
        *(batch["position_ids"].flatten().diff() != 1).nonzero().flatten() + 1,
        batch["input_ids"].numel(),
    ]
    expected = torch.tensor([0, *ends]).diff().tolist()
    config = models[1].language_model.config
    if config._attn_implementation == packed.NAME:  # Gemma 2, whose scores are capped, is not one of them
        assert lengths == expected * config.num_hidden_layers
    else:
        assert config.model_type == "gemma2"
        assert not lengths


@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_batches_keep_their_mask(models, processor, side):
    batch = encode(processor, unlike_samples(), padding_side=side)
    with torch.no_grad():
        expected, found = (model.eval()(**batch).logits for model in models)
    keep = batch["attention_mask"].bool()
    torch.testing.assert_close(found[keep], expected[keep], **CLOSE)


def test_generation_is_the_same(models, processor):
    ids = torch.tensor([[5, 6, 7, 8]])
    texts = [model.eval().generate(input_ids=ids, max_new_tokens=5, do_sample=False) for model in models]
    assert texts[0].tolist() == texts[1].tolist()


def test_a_model_with_its_own_rules_keeps_them():
    model = make_model()
    model.language_model.set_attn_implementation("eager")
    attend_by_sample(model.language_model)
    assert model.language_model.config._attn_implementation == "eager"


def test_a_model_that_hides_where_samples_begin_is_told_so():
    queries = torch.zeros(1, 2, 4, 8)
    with pytest.raises(ConfigError, match="attn_implementation to sdpa"):
        packed._attention(torch.nn.Linear(1, 1), queries, queries, queries, None)
