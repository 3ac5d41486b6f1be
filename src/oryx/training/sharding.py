"""FSDP2: every process holds a share of each weight, of its gradient and of the optimiser's state.

`torch.distributed.fsdp.fully_shard` itself, since accelerate's own FSDP2 runs on no CPU: what is tested on
two CPU processes is what runs on GPUs. Checkpoints hold the weights as one model that `oryx.load` reads,
gathered on rank 0, and the optimiser's state in shards (`torch.distributed.checkpoint`), which any number of
processes reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, OffloadPolicy, fully_shard
from torch.distributed.tensor import distribute_tensor

from oryx.errors import CheckpointError
from oryx.training.sections.parallel import ParallelSection

OPTIMIZER = "optimizer"
"""Folder of a checkpoint that holds the optimiser's shards."""
# Small parts whose weights are used outside their own `forward` stay in the root's group, which is kept whole
# from the beginning of the model's forward pass to its end.
_IN_ROOT = {"DynamicCompressor", "Projector"}


def shard(model: Any, section: ParallelSection, bfloat16: bool) -> None:
    """Replace every weight by this process's share of rank 0's.

    One group for each layer of the language model and each block of the tower, and for the embedding; the
    root has the rest, the head too: the loss calls it once for each chunk.

    Args:
        model: an `OryxForConditionalGeneration` on the CPU. On ranks other than 0 its weights may hold any
            values, or be on the meta device.
        bfloat16: gather weights in bfloat16; shares, gradients and their sums stay in float32.
    """
    weights = model.state_dict() if dist.get_rank() == 0 else {}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtypes = {"param_dtype": torch.bfloat16, "reduce_dtype": torch.float32} if bfloat16 else {}
    offload = CPUOffloadPolicy(pin_memory=device == "cuda") if section.cpu_offload else OffloadPolicy()
    settings: dict[str, Any] = {
        "mesh": init_device_mesh(device, (dist.get_world_size(),)),
        "mp_policy": MixedPrecisionPolicy(**dtypes),  # type: ignore[arg-type]
        "offload_policy": offload,
    }
    layers = set(model._no_split_modules) - _IN_ROOT
    for module in [module for module in model.modules() if type(module).__name__ in layers]:
        fully_shard(module, reshard_after_forward=section.reshard_after_forward, **settings)
    embedding = model.get_input_embeddings()
    if embedding.weight is not model.get_output_embeddings().weight:  # one tensor belongs to one group
        fully_shard(embedding, reshard_after_forward=section.reshard_after_forward, **settings)
    fully_shard(model, **settings)
    where = "cpu" if section.cpu_offload else device
    model._apply(lambda tensor: torch.empty_like(tensor, device=where) if tensor.is_meta else tensor)
    load_weights(model, weights)


def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Hand every process its share of rank 0's full `weights`; other weights, such as tied ones, stay.

    What the other ranks bring is not looked at.
    """
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True, strict=False)
    set_model_state_dict(model, dict(weights) if dist.get_rank() == 0 else {}, options=options)


def gather_weights(model: nn.Module, only_learned: bool = False) -> dict[str, Tensor]:
    """All weights, or those that learn, whole, in host memory of rank 0; nothing elsewhere."""
    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=only_learned)
    weights: dict[str, Any] = get_model_state_dict(model, options=options)
    # Gathered tensors are no longer one, where the model's own, such as a tied head, are.
    every = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    twins = every - {name for name, _ in model.named_parameters()}
    return {name: weight for name, weight in weights.items() if name not in twins}


def save_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, folder: Path) -> None:
    """Write every process's share of the optimiser's state into `folder`.

    Raises:
        OSError: a disk refused; on every rank.
    """
    state = {OPTIMIZER: get_optimizer_state_dict(model, optimizer)}
    try:
        dcp.save(state, checkpoint_id=folder / OPTIMIZER)
    except CheckpointException as error:
        raise _as_plain(error) from None


def load_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, checkpoint: Path) -> None:
    """Read back what `save_optimizer` wrote, into shares or into a whole model.

    Raises:
        CheckpointError: it cannot be read, or is another model's.
    """
    folder = checkpoint / OPTIMIZER
    state: dict[str, Any] = get_optimizer_state_dict(model, optimizer)
    try:
        saved = dcp.FileSystemReader(folder).read_metadata().state_dict_metadata
        # A weight that no step has used yet has no state.
        has_state = {key.removeprefix(f"{OPTIMIZER}.state.").rpartition(".")[0] for key in saved}
        state["state"] = {name: entry for name, entry in state["state"].items() if name in has_state}
        dcp.load({OPTIMIZER: state}, checkpoint_id=folder, no_dist=not dist.is_initialized())
    except (CheckpointException, OSError) as error:
        reason = _as_plain(error) if isinstance(error, CheckpointException) else error
        raise CheckpointError(f"{folder} cannot be read ({reason}).") from None
    set_optimizer_state_dict(model, optimizer, state, options=StateDictOptions(strict=False))


def share_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """This process's part of the state that an optimiser of whole weights wrote.

    Args:
        optimizer: of the same weights, shared out.
        state: the whole; every process has it, in a mapped file of which it reads its part.
    """
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]

    def share(weight: Any, value: Any) -> Any:
        if not isinstance(value, Tensor) or value.shape != weight.shape:  # the count of steps
            return value
        # A copy: the file may go while the run goes on.
        return distribute_tensor(value, weight.device_mesh, weight.placements, src_data_rank=None).clone()

    shared = {
        number: {key: share(weights[number], value) for key, value in entry.items()}
        for number, entry in state["state"].items()
    }
    return {**state, "state": shared}


def _as_plain(error: CheckpointException) -> Exception:
    """The first rank's own error: torch wraps all ranks' in one that is no `Exception`."""
    cause, _ = next(iter(error.failures.values()))
    return cause if isinstance(cause, Exception) else RuntimeError(str(cause))


class Sharded(nn.Module):
    """What the Trainer takes for a wrapped model: the sharded one, in the run's precision."""

    def __init__(self, module: nn.Module, autocast: Callable[[], AbstractContextManager[Any]]) -> None:
        super().__init__()
        self.module = module
        self._autocast = autocast

    def forward(self, **inputs: Any) -> Any:
        with self._autocast():
            return self.module(**inputs)

    def no_sync(self) -> AbstractContextManager[None]:
        """Gradients are shared out after every batch: to keep them whole until a step's last would take their
        full memory on each process."""
        return nullcontext()
