"""Which way several processes share the work: what the recipe says, or what `accelerate launch` was told."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from oryx.errors import ConfigError
from oryx.training.sections.parallel import ParallelSection


def settle(section: ParallelSection, num_processes: int) -> ParallelSection:
    """The section with a strategy that is not "auto"; the launcher's wishes taken over from its environment.

    Raises:
        ConfigError: what the launcher was told contradicts the recipe or cannot be done.
    """
    launcher = _from_launcher()
    if section.strategy == "auto":
        section = _joined(section, launcher) if launcher is not None else replace(section, strategy="ddp")
    elif launcher is not None and launcher.strategy != section.strategy:
        raise ConfigError(
            f"parallel.strategy is {section.strategy}, but accelerate was configured for "
            f"{launcher.strategy}; set strategy to auto, or launch without that configuration."
        )
    if section.strategy == "deepspeed":
        check_deepspeed(section.deepspeed_config)
    elif num_processes == 1:
        section = replace(section, strategy="ddp")  # one process has nothing to share
    # Sharding is done here, not by accelerate, whose own runs on no CPU.
    os.environ.pop("ACCELERATE_USE_FSDP", None)
    return section


def _joined(section: ParallelSection, launcher: ParallelSection) -> ParallelSection:
    """The launcher's choices; a recipe that needs host memory needs it however it is launched.

    Raises:
        ConfigError: DeepSpeed, which is told so in its own file.
    """
    return replace(launcher, cpu_offload=launcher.cpu_offload or section.cpu_offload)


@cache  # once a process: `settle` takes the wish out of the environment, and a chain settles again
def _from_launcher() -> ParallelSection | None:
    """What `accelerate launch` passes on to the processes it starts."""
    if _flag("ACCELERATE_USE_DEEPSPEED"):
        config = os.environ.get("ACCELERATE_DEEPSPEED_CONFIG_FILE")
        if not config or config == "none":
            raise ConfigError(
                "accelerate was configured for DeepSpeed without a file of its own; name one as "
                "deepspeed_config_file, such as recipes/parallel/zero3.json."
            )
        return ParallelSection(strategy="deepspeed", deepspeed_config=config)
    if _flag("ACCELERATE_USE_FSDP"):
        if os.environ.get("FSDP_VERSION", "1") != "2":
            raise ConfigError(
                "accelerate was configured for FSDP1, which is outdated; set fsdp_version: 2 there."
            )
        return ParallelSection(
            strategy="fsdp2",
            reshard_after_forward=_flag("FSDP_RESHARD_AFTER_FORWARD", default=True),
            cpu_offload=_flag("FSDP_OFFLOAD_PARAMS"),
        )
    return None


def check_deepspeed(config: str | None) -> None:
    """Refuse what cannot start.

    Raises:
        ConfigError: the file is missing, or DeepSpeed is.
    """
    if config is None or not Path(config).is_file():
        raise ConfigError(f"parallel.deepspeed_config: {config} does not exist.")
    if find_spec("deepspeed") is None:
        raise ConfigError(
            "parallel.strategy deepspeed needs the package deepspeed (pip install deepspeed, with a CUDA "
            "toolkit); fsdp2 shards as well and needs nothing more."
        )


def leave_deepspeed() -> None:
    """Make transformers forget it: the next part of a chain is built before its own is set up."""
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()
    os.environ.pop("ACCELERATE_USE_DEEPSPEED", None)  # as transformers set it


def _flag(name: str, default: bool = False) -> bool:
    return os.environ.get(name, str(default)).lower() in ("true", "1", "yes")
