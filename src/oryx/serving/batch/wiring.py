"""Which engine and which workers: the one place where the parts of a batch are chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oryx.errors import ConfigError
from oryx.serving.batch.cluster import Cluster, RayWorkers
from oryx.serving.engines import choosing

if TYPE_CHECKING:
    from oryx.serving.batch.requests import RowDefaults
    from oryx.serving.batch.running import Workers

ENGINES = ("auto", "vllm", "transformers", "ray")


@dataclass(frozen=True)
class Choice:
    """What the command line says about the parts."""

    model: str
    defaults: RowDefaults
    engine: str = "transformers"
    """As `engine_name` gives it, and never "ray": what each machine runs."""
    dtype: str = "auto"
    max_requests: int = 16
    """That an engine answers at a time."""
    num_slots: int = 32
    """Rows at work at a time for an engine: those that it answers, and those that are encoded ahead."""
    num_workers: int = 1
    """Processes that encode for an engine."""
    engine_options: Mapping[str, Any] = field(default_factory=dict)
    """Of the transformers engine alone: device, quantize, vision_tower, vision_dtype."""
    vllm_arguments: Mapping[str, Any] = field(default_factory=dict)
    """Of vLLM's `AsyncEngineArgs`."""
    decode_seconds: float = 600.0
    """That a row's media may take to decode."""
    cluster: Cluster | None = None


def build_workers(choice: Choice) -> Workers:
    """The workers, not started: one engine here, or those of a cluster.

    Raises:
        ConfigError: something that is not installed.
    """
    if choice.cluster is None:
        return build_local(choice)
    return RayWorkers(partial(build_local, choice), choice.num_slots, choice.cluster)


def build_local(choice: Choice) -> Workers:
    """One engine and the processes that encode for it."""
    from oryx.serving.batch.answering import LocalWorkers
    from oryx.serving.encoding import EncodingLimits
    from oryx.serving.workers.pool import EncodingPool

    options = {name: value for name, value in choice.engine_options.items() if value is not None}
    # The media are the user's own: limits are there to get past a broken file, not to keep anybody out.
    limits = EncodingLimits(
        max_seconds=choice.decode_seconds,
        max_memory=16 * 2**30,
        max_total_bytes=2**30,
        max_visuals=4096,
        max_frames=2**17,
        max_pixels=178_956_970,
        max_patches=2**22,
    )
    pool = EncodingPool(
        choice.model,
        choice.num_workers,
        limits,
        media_root=choice.defaults.places.fence or Path("/"),
        max_queue=choice.num_slots,
        dtype=choice.dtype,
        **{name: value for name, value in options.items() if name != "vision_dtype"},
    )
    engine = choosing.build_engine(
        choice.engine, choice.model, choice.dtype, choice.max_requests, options, choice.vllm_arguments
    )
    return LocalWorkers(engine, pool, choice.defaults, choice.num_slots, choice.num_workers)


def engine_name(engine: str) -> str:
    """As `choosing.engine_name`, or "ray".

    Raises:
        ConfigError: one that is not installed, or another word.
    """
    if engine != "ray":
        return choosing.engine_name(engine, ENGINES)
    if find_spec("ray") is None:
        raise ConfigError('--engine ray needs what pip install "oryx-mllm[ray]" brings.')
    return engine


def read_arguments(given: Sequence[str]) -> dict[str, Any]:
    """`tensor_parallel_size=2` as arguments of vLLM; values are read as YAML.

    Raises:
        ConfigError: not of that form.
    """
    arguments: dict[str, Any] = {}
    for text in given:
        name, has_value, value = text.partition("=")
        name = name.strip().lstrip("-").replace("-", "_")
        if not has_value or not name.isidentifier():
            raise ConfigError(f"--vllm is {text!r}; it must be NAME=VALUE, as in tensor_parallel_size=2.")
        arguments[name] = choosing.as_value(value)
    return arguments
