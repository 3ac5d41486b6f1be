"""LoRA and QLoRA: adapters learn in the language model, resume to the bit, and merge into a plain model."""

import json
from pathlib import Path

import pytest
import torch
from factories import make_model
from safetensors.torch import load_file
from torch import nn

import oryx
from oryx.errors import CheckpointError, ConfigError
from oryx.training import running
from oryx.training.building import build_model
from oryx.training.lora import add_lora, find_targets, learned_weights, merge, read_adapter
from oryx.training.recipe import load_recipe
from oryx.training.running import train
from oryx.training.sections.lora import LoraSection
from oryx.training.trainer import OryxTrainer

pytest.importorskip("peft")
PROJECTIONS = ("down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj")
LORA = ["lora.rank=4", "train=[projector,language_model]"]
ONE_STEP = "optim.max_minutes=1e-9"
KINDS = ["none", "int8", "nf4"]


def need(kind: str) -> None:
    if kind != "none":
        pytest.importorskip({"int8": "torchao", "nf4": "bitsandbytes"}[kind])


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    need(request.param)
    return request.param


def test_adapters_are_in_the_language_model_alone():
    model = make_model()
    add_lora(model, LoraSection(rank=2), bfloat16=False)
    names = set(learned_weights(model))
    assert names == {
        f"language_model.model.layers.{layer}.{part}.{name}.lora_{side}.default.weight"
        for layer in range(2)
        for name in PROJECTIONS
        for part in [("mlp" if name in ("down_proj", "gate_proj", "up_proj") else "self_attn")]
        for side in "AB"
    } | {name for name in names if name.startswith(("vision_tower.", "compressor.", "projector."))}
    assert not [name for name in names if "lora_" in name and not name.startswith("language_model.")]


@pytest.mark.parametrize("backbone", ["gpt_neox", "gemma2", "llama"])
def test_any_language_model_takes_adapters(backbone):
    from factories import make_config

    model = make_model(make_config(backbone))
    targets = find_targets(model.language_model, LoraSection())
    add_lora(model, LoraSection(), bfloat16=False)
    assert not {"lm_head", "embed_out"} & set(targets)
    assert len(targets) >= 4


def test_the_finished_run_is_a_plain_model_with_its_adapters_beside_it(recipe_file, tmp_path, silent, kind):
    from peft import PeftModel

    changes = [*LORA, f"lora.quantize={kind}", "optim.steps=8", "save_every=8"]
    before = build_model(load_recipe(recipe_file))[0].state_dict()
    folder = train(recipe_file, tmp_path / "run", changes, console=silent)
    assert losses(folder)[-1] < losses(folder)[0]
    after = weights(folder)
    assert set(after) == set(before)
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert {name.rpartition(".")[0].rpartition(".")[2] for name in changed if "language_model" in name} == {
        *PROJECTIONS
    }
    assert not any(name.startswith(("vision_tower", "compressor")) for name in changed)
    assert "projector.fc1.weight" in changed
    model, _ = oryx.load(folder, device="cpu")
    base = build_model(load_recipe(recipe_file))[0]
    adapted = PeftModel.from_pretrained(base, folder / "adapter").merge_and_unload()
    for name, value in adapted.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[name], msg=name)
    assert f"LoRA of rank 4{'' if kind == 'none' else f' on {kind}'}" in silent.file.getvalue()


def test_a_run_stopped_at_every_step_ends_with_the_same_bits(recipe_file, tmp_path, silent, kind):
    changes = [*LORA, f"lora.quantize={kind}", "lora.dropout=0.1", "optim.steps=3"]
    whole = train(recipe_file, tmp_path / "whole", changes, console=silent)
    for _ in range(3):
        parts = train(recipe_file, tmp_path / "parts", [*changes, ONE_STEP], console=silent)
    assert losses(parts) == losses(whole)
    expected, found = weights(whole), weights(parts)
    assert [name for name in expected if not torch.equal(expected[name], found[name])] == []
    saved = load_file(parts / "checkpoint-3" / "adapter_model.safetensors")
    assert sum(value.numel() for value in saved.values()) < 0.2 * sum(
        value.numel() for value in found.values()
    )


