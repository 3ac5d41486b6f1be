"""What a training step takes in memory, reckoned from sizes.

State is exact: weights as they are held, and for those that learn a gradient and the optimiser's averages in
float32. What a layer keeps for its backward pass was counted on real layers, tensor by tensor, as a test does
again. Not counted: what kernels need while they run, fragments, and batches that wait to be read.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from oryx.config import OryxConfig
from oryx.errors import ConfigError
from oryx.model.loss import CHUNK_VALUES
from oryx.processing.costs import ModelSizes
from oryx.sizes import model_sizes
from oryx.training.recipe import Recipe
from oryx.training.stages import parameter_groups

SUPERVISED = 8
"""One position in so many is taken to be supervised, and so to have logits."""
PATCHES = 4
"""Patches of the tower are taken to be so many for each position, as in videos at 4x."""
# Bytes at the peak for each logit: logits and their gradient, in float32 and in the arithmetic's own dtype.
_LOGIT = {"bfloat16": 16, "float32": 12}

SHARDED = ("weights", "gradients", "optimiser")
"""Entries of `training_bytes` that are shared out over the processes of a sharded run."""


def training_bytes(model: nn.Module, config: OryxConfig, recipe: Recipe) -> dict[str, int | None]:
    """Bytes of one process that trains alone.

    Args:
        model: of `config`, on any device ("meta" too), its parts frozen as the recipe says.

    Returns:
        `weights`, `gradients`, `optimiser`, `copies` in bfloat16, `activations` and `logits`; the last two
        are None for language models whose layers are not known here.
    """
    is_bfloat16 = recipe.precision == "bfloat16"
    num_learning = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    entries: dict[str, int | None] = {
        "weights": sum(parameter.nbytes for parameter in model.parameters()),
        "gradients": 4 * num_learning,
        "optimiser": _optimizer_bytes(model, recipe),
        # Autocast keeps what it has cast; recomputed layers cast again.
        "copies": 2 * num_learning if is_bfloat16 and not recipe.gradient_checkpointing else 0,
        "activations": None,
        "logits": None,
    }
    try:
        sizes = model_sizes(config, "float32")
    except (TypeError, ConfigError):
        return entries
    num_positions = recipe.batch.rows * recipe.batch.row_length
    entries["activations"] = _activation_bytes(num_positions, sizes, recipe)
    num_logits = num_positions // SUPERVISED * sizes.text.vocab_size
    entries["logits"] = _LOGIT[recipe.precision] * min(num_logits, max(CHUNK_VALUES.values()))
    return entries


def layer_bytes(text: Any, is_bfloat16: bool) -> int:
    """Bytes for each position that one layer of a language model keeps; of `TextSizes`."""
    width, inner, heads = text.hidden_size, text.intermediate_size, text.num_attention_heads
    keys = text.num_key_value_heads * text.head_dim
    if is_bfloat16:
        return 30 * width + 4 * keys + 8 * inner + 4 * heads + 8
    return 32 * width + 8 * keys + 16 * inner + 4 * heads + 8


def block_bytes(vision: Any, is_bfloat16: bool) -> int:
    """Bytes for each patch that one block of the tower keeps, but for 4 a head; of `VisionSizes`."""
    width, inner = vision.hidden_size, vision.intermediate_size
    return 20 * width + 4 * inner + 16 if is_bfloat16 else 32 * width + 8 * inner + 16


def _activation_bytes(num_positions: int, sizes: ModelSizes, recipe: Recipe) -> int:
    is_bfloat16 = recipe.precision == "bfloat16"
    text, vision = sizes.text, sizes.vision
    layer, block = layer_bytes(text, is_bfloat16), block_bytes(vision, is_bfloat16)
    if recipe.gradient_checkpointing:  # one layer is whole at a time, of the others its input
        of_text = 4 * text.hidden_size * text.num_hidden_layers + layer
        of_vision = 4 * vision.hidden_size * vision.num_hidden_layers + block
    else:
        of_text, of_vision = layer * text.num_hidden_layers, block * vision.num_hidden_layers
    if "vision_tower" not in recipe.train:  # nothing is kept, but a block works at a time
        of_vision = block
    return num_positions * (of_text + PATCHES * of_vision)


def _optimizer_bytes(model: nn.Module, recipe: Recipe) -> int:
    """Two averages in float32 for AdamW, one for Muon's matrices."""
    optim = recipe.optim
    multiplier = optim.muon_multiplier if optim.optimizer == "muon" else None
    groups = parameter_groups(model, 1.0, 1.0, {}, multiplier)
    return sum(
        (4 if group.get("muon") else 8) * sum(parameter.numel() for parameter in group["params"])
        for group in groups
    )
