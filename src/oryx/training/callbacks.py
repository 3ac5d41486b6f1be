"""What happens between the phases of the Trainer's loop."""

from __future__ import annotations

import time
from typing import Any

from torch import nn
from transformers import TrainerCallback

from oryx.training.distributed import World
from oryx.training.stopping import Stopper


class StopAndSave(TrainerCallback):
    """Stops after a time or when asked, logs with every checkpoint, keeps the epoch right in resumed runs."""

    def __init__(self, max_minutes: float | None, stopper: Stopper, world: World) -> None:
        self.max_minutes = max_minutes
        self.stopper = stopper
        self.world = world
        self.began = time.monotonic()

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # A checkpoint brings the intervals that its run began with; those of the recipe may have changed.
        state.compute_steps(args, state.max_steps)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        state.epoch = state.global_step / state.max_steps
        is_late = self.max_minutes is not None and time.monotonic() - self.began >= 60 * self.max_minutes
        # All together: processes that stopped at different steps would wait for each other.
        is_asked = self.stopper.share(self.world) is not None
        if is_asked or any(self.world.sums([is_late])):
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
