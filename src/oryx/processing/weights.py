"""How many bytes a model's weights take, quantised or not: from its sizes, or from the headers of its files.

Nothing here needs torch.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from oryx.errors import CheckpointError, ConfigError
from oryx.json_file import read_json
from oryx.processing.costs import DTYPE_BYTES, ModelSizes

Shape = tuple[int, ...]

QUANTIZATIONS = ("int8", "int4")
BITS = {"int8": 8, "int4": 4}
# Inputs that share a scale and a zero point in int4; int8 has one scale for each output.
GROUP_SIZE = 32
SMALL_MODEL = 500_000_000
"""Parameters below which float32 on a CPU costs little memory and is never slower."""
# The int4 kernel takes outputs in multiples of this.
INT4_OUTPUTS = 16

PARTS = ("vision_tower", "compressor", "projector", "language_model")
_PREFIXES = {
    "vision_tower.": "vision_tower",
    "compressor.": "compressor",
    "projector.": "projector",
    "model.vision_tower.": "vision_tower",
    "model.vision_resampler.": "compressor",
    "model.mm_projector.": "projector",
}
_HEAD = re.compile(r"(language_model\.)?lm_head\.weight")
# A linear layer inside a numbered block of the language model.
_LINEAR = re.compile(r".*\.\d+\..*\.weight")


def check_quantize(quantize: str | None) -> None:
    """Raises ConfigError for a name that is not in `QUANTIZATIONS`."""
    if quantize is not None and quantize not in QUANTIZATIONS:
        raise ConfigError(f"quantize {quantize!r} is unknown; allowed: {', '.join(QUANTIZATIONS)}.")


def bits_of(shape: Shape, bits: int) -> int:
    """Bits in which a linear layer's weight (N, K) is stored: 8 where its shape does not suit groups of 4."""
    fits = shape[1] % GROUP_SIZE == 0 and shape[0] % INT4_OUTPUTS == 0
    return bits if fits else 8


def weight_bytes(weights: Mapping[str, Shape] | ModelSizes, dtype: str, quantize: str | None = None) -> int:
    """Bytes of all weights once loaded; see `part_bytes`."""
    return sum(part_bytes(weights, dtype, quantize).values())


def part_bytes(
    weights: Mapping[str, Shape] | ModelSizes, dtype: str, quantize: str | None = None
) -> dict[str, int]:
    """Bytes of each of `PARTS`.

    Args:
        weights: name -> shape, native or published, as `weight_shapes` or `read_shapes` give it.
        dtype: of what is not quantised, and of the scales: "float32", "bfloat16" or "float16".
        quantize: "int8" or "int4" for the language model's linear layers; its head is int8 in both, since
            every token reads it whole; embeddings, norms and the other parts stay in `dtype`.

    Raises:
        ConfigError: an unknown dtype or quantisation.
    """
    check_quantize(quantize)
    if dtype not in DTYPE_BYTES:
        raise ConfigError(f"dtype {dtype!r} is unknown; allowed: {', '.join(DTYPE_BYTES)}.")
    shapes = weights if isinstance(weights, Mapping) else weight_shapes(weights)
    total: Counter[str] = Counter(dict.fromkeys(PARTS, 0))
    for name, shape in shapes.items():
        bits = _bits(name, shape, quantize)
        total[part_of(name)] += _stored_bytes(shape, bits, DTYPE_BYTES[dtype])
    return dict(total)


def num_parameters(weights: Mapping[str, Shape] | ModelSizes) -> dict[str, int]:
    """Parameters of each of `PARTS`."""
    shapes = weights if isinstance(weights, Mapping) else weight_shapes(weights)
    total: Counter[str] = Counter(dict.fromkeys(PARTS, 0))
    for name, shape in shapes.items():
        total[part_of(name)] += prod(shape)
    return dict(total)


def part_of(name: str) -> str:
    """The part that a weight belongs to, by its native or published name."""
    return next((part for prefix, part in _PREFIXES.items() if name.startswith(prefix)), "language_model")


