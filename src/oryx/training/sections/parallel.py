"""How several processes share the work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from oryx.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class ParallelSection:
    """What `torchrun` or `accelerate launch` started does together.

    One process alone ignores all but strategy deepspeed, whose engine works alone too.
    """

    strategy: Literal["auto", "ddp", "fsdp2", "deepspeed"] = "auto"
    """A copy of the model on each process, a share of it (FSDP2), or DeepSpeed. "auto" is what the
    configuration of `accelerate launch` says, and ddp under `torchrun`."""
    reshard_after_forward: bool = True
    """fsdp2: give a layer's gathered weights back after its forward pass and gather them again for its
    backward pass; false keeps them, which is faster and takes more memory."""
    cpu_offload: bool = False
    """fsdp2: weights, gradients and the optimiser's state live in host memory. DeepSpeed's file has a way of
    its own to say so."""
    deepspeed_config: str | None = None
    """deepspeed: path of its JSON configuration."""

    def __post_init__(self) -> None:
        if self.strategy == "deepspeed" and self.deepspeed_config is None:
            raise ConfigError("deepspeed_config is missing; strategy deepspeed needs one.")
        if self.deepspeed_config is not None and self.strategy != "deepspeed":
            raise ConfigError(f"deepspeed_config is set, but strategy is {self.strategy}.")
        if self.cpu_offload and self.strategy == "deepspeed":
            raise ConfigError(
                "cpu_offload is set, but strategy is deepspeed, whose file says what it offloads "
                "(zero_optimization.offload_param and offload_optimizer); set cpu_offload to false."
            )