def test_adapters_begin_from_the_seed_alone(recipe_file, tmp_path, silent):
    """Not from what the process drew before, such as in an earlier part of a chain."""
    base = train(recipe_file, tmp_path / "base", ["optim.steps=1"], console=silent)
    changes = [*LORA, "model.new=null", "model.processor={}", f"model.from={base}", "optim.steps=3"]
    curves = []
    for number in range(2):
        torch.manual_seed(number)
        curves.append(losses(train(recipe_file, tmp_path / f"run_{number}", changes, console=silent)))
    assert curves[0] == curves[1]
    other = losses(train(recipe_file, tmp_path / "other", [*changes, "seed=1"], console=silent))
    assert other != curves[0]


def test_modules_to_save_learn_whole(recipe_file, tmp_path, silent):
    changes = [*LORA, "lora.modules_to_save=[lm_head]", "lora.target_modules=[q_proj]", "optim.steps=2"]
    before = build_model(load_recipe(recipe_file))[0].state_dict()
    after = weights(train(recipe_file, tmp_path / "run", changes, console=silent))
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert "language_model.lm_head.weight" in changed
    assert {name for name in changed if "layers" in name} == {
        f"language_model.model.layers.{layer}.self_attn.q_proj.weight" for layer in range(2)
    }


def test_frozen_layers_in_bfloat16_change_no_bit_of_the_loss(recipe_file, tmp_path, silent, monkeypatch):
    changes = [*LORA, "precision=bfloat16", "optim.steps=2"]
    narrow = train(recipe_file, tmp_path / "narrow", changes, console=silent)
    wide = running.set_trainable
    monkeypatch.setattr(
        running, "set_trainable", lambda model, parts, lora, _: wide(model, parts, lora, False)
    )
    assert losses(train(recipe_file, tmp_path / "wide", changes, console=silent)) == losses(narrow)


def test_quantised_layers_are_small_and_pass_gradients(kind):
    if kind == "none":
        pytest.skip("nothing is quantised")
    exact, model = make_model(), make_model()
    add_lora(model, LoraSection(rank=2, quantize=kind), bfloat16=False)
    layer = model.language_model.model.layers[0].mlp.up_proj.base_layer
    plain = exact.language_model.model.layers[0].mlp.up_proj
    x = torch.randn(3, 32, requires_grad=True)
    layer(x).sum().backward()
    assert not layer.weight.requires_grad
    expected = plain.weight.sum(0)
    assert (x.grad[0] - expected).norm() < 0.2 * expected.norm()  # nf4 rounds to 16 values
    assert not torch.equal(layer(x), plain(x))
    assert isinstance(model.language_model.lm_head, nn.Linear)
    assert torch.equal(model.language_model.lm_head.weight, exact.language_model.lm_head.weight)


def test_layers_that_learn_whole_are_not_quantised(kind):
    if kind == "none":
        pytest.skip("nothing is quantised")
    model = make_model()
    section = LoraSection(
        rank=2, quantize=kind, target_modules=("q_proj",), modules_to_save=("o_proj", "mlp")
    )
    add_lora(model, section, bfloat16=False)
    layer = model.language_model.model.layers[0]
    for whole in (layer.self_attn.o_proj, layer.mlp.up_proj):
        assert whole.weight.dtype == torch.float32
        assert whole.weight.requires_grad


