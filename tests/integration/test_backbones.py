"""Any causal language model: saved, loaded, answering and learning, with its own logit rules."""

import pytest
import torch
from factories import BACKBONES, encode, make_config, make_model, make_processor, unlike_samples

import oryx
from oryx.errors import ConfigError
from oryx.processing.collate import pack_rows


@pytest.mark.parametrize("model_type", BACKBONES)
def test_saved_loaded_and_answering(model_type, tmp_path):
    model, processor = make_model(make_config(model_type)), make_processor()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded, its_processor = oryx.load(tmp_path, device="cpu")
    assert type(loaded.language_model) is type(model.language_model)
    prompts = encode(its_processor, unlike_samples(None), supervise=None)
    settings = {"max_new_tokens": 4, "do_sample": False}
    assert torch.equal(loaded.generate(**prompts, **settings), model.generate(**prompts, **settings))


@pytest.mark.parametrize("model_type", BACKBONES)
def test_learning(model_type):
    model = make_model(make_config(model_type)).train()
    batch = encode(make_processor(), unlike_samples())
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(6):
        loss = model(**batch).loss
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.9 * losses[0]


def test_soft_capped_logits_stay_capped():
    model = make_model(make_config("gemma2"))
    batch = encode(make_processor(), unlike_samples()[:2])
    with torch.no_grad():
        assert model(**batch).logits.abs().max() <= 2.0


def test_a_language_model_without_a_key_value_cache():
    """Mamba keeps a state of another kind under another name: without it, every step runs the whole."""
    text = {
        "model_type": "mamba",
        "vocab_size": 261,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "state_size": 8,
    }
    config = oryx.OryxConfig(
        vision_config=make_config().vision_config, text_config=text, compressor_dim=16, image_token_id=260
    )
    torch.manual_seed(0)
    model, processor = oryx.OryxForConditionalGeneration(config).eval(), make_processor()
    sample = unlike_samples()[1:2]
    batch = encode(processor, sample)
    eval_loss = model(**batch).loss
    torch.testing.assert_close(model.train()(**batch).loss, eval_loss, atol=1e-5, rtol=1e-5)
    model.eval()
    batch = encode(processor, unlike_samples(None)[1:2], supervise=None)
    generated = model.generate(**batch, max_new_tokens=4, do_sample=False)
    ids = batch.pop("input_ids")
    batch.pop("attention_mask")
    for _ in range(4):
        with torch.no_grad():
            logits = model(input_ids=ids, **batch).logits[0, -1, :260]
        ids = torch.cat([ids, logits.argmax()[None, None]], 1)
    assert torch.equal(generated, ids)
    packed = pack_rows([processor.encode_sample(*unlike_samples()[0])] * 2, row_length=200, pad_id=0)
    with pytest.raises(ConfigError, match="MambaForCausalLM carries a state"):
        model(**packed)
