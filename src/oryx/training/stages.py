"""Which parts of a model learn, and at what rate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from rich.table import Table
from torch import nn

from oryx.errors import ConfigError
from oryx.processing.geometry import nearest
from oryx.training.sections.checks import PARTS


def set_trainable(model: nn.Module, parts: Sequence[str]) -> Table:
    """Freeze everything but `parts` of `vision_tower`, `compressor`, `projector` and `language_model`.

    Returns:
        A table of all parts, with their numbers of parameters, to be printed.

    Raises:
        ConfigError: an unknown part, or none.
    """
    for part in parts:
        if part not in PARTS:
            raise ConfigError(f"train: {part!r} is not a part of the model; {nearest(part, PARTS)}.")
    if not parts:
        raise ConfigError(f"train is empty, so everything would be frozen; name some of {', '.join(PARTS)}.")
    table = Table("part", "learns", title="What is trained")
    table.add_column("parameters", justify="right")
    total = 0
    for part in PARTS:
        learns = part in parts
        module = model.get_submodule(part)
        module.requires_grad_(learns)
        count = count_parameters(module)
        total += count if learns else 0
        table.add_row(part, "yes" if learns else "frozen", f"{count:,}")
    table.add_section()
    table.add_row("trained", "", f"{total:,} of {count_parameters(model):,}")
    return table


def count_parameters(module: nn.Module) -> int:
    """Parameters of a module, shared ones once."""
    return sum(parameter.numel() for parameter in module.parameters())


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
        if isinstance(module, nn.Embedding):
            yield module.weight
        # A matrix that a module holds itself, outside any layer, is looked up, such as learned positions.
        elif not isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
            yield from module.parameters(recurse=False)
