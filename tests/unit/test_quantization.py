"""`oryx.load(..., quantize=...)`: what is quantised, how near it stays, and what is refused."""

import shutil
from importlib.util import find_spec

import pytest
import torch
from factories import make_config, make_model, make_processor, unlike_samples
from reference_cases import NAMES, REFERENCE
from safetensors.torch import load_file, save_file

import oryx
from oryx import quantization
from oryx.checkpoints.files import LazyTensor
from oryx.errors import CheckpointError, ConfigError
from oryx.model.quantized import QuantizedLinear
from oryx.quantization import check_device, quantization_options, torchao_config

CPU = torch.device("cpu")
needs_torchao = pytest.mark.skipif(
    find_spec("torchao") is None, reason="torchao is not installed (oryx-mllm[quantize])"
)


def load(folder, **kwargs):
    return oryx.load(folder, device="cpu", **kwargs)[0]


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    """A native folder wide enough for groups of 32: 64 inputs, 128 inside."""
    folder = tmp_path_factory.mktemp("model") / "native"
    config = make_config(hidden_size=64, intermediate_size=128, num_hidden_layers=3)
    make_model(config).save_pretrained(folder)
    make_processor().save_pretrained(folder)
    return folder


def batch_of(folder):
    _, processor = oryx.load(folder, device="cpu")
    conversations, visuals = zip(*unlike_samples(answer=None), strict=True)
    return processor.encode_conversation(list(conversations), list(visuals), supervise=None)


@torch.no_grad()
def relative_error(model, reference, batch):
    is_token = batch["attention_mask"].bool()
    expected = reference(**batch).logits[is_token]
    return float((model(**batch).logits[is_token] - expected).norm() / expected.norm())


# -- what is quantised ---------------------------------------------------------------------------------


def test_linear_layers_and_head_and_nothing_else(native):
    model = load(native, quantize="int4")
    bits = {name: m.bits for name, m in model.named_modules() if isinstance(m, QuantizedLinear)}
    assert len(bits) == 3 * 7 + 1
    assert bits.pop("language_model.lm_head") == 8
    assert all(name.startswith("language_model.model.layers.") for name in bits)
    assert set(bits.values()) == {4}
    reference = load(native)
    for name, parameter in model.named_parameters():  # embeddings, norms, biases and the vision parts
        assert torch.equal(parameter, reference.get_parameter(name))
    assert model.dtype == reference.dtype == torch.float32


def test_widths_that_suit_no_groups_get_8_bits():
    """48 inputs, as the tiny checkpoint has them, are no groups of 32; 96, inside its MLP, are."""
    model = load(REFERENCE / "oryx-tiny-qwen", quantize="int4")
    layer = model.language_model.model.layers[0]
    assert (layer.mlp.up_proj.bits, layer.mlp.down_proj.bits) == (8, 4)


def test_a_tied_head_stays_the_embedding():
    model = load("nano", quantize="int4")
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert sum(isinstance(module, QuantizedLinear) for module in model.modules()) == 6 * 7


def test_nothing_without_the_argument(native):
    assert not any(isinstance(module, QuantizedLinear) for module in load(native).modules())
    assert quantization_options(None, torch.device("meta"), torch.float32, make_config()) == {}


# -- how near it stays ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("quantize", "least", "most"), [("int8", 1e-4, 0.03), ("int4", 0.01, 0.4)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_logits_of_a_native_folder(native, quantize, least, most, dtype):
    model = load(native, quantize=quantize, dtype=dtype)
    batch = batch_of(native)
    error = relative_error(model, load(native), batch)
    # Each of its random layers adds to what the ones before got wrong. bfloat16 alone costs some percent.
    assert least < error < most + (0.03 if dtype == "bfloat16" else 0)


@pytest.mark.parametrize(("quantize", "most"), [("int8", 0.02), ("int4", 0.08)])
@pytest.mark.parametrize("name", NAMES)
def test_logits_of_a_published_folder(name, quantize, most):
    folder = REFERENCE / name  # one with its tower inside, one with oryx_vit.pth
    model = load(folder, quantize=quantize)
    assert 1e-4 < relative_error(model, load(folder), batch_of(folder)) < most


@pytest.mark.parametrize("model_type", ["gemma2", "gpt_neox"])
def test_any_language_model(model_type, tmp_path):
    make_model(make_config(model_type, hidden_size=64, intermediate_size=128)).save_pretrained(tmp_path)
    make_processor().save_pretrained(tmp_path)
    model = load(tmp_path, quantize="int8")
    assert 1e-5 < relative_error(model, load(tmp_path), batch_of(tmp_path)) < 0.03


@pytest.mark.parametrize("quantize", ["int8", "int4"])
def test_generation_with_a_cache_is_generation_without(native, quantize):
    """One row at a time goes through other kernels than the whole prompt; both must mean the same weights."""
    model, batch = load(native, quantize=quantize), batch_of(native)
    found = [
        model.generate(**batch, max_new_tokens=5, do_sample=False, use_cache=use_cache)
        for use_cache in (True, False)
    ]
    assert torch.equal(*found)


