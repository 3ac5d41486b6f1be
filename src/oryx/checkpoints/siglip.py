"""SigLIP's vision tower, as `transformers` stores it, turned into weights of an OryxViT.

OryxViT begins from SigLIP-so400m (arXiv 2409.12961, 3.1). The blocks are the same. What differs:

- Patches of 16 pixels instead of 14. The kernel is resized by the pseudo-inverse of a bilinear resize of
  pixels (FlexiViT, arXiv 2212.08013): the new kernel says of an enlarged patch what the old one said of the
  patch itself, to rounding. Interpolating the kernel would scale that by the ratio of the areas, and blur it.
- 128 x 128 positions instead of 27 x 27. The table is resized bicubically, and bilinearly back to the grid of
  each view when the tower runs. For smooth tables that gives SigLIP's own back, at its own grid, to between
  0.1% (cosines of up to 4 half waves) and 1% (26); a bilinear resize here would lose 4 to 7 times as much.
- q, k and v are one matrix.
- No norm after the last block, and no pooling head: SigLIP's are left out.
- GELU without the tanh approximation: SigLIP's weights run under it all the same, and the tower learns on.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import SiglipVisionConfig

from oryx.checkpoints.files import lazy_tensors, list_shards, read_headers
from oryx.config import INVALID_SETTINGS, OryxVisionConfig
from oryx.errors import CheckpointError, ConfigError, raise_mismatch

SIGLIP_TYPES = ("siglip", "siglip_vision_model")
"""`model_type` of a whole SigLIP (also of SigLIP 2 at a fixed size) and of its vision tower alone."""
SETTABLE = ("patch_size", "position_grid_size", "position_embedding", "rope_theta", "hidden_act")
"""Settings of the tower that are not SigLIP's own."""

# (SigLIP's name, the tower's) inside one block.
_BLOCK = (
    ("layer_norm1", "norm1"),
    ("self_attn.out_proj", "attn.proj"),
    ("layer_norm2", "norm2"),
    ("mlp.fc1", "mlp.fc1"),
    ("mlp.fc2", "mlp.fc2"),
)
_QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
_KERNEL = "embeddings.patch_embedding"
_TABLE = "embeddings.position_embedding.weight"
# What the tower has no place for: the norm after the last block, the pooling head, and SigLIP's text side.
_DROPPED = re.compile(r"(post_layernorm|head|text_model)\..*|logit_scale|logit_bias|embeddings\.position_ids")


def siglip_config(folder: Path, settings: Mapping[str, Any] | None = None) -> OryxVisionConfig:
    """The tower that a SigLIP folder becomes: its widths and depth, patches and positions as `settings` say.

    Args:
        settings: some of `SETTABLE`; the published tower's where left out.

    Raises:
        CheckpointError: the folder's config is not SigLIP's.
        ConfigError: a setting that is SigLIP's own, or of a wrong value.
    """
    settings = settings or {}
    for key in settings:
        if key not in SETTABLE:
            raise ConfigError(f"{key} is SigLIP's own and cannot be set; allowed: {', '.join(SETTABLE)}.")
    siglip = _read_config(folder)
    own = {
        name: getattr(siglip, name)
        for name in (
            "hidden_size",
            "intermediate_size",
            "num_hidden_layers",
            "num_attention_heads",
            "num_channels",
            "layer_norm_eps",
        )
    }
    try:
        return OryxVisionConfig(**own, **settings)
    except INVALID_SETTINGS as error:
        raise ConfigError(f"the tower cannot have these settings ({' '.join(str(error).split())}).") from None


def siglip_weights(folder: Path, config: OryxVisionConfig) -> dict[str, Tensor]:
    """Name -> tensor of an `OryxVisionModel` of `config`, which `siglip_config` made, in float32.

    Raises:
        CheckpointError: listing keys of the folder that are unknown, missing or misshapen.
    """
    # Newer releases of transformers save the tower alone without a prefix.
    tensors = {
        name.removeprefix("vision_model."): tensor
        for name, tensor in lazy_tensors(read_headers(list_shards(folder))).items()
    }
    shapes = {name: tensor.entry.shape for name, tensor in tensors.items() if not _DROPPED.fullmatch(name)}
    siglip = _read_config(folder)
    expected = _expected_shapes(siglip)
    raise_mismatch(
        folder,
        unknown=sorted(set(shapes) - set(expected)),
        missing=sorted(set(expected) - set(shapes)),
        misshapen=[
            f"{name} {list(shapes[name])} instead of {list(shape)}"
            for name, shape in expected.items()
            if name in shapes and shapes[name] != shape
        ],
    )
    of_tower = sorted({name.split(".")[0] for name in tensors} & {"post_layernorm", "head"})
    if of_tower:
        warnings.warn(f"{folder}: left out what OryxViT has no place for: {of_tower}.", stacklevel=2)
    return _translate(lambda name: tensors[name][...].float(), siglip, config)