def weight_shapes(sizes: ModelSizes) -> dict[str, Shape]:
    """Native name -> shape of every weight, for a language model built as Qwen2 and Llama are."""
    shapes = _vision_shapes(sizes)
    text, root = sizes.text, "language_model."
    width, inner = text.hidden_size, text.intermediate_size
    queries, keys = text.num_attention_heads * text.head_dim, text.num_key_value_heads * text.head_dim
    shapes[f"{root}model.embed_tokens.weight"] = (text.vocab_size, width)
    for layer in range(text.num_hidden_layers):
        block = f"{root}model.layers.{layer}."
        for name, outputs in (("q", queries), ("k", keys), ("v", keys)):
            shapes[f"{block}self_attn.{name}_proj.weight"] = (outputs, width)
            if text.qkv_bias:
                shapes[f"{block}self_attn.{name}_proj.bias"] = (outputs,)
        shapes[f"{block}self_attn.o_proj.weight"] = (width, queries)
        if text.output_bias:
            shapes[f"{block}self_attn.o_proj.bias"] = (width,)
        shapes[f"{block}mlp.gate_proj.weight"] = shapes[f"{block}mlp.up_proj.weight"] = (inner, width)
        shapes[f"{block}mlp.down_proj.weight"] = (width, inner)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            shapes[f"{block}{norm}.weight"] = (width,)
    shapes[f"{root}model.norm.weight"] = (width,)
    if not text.tie_word_embeddings:
        shapes[f"{root}lm_head.weight"] = (text.vocab_size, width)
    return shapes


def read_shapes(folder: str | Path) -> dict[str, Shape]:
    """Name -> shape of every weight in a folder's safetensors files, from their headers.

    A tower that lies apart (`oryx_vit.pth`) is not among them.

    Raises:
        CheckpointError: no weights there, a shard that the index names is missing, or a damaged file.
    """
    folder = Path(folder)
    index = folder / "model.safetensors.index.json"
    shards = {"model.safetensors"}
    if index.is_file():
        weight_map = read_json(index).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise CheckpointError(f"{index} has no weight_map from tensors to shards.")
        shards = {str(shard) for shard in weight_map.values()}
    elif not (folder / "model.safetensors").is_file():
        raise CheckpointError(f"{folder} holds neither model.safetensors nor {index.name}.")
    return {name: shape for shard in sorted(shards) for name, shape in _read_header(folder / shard).items()}


def _read_header(file: Path) -> dict[str, Shape]:
    try:
        with file.open("rb") as handle:
            length = int.from_bytes(handle.read(8), "little")
            if length > file.stat().st_size:
                raise ValueError("its header is longer than the file")
            header = json.loads(handle.read(length))
        return {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{file} is not a readable safetensors file ({error}).") from None


def _bits(name: str, shape: Shape, quantize: str | None) -> int | None:
    """Bits of a quantised weight, or None where it keeps its dtype."""
    if quantize is None or len(shape) != 2 or part_of(name) != "language_model":
        return None
    if _HEAD.fullmatch(name):
        return 8
    return bits_of(shape, BITS[quantize]) if _LINEAR.fullmatch(name) else None


def _stored_bytes(shape: Shape, bits: int | None, size: int) -> int:
    if bits is None:
        return prod(shape) * size
    outputs, inputs = shape
    if bits == 8:
        return outputs * inputs + outputs * size
    return outputs * inputs // 2 + outputs * (inputs // GROUP_SIZE) * 2 * size


def _vision_shapes(sizes: ModelSizes) -> dict[str, Shape]:
    vision, dim, width = sizes.vision, sizes.compressor_dim, sizes.text.hidden_size
    tower, inner = vision.hidden_size, vision.intermediate_size
    shapes: dict[str, Any] = {}

    def linear(name: str, outputs: int, inputs: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (outputs, inputs), (outputs,)

    linear("vision_tower.patch_embed.proj", tower, vision.num_channels * vision.patch_size**2)
    if vision.position_grid_size:
        shapes["vision_tower.pos_embed.weight"] = (vision.position_grid_size**2, tower)
    for layer in range(vision.num_hidden_layers):
        block = f"vision_tower.blocks.{layer}."
        linear(f"{block}attn.qkv", 3 * tower, tower)
        linear(f"{block}attn.proj", tower, tower)
        linear(f"{block}mlp.fc1", inner, tower)
        linear(f"{block}mlp.fc2", tower, inner)
        for norm in ("norm1", "norm2"):
            shapes[f"{block}{norm}.weight"] = shapes[f"{block}{norm}.bias"] = (tower,)
    linear("compressor.query", dim, tower)
    linear("compressor.key", dim, tower)
    linear("projector.fc1", width, tower)
    linear("projector.fc2", width, width)
    for mark in ("begin", "newline", "separator", "end"):
        shapes[f"projector.{mark}"] = (width,)
    return shapes
