"""Which parts of a model learn, and at what rate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from rich.table import Table
from torch import nn

from oryx.errors import ConfigError
from oryx.model.vision import PositionTable
from oryx.processing.geometry import nearest
from oryx.training.lora import add_lora
from oryx.training.sections.checks import PARTS, check_parts
from oryx.training.sections.lora import LoraSection


def set_trainable(
    model: Any, parts: Sequence[str], lora: LoraSection | None = None, bfloat16: bool = False
) -> Table:
    """Freeze everything but `parts` of `vision_tower`, `compressor`, `projector` and `language_model`.

    With `lora` the language model learns by adapters; `bfloat16` is the run's precision, for `add_lora`.

    Returns:
        A table of all parts, with their numbers of parameters, to be printed.

    Raises:
        ConfigError: an unknown part, or none; or what `add_lora` refuses.
    """
    for part in parts:
        if part not in PARTS:
            raise ConfigError(f"train: {part!r} is not a part of the model; {nearest(part, PARTS)}.")
    check_parts(parts)
    sizes = {part: count_parameters(model.get_submodule(part)) for part in PARTS}
    total = count_parameters(model)
    for part in PARTS:
        model.get_submodule(part).requires_grad_(part in parts)
    if lora is not None:
        add_lora(model, lora, bfloat16)
    table = Table("part", "learns", title="What is trained")
    table.add_column("parameters", justify="right")
    table.add_column("trained", justify="right")
    trained = 0
    for part in PARTS:
        count = count_trained(model.get_submodule(part))
        trained += count
        learns = "yes" if part in parts else "frozen"
        if part == "language_model" and lora is not None:
            quantized = "" if lora.quantize == "none" else f" on {lora.quantize}"
            learns = f"LoRA of rank {lora.rank}{quantized}"
        table.add_row(part, learns, f"{sizes[part]:,}", f"{count:,}" if count else "")
    table.add_section()
    table.add_row("trained", "", "", f"{trained:,} of {total:,}")
    return table


def count_parameters(module: nn.Module) -> int:
    """Parameters of a module, shared ones once."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_trained(module: nn.Module) -> int:
    """Parameters of a module that learn."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def parameter_groups(
    model: nn.Module,
    learning_rate: float,
    weight_decay: float,
    multipliers: Mapping[str, float],
    muon_multiplier: float | None = None,
) -> list[dict[str, Any]]:
    """Optimiser groups of what learns: one per part, with and without weight decay.

    Only matrices decay: no norms, biases and other vectors, and no tables (embeddings, positions). With
    `muon_multiplier`, the groups of matrices are marked for Muon.
    """
    tables = {id(parameter) for parameter in _tables(model)}
    groups = []
    seen: set[int] = set()
    for part in PARTS:
        parameters = [
            p for p in model.get_submodule(part).parameters() if p.requires_grad and id(p) not in seen
        ]
        seen |= {id(parameter) for parameter in parameters}
        decayed = [p for p in parameters if p.ndim >= 2 and id(p) not in tables]
        kept = [p for p in parameters if p.ndim < 2 or id(p) in tables]
        rate = learning_rate * multipliers.get(part, 1.0)
        if decayed:
            group = {"params": decayed, "lr": rate, "weight_decay": weight_decay, "part": part}
            if muon_multiplier is not None:
                group |= {"muon": True, "lr": rate * muon_multiplier}
            groups.append(group)
        if kept:
            groups.append({"params": kept, "lr": rate, "weight_decay": 0.0, "part": part})
    return groups


def _tables(model: nn.Module) -> Iterable[torch.Tensor]:
    for module in model.modules():
        if isinstance(module, nn.Embedding | PositionTable):
            yield module.weight