def resize_kernel(kernel: Tensor, size: int) -> Tensor:
    """A patch kernel (D, C, h, w) for patches of `size` x `size` pixels: (D, C, size, size).

    Its product with any patch enlarged bilinearly equals that of `kernel` with the patch itself. For smaller
    patches it is the closest one in the mean over patches of independent pixels.
    """
    height, width = kernel.shape[-2:]
    if (height, width) == (size, size):
        return kernel
    # Column i of `resize` is what a patch with a single white pixel i becomes.
    pixels = torch.eye(height * width, dtype=torch.float64).view(-1, 1, height, width)
    resized = F.interpolate(pixels, size=(size, size), mode="bilinear", align_corners=False)
    resize = resized.flatten(1).T  # (size size, h w)
    # kernel' . (resize x) = kernel . x for all x, so resize^T kernel' = kernel.
    solve = torch.linalg.pinv(resize.T)  # (size size, h w)
    made = kernel.flatten(2).double() @ solve.T
    return made.unflatten(2, (size, size)).to(kernel.dtype)


def resize_table(table: Tensor, grid: tuple[int, int], size: int) -> Tensor:
    """A table of positions (h w, D) of a `grid` (h, w), resized bicubically: (size size, D)."""
    if grid == (size, size):
        return table
    plane = table.view(*grid, -1).permute(2, 0, 1)[None]
    resized = F.interpolate(plane, size=(size, size), mode="bicubic", align_corners=False)
    return resized[0].flatten(1).T.contiguous()


def _read_config(folder: Path) -> SiglipVisionConfig:
    try:
        return SiglipVisionConfig.from_pretrained(folder)
    except (*INVALID_SETTINGS, OSError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{folder / 'config.json'} is not a valid SigLIP config ({reason}).") from None


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))


def _grid(siglip: SiglipVisionConfig) -> tuple[int, int]:
    (height, width), (rows, columns) = _pair(siglip.image_size), _pair(siglip.patch_size)
    return height // rows, width // columns


def _expected_shapes(siglip: SiglipVisionConfig) -> dict[str, tuple[int, ...]]:
    """Name -> shape of what the tower takes of SigLIP."""
    width, inner, (rows, columns) = siglip.hidden_size, siglip.intermediate_size, _grid(siglip)
    shapes: dict[str, tuple[int, ...]] = {
        f"{_KERNEL}.weight": (width, siglip.num_channels, *_pair(siglip.patch_size)),
        f"{_KERNEL}.bias": (width,),
        _TABLE: (rows * columns, width),
    }
    linear = dict.fromkeys((*_QKV, "self_attn.out_proj"), (width, width))
    linear |= {"mlp.fc1": (inner, width), "mlp.fc2": (width, inner)}
    for layer in range(siglip.num_hidden_layers):
        block = f"encoder.layers.{layer}."
        for name, shape in linear.items():
            shapes[f"{block}{name}.weight"], shapes[f"{block}{name}.bias"] = shape, shape[:1]
        for name in ("layer_norm1", "layer_norm2"):
            shapes[f"{block}{name}.weight"] = shapes[f"{block}{name}.bias"] = (width,)
    return shapes


def _translate(
    read: Callable[[str], Tensor], siglip: SiglipVisionConfig, config: OryxVisionConfig
) -> dict[str, Tensor]:
    kernel = resize_kernel(read(f"{_KERNEL}.weight"), config.patch_size)
    weights = {
        "patch_embed.proj.weight": kernel.flatten(1),  # channel, row, column, as patches are packed
        "patch_embed.proj.bias": read(f"{_KERNEL}.bias"),
    }
    if config.uses_table:
        weights["pos_embed.weight"] = resize_table(read(_TABLE), _grid(siglip), config.position_grid_size)
    for layer in range(config.num_hidden_layers):
        theirs, ours = f"encoder.layers.{layer}.", f"blocks.{layer}."
        for kind in ("weight", "bias"):
            weights[f"{ours}attn.qkv.{kind}"] = torch.cat([read(f"{theirs}{name}.{kind}") for name in _QKV])
            for source, target in _BLOCK:
                weights[f"{ours}{target}.{kind}"] = read(f"{theirs}{source}.{kind}")
    return weights
