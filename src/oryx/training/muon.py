"""Muon for matrices, AdamW for the rest, as one optimiser.

Muon (Jordan et al., 2024) takes the momentum's nearest orthogonal matrix as the step. With the scale of
arXiv 2502.16982 a step has the size of AdamW's, so both use one learning rate. `torch.optim.Muon` iterates in
bfloat16, a hundred times slower than float32 on a CPU without bfloat16 products; this one iterates in the
weights' dtype.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, Replicate

MOMENTUM = 0.95
# Quintic Newton-Schulz coefficients of the original, chosen for the steepest slope at zero.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5
RMS = 0.2


class MuonAdamW(torch.optim.AdamW):
    """AdamW whose parameter groups with `muon: True` (matrices only) take Muon's step instead."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        groups = self.param_groups
        self.param_groups = [group for group in groups if not group.get("muon")]
        try:
            loss = super().step(closure)
        finally:
            self.param_groups = groups
        for group in groups:
            if group.get("muon"):
                self._step_muon(group)
        return loss

    def _step_muon(self, group: dict[str, Any]) -> None:
        by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
        for parameter in group["params"]:
            if parameter.grad is not None:
                by_shape[parameter.shape].append(parameter)
        for shape, parameters in by_shape.items():
            gradients: list[Any] = [parameter.grad for parameter in parameters]
            momenta = []
            for parameter in parameters:
                state = self.state[parameter]
                if not state:
                    # AdamW looks for a step count in every state that it loads.
                    state["step"] = torch.zeros(())
                    state["momentum"] = torch.zeros_like(parameter)
                state["step"] += 1
                momenta.append(state["momentum"])
            torch._foreach_mul_(momenta, MOMENTUM)
            torch._foreach_add_(momenta, gradients)
            nesterov = [_whole(g + MOMENTUM * m) for g, m in zip(gradients, momenta, strict=True)]
            updates = orthogonalize(torch.stack(nesterov))
            scale = group["lr"] * RMS * max(shape) ** 0.5
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
            shares = [
                _share(update, parameter) for update, parameter in zip(updates, parameters, strict=True)
            ]
            torch._foreach_add_(parameters, shares, alpha=-scale)


def _whole(matrix: Tensor) -> Tensor:
    """A matrix that processes share, gathered: it has no orthogonal matrix near it in parts."""
    return matrix.full_tensor() if isinstance(matrix, DTensor) else matrix


def _share(update: Tensor, parameter: Tensor) -> Tensor:
    """This process's part of a whole `update`, laid out as the parameter is."""
    if not isinstance(parameter, DTensor):
        return update
    mesh = parameter.device_mesh
    everywhere = DTensor.from_local(update, mesh, [Replicate()] * mesh.ndim, run_check=False)
    return everywhere.redistribute(mesh, parameter.placements)


def orthogonalize(matrices: Tensor) -> Tensor:
    """(N, rows, columns) -> the same with all singular values near 1, by Newton-Schulz iteration."""
    a, b, c = COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x
