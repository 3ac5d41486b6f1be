"""LoRA through PEFT: the named projections learn, nothing else does, and adapters come back."""

import pytest
import torch
from factories import encode, make_model, make_processor, unlike_samples

peft = pytest.importorskip("peft")
TARGETS = r"language_model\.model\.layers\.\d+\.(self_attn|mlp)\.\w+_proj"


@pytest.fixture
def batch():
    return encode(make_processor(), unlike_samples()[:4])


def wrap(**settings):
    torch.manual_seed(0)
    config = peft.LoraConfig(r=4, target_modules=TARGETS, task_type="CAUSAL_LM", **settings)
    return peft.get_peft_model(make_model(), config)


def step(model, batch):
    model.train()
    loss = model(**batch).loss
    loss.backward()
    torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5).step()
    model.zero_grad()
    return loss.item()


def test_only_adapters_change(batch):
    model = wrap()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    adapted = {name.split(".lora_")[0] for name in before if ".lora_" in name}
    assert (
        len(adapted) == 2 * 7
    )  # seven projections in each of two layers; none in the tower or the compressor
    assert all("language_model" in name for name in adapted)
    losses = [step(model, batch) for _ in range(3)]
    assert losses[-1] < losses[0]
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, before[name]) == (".lora_" not in name), name


def test_modules_to_save_learn_too(batch):
    model = wrap(modules_to_save=["compressor", "projector"])
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    step(model, batch)
    changed = {
        name for name, parameter in model.named_parameters() if not torch.equal(parameter, before[name])
    }
    assert any("projector.modules_to_save" in name for name in changed)
    assert any("compressor.modules_to_save" in name for name in changed)
    assert not any("vision_tower" in name for name in changed)


def test_gradient_checkpointing_reaches_the_adapters(batch):
    plain, checkpointed = wrap(), wrap()
    checkpointed.base_model.model.gradient_checkpointing_enable()
    checkpointed.enable_input_require_grads()
    gradients = []
    for model in (plain, checkpointed):
        model.train()
        model(**batch).loss.backward()
        gradients.append(
            {n: p.grad for n, p in model.named_parameters() if p.grad is not None and "lora" in n}
        )
    assert gradients[0].keys() == gradients[1].keys()
    assert gradients[0]
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)


def test_generation_saving_and_merging(batch, tmp_path):
    model = wrap()
    for _ in range(5):
        step(model, batch)
    model.eval()
    prompts = encode(make_processor(), unlike_samples(None)[:4], supervise=None)
    settings = {"max_new_tokens": 4, "do_sample": False}
    expected = model.generate(**prompts, **settings)
    assert not torch.equal(expected, make_model().generate(**prompts, **settings))
    model.save_pretrained(tmp_path)
    again = peft.PeftModel.from_pretrained(make_model(), tmp_path).eval()
    assert torch.equal(again.generate(**prompts, **settings), expected)
    with torch.no_grad():
        logits = model(**prompts).logits
        torch.testing.assert_close(again.merge_and_unload()(**prompts).logits, logits, atol=1e-4, rtol=1e-4)