def test_nano_still_answers():
    model, processor = oryx.load("nano", device="cpu", quantize="int4")
    picture = {"type": "image", "image": "examples/scene.png"}
    turns = [
        {"from": "human", "value": "<image>\nWhat is at the bottom left?"},
        {"from": "gpt", "value": None},
    ]
    batch = processor.encode_conversation(turns, [picture], supervise=None)
    output = model.generate(**batch, max_new_tokens=8, do_sample=False)
    new = output[0, batch["input_ids"].shape[1] :]
    assert processor.tokenizer.decode(new, skip_special_tokens=True).strip() == "blue square"


def test_the_generation_config_comes_along(native, tmp_path):
    folder = shutil.copytree(native, tmp_path / "native")
    (folder / "generation_config.json").write_text('{"max_new_tokens": 3, "eos_token_id": 7}')
    model = load(folder, quantize="int8")
    assert (model.generation_config.max_new_tokens, model.generation_config.eos_token_id) == (3, 7)


# -- memory --------------------------------------------------------------------------------------------


def test_tensors_are_mapped_one_at_a_time(native, monkeypatch):
    """Each is asked for when its turn comes, and is gone before the next but one."""
    import weakref

    alive, most = [], 0
    original = LazyTensor.__getitem__

    def watched(self, key):
        nonlocal most
        tensor = original(self, key)
        if ".layers." in self.name and self.name.endswith("proj.weight"):
            most = max(most, 1 + sum(reference() is not None for reference in alive))
            alive.append(weakref.ref(tensor))
        return tensor

    monkeypatch.setattr(LazyTensor, "__getitem__", watched)
    load(native, quantize="int8")
    assert len(alive) == 3 * 7
    assert most <= 2


# -- what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize("quantize", ["int3", "INT8", ""])
def test_an_unknown_quantisation(quantize):
    with pytest.raises(ConfigError, match=f"quantize '{quantize}' is unknown; allowed: int8, int4"):
        oryx.load("no/where/at/all", device="cpu", quantize=quantize)


def test_a_device_without_kernels():
    with pytest.raises(ConfigError, match="quantize='int4' works on cpu and cuda, not on meta"):
        oryx.load("nano", device="meta", quantize="int4")


@pytest.mark.parametrize("missing", ["torchao", "accelerate"])
def test_a_library_that_is_not_installed(monkeypatch, missing):
    monkeypatch.setattr(quantization, "find_spec", lambda name: None if name == missing else name)
    with pytest.raises(ConfigError, match=rf"on cuda needs {missing}; install oryx-mllm\[quantize\]"):
        check_device("int8", torch.device("cuda"))
    check_device("int8", CPU)


def test_int4_on_cuda_computes_in_bfloat16(monkeypatch):
    monkeypatch.setattr(quantization, "find_spec", lambda name: name)
    with pytest.raises(ConfigError, match="quantize='int4' on cuda computes in bfloat16, not in float16"):
        quantization_options("int4", torch.device("cuda"), torch.float16, make_config())


def test_saving(native, tmp_path):
    with pytest.raises(ConfigError, match="a quantised model is not saved"):
        load(native, quantize="int8").save_pretrained(tmp_path)


@pytest.mark.parametrize("name", ["language_model.model.layers.1.mlp.up_proj.weight", "projector.end"])
@pytest.mark.parametrize("change", ["missing", "misshapen"])
def test_keys_that_do_not_fit_are_listed(native, tmp_path, name, change):
    folder = shutil.copytree(native, tmp_path / "native")
    tensors = load_file(folder / "model.safetensors")
    if change == "missing":
        del tensors[name]
    else:
        tensors[name] = torch.ones(7, 3)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError) as caught:
        load(folder, quantize="int4")
    assert str(caught.value).startswith(f"{folder} does not fit its config: {change} keys {name}")


# -- torchao, which does the work on CUDA --------------------------------------------------------------


@needs_torchao
def test_torchao_gets_the_same_layers(native, monkeypatch):
    """On a CPU, since its int8 runs there too."""
    config = load(native).config
    chosen = torchao_config("int4", config).quant_type.fqn_to_config
    ours = {name: m.bits for name, m in load(native, quantize="int4").named_modules() if hasattr(m, "bits")}
    kinds = {8: "Int8WeightOnlyConfig", 4: "Int4WeightOnlyConfig"}
    assert {name: type(kind).__name__ for name, kind in chosen.items()} == {
        f"{name}.weight": kinds[bits] for name, bits in ours.items()
    }


@needs_torchao
def test_torchao_loads_both_layouts(native, monkeypatch):
    def options(quantize, device, dtype, config):
        return {"quantization_config": torchao_config(quantize, config), "device_map": {"": device}}

    for folder in (native, REFERENCE / "oryx-tiny-qwen"):
        reference, batch = load(folder), batch_of(folder)
        with monkeypatch.context() as patch:
            patch.setattr("oryx.loading.quantization_options", lambda q, *a: options(q, *a) if q else {})
            model = load(folder, quantize="int8")
        assert type(model.get_output_embeddings().weight).__name__ == "Int8Tensor"
        assert 1e-4 < relative_error(model, reference, batch) < 0.03  # as for our own int8
