"""Which engine, which workers and which media: the one place where the server's parts are chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from oryx.errors import ConfigError
from oryx.serving.encoding import EncodingLimits
from oryx.serving.engine import Engine
from oryx.serving.engines import choosing
from oryx.serving.engines.choosing import as_value
from oryx.serving.http.service import Parts
from oryx.serving.http.settings import Limits
from oryx.serving.media.loader import MediaLoader
from oryx.serving.media.policy import MediaPolicy


@dataclass(frozen=True)
class Choice:
    """What the command line says about the parts."""

    model: str = "nano"
    model_name: str | None = None
    """What clients call it; None for the name of its folder or its hub id."""
    engine: str = "auto"
    dtype: str = "auto"
    max_requests: int = 16
    """That the engine answers at a time."""
    num_workers: int = 1
    """Processes that encode."""
    engine_options: Mapping[str, Any] = field(default_factory=dict)
    """Of the transformers engine alone: device, quantize, vision_tower, vision_dtype."""
    decoding: Mapping[str, Any] = field(default_factory=dict)
    """Of `EncodingLimits`: max_seconds, max_memory, max_frames, max_pixels."""
    further: Sequence[str] = ()
    """Arguments that are not the server's, for vLLM: `--tensor-parallel-size 2`."""
    media_root: Path | None = None
    allowed_hosts: Sequence[str] = ()
    known: Sequence[str] = ()
    """Options of the server's own, to name the nearest when one is unknown."""


def build_parts(choice: Choice, limits: Limits) -> Parts:
    """The parts, not started.

    Raises:
        ConfigError: an engine that is not installed, an option that the engine does not have, or media that
            cannot be served.
    """
    num_visuals = limits.max_images + limits.max_videos
    policy = MediaPolicy(
        media_root=choice.media_root,
        allowed_hosts=tuple(choice.allowed_hosts),
        max_bytes=limits.max_body,
        max_visuals=max(1, num_visuals),
    )
    loader = MediaLoader(policy)
    engine = build_engine(choice)  # last, for it imports for many seconds
    # A device or a quantisation is the transformers engine's; the planner of budgets has to know them, too.
    loading = {name: value for name, value in choice.engine_options.items() if name != "vision_dtype"}
    from oryx.serving.workers.pool import EncodingPool

    pool = EncodingPool(
        choice.model,
        choice.num_workers,
        EncodingLimits(
            max_total_bytes=policy.max_total_bytes,
            max_visuals=max(1, num_visuals),
            max_positions=limits.max_prompt_tokens,
            **{name: value for name, value in choice.decoding.items() if value is not None},
        ),
        media_root=choice.media_root,
        max_queue=limits.max_places,  # who waits for a place waits before
        dtype=choice.dtype,
        **{name: value for name, value in loading.items() if value is not None},
    )
    name = choice.model_name or served_name(choice.model)
    return Parts(engine, pool, loader, name)


def build_engine(choice: Choice) -> Engine:
    """The engine, not started."""
    name = choosing.engine_name(choice.engine)
    if name == "vllm":
        given = [option for option, value in choice.engine_options.items() if value is not None]
        if given:
            option = f"--{given[0].replace('_', '-')}"
            raise ConfigError(
                f"{option} is of the transformers engine; vLLM has options of its own (vllm serve --help)."
            )
    elif choice.further:
        choosing.refuse_revisions(read_arguments(choice.further))
        option = choice.further[0].partition("=")[0]
        needed = "--engine vllm" if choosing.has_vllm() else choosing.VLLM_MISSING
        raise ConfigError(
            f"oryx serve has no option {option}{choosing.did_you_mean(option, choice.known)}. "
            f"Options of vLLM need {needed}."
        )
    options = {option: value for option, value in choice.engine_options.items() if value is not None}
    arguments = read_arguments(choice.further)
    return choosing.build_engine(
        name, choice.model, choice.dtype, choice.max_requests, options, arguments, choice.known
    )


def served_name(model: str) -> str:
    """What clients call a model: "nano", a hub id, or a folder's name without its path."""
    folder = Path(model).expanduser()
    return folder.resolve().name if folder.is_dir() else model


def read_arguments(further: Sequence[str]) -> dict[str, Any]:
    """`--tensor-parallel-size 2 --enforce-eager` as keyword arguments; values are read as YAML.

    Raises:
        ConfigError: something that is no option.
    """
    arguments: dict[str, Any] = {}
    index = 0
    while index < len(further):
        name, has_value, value = further[index].partition("=")
        if not name.startswith("--") or not name.strip("-"):
            raise ConfigError(f"{name!r} is no option of oryx serve, and none that vLLM could have.")
        index += 1
        key = name[2:].replace("-", "_")
        if not has_value and index < len(further) and not further[index].startswith("--"):
            has_value, value = "=", further[index]
            index += 1
        if has_value:
            arguments[key] = as_value(value)
        elif key.startswith("no_"):
            arguments[key.removeprefix("no_")] = False
        else:
            arguments[key] = True
    return arguments
