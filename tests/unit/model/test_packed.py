"""Packed rows attended sample by sample equal those under a mask; everything else stays as "sdpa" has it."""

import copy

import pytest
import torch
from factories import BACKBONES, encode, make_config, make_model, make_processor, unlike_samples
from transformers import AutoConfig, AutoModelForCausalLM

from oryx.errors import ConfigError
from oryx.model import packed
from oryx.model.packed import NAME, settle_attention
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
    settle_attention(by_sample.language_model)
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
    if config._attn_implementation == NAME:  # Gemma 2, whose scores are capped, is not one of them
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


def small(model_type, **settings):
    """A language model in which what one token says reaches the next ones."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(model_type, vocab_size=50, **settings)
    return AutoModelForCausalLM.from_config(config, dtype=torch.float32)


NEO = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.mark.parametrize(
    ("given", "by_sample", "expected"),
    [
        ("sdpa", True, NAME),
        ("sdpa", False, "sdpa"),
        ("eager", True, "eager"),
    ],
)
def test_what_was_asked_for_is_kept(given, by_sample, expected):
    model = small("gpt_neox", **NEO)
    model.set_attn_implementation(given)
    assert settle_attention(model.train(), by_sample) == model.config._attn_implementation == expected
    assert model.training


def test_a_model_that_hides_where_samples_begin_keeps_its_masks():
    model = small("gpt_bigcode", n_embd=16, n_layer=2, n_head=2, n_positions=32)
    assert settle_attention(model) == "sdpa"


@pytest.mark.parametrize(
    ("model_type", "settings", "reason"),
    [
        (
            "bloom",
            {"hidden_size": 16, "n_layer": 2, "n_head": 2, "initializer_range": 0.3},
            "in Bloom",
        ),
        (
            "mamba",
            {"hidden_size": 16, "num_hidden_layers": 1, "state_size": 4},
            "Mamba.* carries a state",
        ),
    ],
)
def test_a_model_in_which_samples_see_each_other_is_refused(model_type, settings, reason):
    with pytest.raises(ConfigError, match=reason):
        settle_attention(small(model_type, **settings))
