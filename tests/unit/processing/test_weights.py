"""Bytes of weights, without torch, against what models really hold."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from factories import make_config, make_model
from reference_cases import NAMES, REFERENCE

import oryx
from oryx.checkpoints.presets import preset_config
from oryx.checkpoints.published import PublishedCheckpoint
from oryx.cli.forecast import make_planner
from oryx.errors import CheckpointError, ConfigError
from oryx.model.modeling import OryxForConditionalGeneration
from oryx.model.quantized import QuantizedLinear
from oryx.processing.costs import ModelSizes
from oryx.processing.weights import num_parameters, part_bytes, read_shapes, weight_bytes, weight_shapes
from oryx.quantization import quantized_layers


def sizes_of(config):
    return ModelSizes.from_settings(
        config.vision_config.to_dict(), config.text_config.to_dict(), config.compressor_dim, "bfloat16"
    )


def held_bytes(model):
    """What a loaded model holds; buffers of quantised layers are their weights."""
    packed = [m for m in model.modules() if isinstance(m, QuantizedLinear)]
    tensors = [*model.parameters(), *(buffer for m in packed for buffer in m.buffers())]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def full_size(name):
    with torch.device("meta"):
        return OryxForConditionalGeneration(preset_config(name)).to(torch.bfloat16)


@pytest.mark.parametrize("name", ["oryx-7b", "oryx-34b", "oryx-1.5-7b", "oryx-1.5-32b"])
def test_published_sizes(name):
    model = full_size(name)
    sizes = sizes_of(model.config)
    assert weight_bytes(sizes, "bfloat16") == held_bytes(model)
    assert sum(num_parameters(sizes).values()) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", ["oryx-7b", "oryx-34b"])
@pytest.mark.parametrize("quantize", ["int8", "int4"])
def test_published_sizes_quantised(name, quantize):
    """Against the layers themselves, whose packed form is told from their shapes."""
    model = full_size(name)
    expected = held_bytes(model)
    for layer, bits in quantized_layers(model, {"int8": 8, "int4": 4}[quantize]).items():
        weight = model.get_submodule(layer).weight
        outputs, inputs = weight.shape
        scales = outputs if bits == 8 else outputs * inputs // 32 * 2
        expected += inputs * outputs * bits // 8 + 2 * scales - 2 * weight.numel()
    assert weight_bytes(sizes_of(model.config), "bfloat16", quantize) == expected


@pytest.mark.parametrize("quantize", [None, "int8", "int4"])
@pytest.mark.parametrize("name", ["nano", *NAMES])
def test_loaded_models(name, quantize):
    folder = name if name == "nano" else REFERENCE / name
    model, _ = oryx.load(folder, dtype="float32", device="cpu", quantize=quantize)
    sizes = sizes_of(model.config)
    assert weight_bytes(sizes, "float32", quantize) == held_bytes(model)
    parts = part_bytes(sizes, "float32", quantize)
    for part in ("vision_tower", "compressor", "projector"):
        assert parts[part] == sum(p.nbytes for p in getattr(model, part).parameters())


@pytest.mark.parametrize("quantize", [None, "int8", "int4"])
def test_headers_tell_the_same_as_sizes(quantize, tmp_path):
    shapes = read_shapes(REFERENCE / "oryx-tiny-qwen")  # published names, the tower among them
    sizes = sizes_of(PublishedCheckpoint.open(REFERENCE / "oryx-tiny-qwen").config())
    assert part_bytes(shapes, "bfloat16", quantize) == part_bytes(sizes, "bfloat16", quantize)
    model = make_model()
    model.save_pretrained(tmp_path)
    native = read_shapes(tmp_path)
    assert native == weight_shapes(sizes_of(model.config))
    assert part_bytes(native, "float32", quantize) == part_bytes(sizes_of(model.config), "float32", quantize)


@pytest.mark.parametrize("model_type", ["gemma2", "gpt_neox"])
def test_headers_tell_any_language_model(model_type, tmp_path):
    model = make_model(make_config(model_type))
    model.save_pretrained(tmp_path)
    assert weight_bytes(read_shapes(tmp_path), "float32") == held_bytes(model)


def test_llama_with_biases_and_a_rotary_tower():
    vision = {"position_embedding": "rotary", "hidden_size": 32}
    config = make_config("llama", vision, attention_bias=True, tie_word_embeddings=True)
    assert weight_bytes(sizes_of(config), "float32") == held_bytes(make_model(config))


def test_the_command_lines_sizes_are_enough():
    for folder in (REFERENCE / "oryx-tiny-qwen", REFERENCE / "oryx-tiny-llama"):
        model, _ = oryx.load(folder, dtype="float32", device="cpu")
        assert weight_bytes(make_planner(folder).sizes, "float32") == held_bytes(model)


def test_unknown_names():
    sizes = sizes_of(make_config())
    with pytest.raises(ConfigError, match="quantize 'int3' is unknown; allowed: int8, int4"):
        weight_bytes(sizes, "bfloat16", "int3")
    with pytest.raises(ConfigError, match="dtype 'int8' is unknown; allowed: float32, bfloat16, float16"):
        weight_bytes(replace(sizes), "int8")


@pytest.mark.parametrize("content", [None, b"", b"\xff" * 64, (2).to_bytes(8, "little") + b"[]"])
def test_a_folder_that_cannot_be_read(tmp_path, content):
    if content is None:
        with pytest.raises(CheckpointError, match=r"holds neither model\.safetensors nor model"):
            read_shapes(tmp_path)
        return
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="is not a readable safetensors file"):
        read_shapes(tmp_path)


def test_shards_come_from_the_index(tmp_path):
    model = make_model()
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    (tmp_path / "other.safetensors").write_bytes(b"not ours")
    assert weight_bytes(read_shapes(tmp_path), "float32") == held_bytes(model)
    next(tmp_path.glob("model-*.safetensors")).unlink()
    with pytest.raises(CheckpointError, match="is not a readable safetensors file"):
        read_shapes(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(CheckpointError, match="has no weight_map"):
        read_shapes(tmp_path)


def test_nothing_needs_torch():
    code = "import sys, oryx.processing.weights; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
