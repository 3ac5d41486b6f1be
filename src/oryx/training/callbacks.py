"""What happens between the phases of the Trainer's loop."""

from __future__ import annotations

import time
from typing import Any

from torch import nn
from transformers import TrainerCallback

from oryx.training.distributed import World


class StopAndSave(TrainerCallback):
    """Stops after a time, logs with every checkpoint, and keeps the epoch right in resumed runs."""

    def __init__(self, max_minutes: float | None, world: World) -> None:
        self.max_minutes = max_minutes
        self.world = world
        self.began = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        state.epoch = state.global_step / state.max_steps
        # By rank 0's clock: processes that stopped at different steps would wait for each other.
        if self.max_minutes is not None and self.world.from_main(
            time.monotonic() - self.began >= 60 * self.max_minutes
        ):
            control.should_save = control.should_training_stop = True
        if control.should_save:
            # A resumed run begins a new mean of the loss here, so the first one must end here too.
            control.should_log = True


class LeaveUnused(TrainerCallback):
    """Leaves parts alone that a step used on no process.

    Several processes need a gradient for each weight, be it zero; but a step without visuals must not move
    the tower by its momentum and its weight decay. One process has no gradient there to begin with.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.parts: tuple[str, ...] = ()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        for part in self.parts:
            self.model.get_submodule(part).zero_grad(set_to_none=True)
