"""Which engine: by name, or the best that is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import yaml

from oryx.errors import ConfigError
from oryx.serving.engine import Engine

ENGINES = ("auto", "vllm", "transformers")


def engine_name(engine: str, known: Sequence[str] = ENGINES, option: str = "--engine") -> str:
    """ "vllm" or "transformers", of which "auto" takes the first that is installed.

    Args:
        known: names to list where it is none of them.
        option: what the name was given by.

    Raises:
        ConfigError: vLLM is asked for and not installed, or another word.
    """
    if engine not in known:
        raise ConfigError(f"{option} is {engine!r}; allowed: {', '.join(known)}.")
    has_vllm = find_spec("vllm") is not None
    if engine == "vllm" and not has_vllm:
        raise ConfigError(
            f"{option} vllm needs vLLM, which is not installed (pip install oryx-mllm[vllm]); "
            f"{option} transformers needs nothing more."
        )
    return "vllm" if engine != "transformers" and has_vllm else "transformers"


def build_engine(
    name: str,
    model: str,
    dtype: str,
    max_requests: int,
    options: Mapping[str, Any],
    arguments: Mapping[str, Any],
) -> Engine:
    """The engine, not started.

    Args:
        name: as `engine_name` gives it.
        options: of the transformers engine: device, quantize, vision_tower, vision_dtype.
        arguments: of vLLM's `AsyncEngineArgs`.
    """
    if name == "vllm":
        from oryx.serving.engines.vllm import VllmEngine

        return VllmEngine(model, dtype, max_requests=max_requests, arguments=arguments)
    from oryx.serving.engines.transformers import TransformersEngine

    return TransformersEngine(model, dtype, max_requests=max_requests, **options)


def as_value(text: str) -> Any:
    """The value of an argument of vLLM's: what YAML reads in it, or the text itself."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text