def test_merging_adds_the_product(recipe_file):
    model = make_model()
    section = LoraSection(rank=2, alpha=4.0)
    add_lora(model, section, bfloat16=False)
    learned = {name: torch.randn_like(value) for name, value in learned_weights(model).items()}
    name = "language_model.model.layers.1.self_attn.q_proj"
    expected = make_model().get_submodule(name).weight + 2.0 * (
        learned[f"{name}.lora_B.default.weight"] @ learned[f"{name}.lora_A.default.weight"]
    )
    torch.testing.assert_close(merge(make_model(), section, learned).get_submodule(name).weight, expected)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["lora.rank=0"], "lora.rank is 0; it must be at least 1"),
        (["lora.alpha=0"], "lora.alpha is 0; it must be above 0"),
        (["lora.dropout=1"], "lora.dropout is 1; it must be at least 0 and below 1"),
        (["lora.quantize=int4"], "lora.quantize is 'int4'; allowed: none, int8, nf4"),
        (["lora.target_modules=[q_prj]"], "'q_prj' is no linear layer of the language model; did you mean"),
        (
            ["lora.target_modules=[lm_head]", "model.new.text.tie_word_embeddings=true"],
            "lm_head shares its weight with the embedding, so it cannot have an adapter of its own; name it",
        ),
        (["lora.modules_to_save=[head]"], "'head' is no module of the language model; did you mean"),
        (["train=[projector]"], "train freezes the language model that it adapts"),
        (
            ["lora.quantize=nf4", "parallel.strategy=fsdp2"],
            "lora.quantize is nf4, whose layers parallel.strategy fsdp2 cannot share out",
        ),
        (
            ["parallel={strategy: deepspeed, deepspeed_config: zero3.json}"],
            "deepspeed, which cannot write adapters here; use fsdp2 or ddp",
        ),
    ],
)
def test_wrong_sections_are_one_sentence(recipe_file, tmp_path, silent, changes, said):
    with pytest.raises(ConfigError) as error:
        train(recipe_file, tmp_path / "run", ["lora.rank=4", *changes], console=silent)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("kind", "package", "extra"), [("int8", "torchao", "quantize"), ("nf4", "bitsandbytes", "qlora")]
)
def test_a_missing_package_is_one_sentence(recipe_file, tmp_path, silent, monkeypatch, kind, package, extra):
    for name in (package, f"{package}.nn", f"{package}.quantization"):
        monkeypatch.setitem(__import__("sys").modules, name, None)
    with pytest.raises(ConfigError, match=rf"needs {package}; install oryx-mllm\[{extra}\]"):
        train(recipe_file, tmp_path / "run", [f"lora.quantize={kind}"], console=silent)


def base_of(recipe_file, tmp_path, seed):
    """A model to learn adapters on."""
    model, processor = build_model(load_recipe(recipe_file, [f"seed={seed}"]))
    model.save_pretrained(tmp_path / "base")
    processor.save_pretrained(tmp_path / "base")
    return [*LORA, "model.new=null", "model.processor={}", f"model.from={tmp_path / 'base'}"]


def test_adapters_do_not_go_on_with_another_model(recipe_file, tmp_path, silent):
    changes = base_of(recipe_file, tmp_path, seed=0)
    train(recipe_file, tmp_path / "run", [*changes, ONE_STEP], console=silent)
    base_of(recipe_file, tmp_path, seed=1)
    with pytest.raises(CheckpointError, match=r"not the one that the run's adapters were learned on; bring"):
        train(recipe_file, tmp_path / "run", changes, console=silent)
    base_of(recipe_file, tmp_path, seed=0)
    train(recipe_file, tmp_path / "run", changes, console=silent)


def test_adapters_are_not_merged_into_another_model(recipe_file, tmp_path, silent, monkeypatch):
    changes = base_of(recipe_file, tmp_path, seed=0)
    gather = OryxTrainer.gather_weights

    def changed(trainer):
        base_of(recipe_file, tmp_path, seed=1)
        return gather(trainer)

    monkeypatch.setattr(OryxTrainer, "gather_weights", changed)
    with pytest.raises(CheckpointError, match="not the one that the run's adapters were learned on"):
        train(recipe_file, tmp_path / "run", [*changes, "optim.steps=1"], console=silent)
    assert (tmp_path / "run" / "checkpoint-1").is_dir()
    assert not (tmp_path / "run" / "config.json").exists()


def test_damaged_adapters_are_one_sentence(tmp_path):
    (tmp_path / "adapter_model.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"adapter_model.safetensors cannot be read \("):
        read_adapter(tmp_path, make_model())


def test_adapters_of_another_kind_are_refused(tmp_path):
    model = make_model()
    with pytest.raises(CheckpointError, match="holds no adapters"):
        read_adapter(tmp_path, model)
