"""Which engine: by name, or the best that is installed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from typing import Any

import yaml

from oryx.errors import ConfigError
from oryx.serving.engine import Engine

ENGINES = ("auto", "vllm", "transformers")
VLLM_MISSING = "vLLM, which is not installed (pip install oryx-mllm[vllm])"
_REVISIONS = ("revision", "code_revision", "tokenizer_revision")


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
    if engine == "vllm" and not has_vllm():
        raise ConfigError(
            f"{option} vllm needs {VLLM_MISSING}; {option} transformers needs no more than oryx-mllm[serve]."
        )
    return "vllm" if engine != "transformers" and has_vllm() else "transformers"


def has_vllm() -> bool:
    """Whether it is installed."""
    return find_spec("vllm") is not None


def build_engine(
    name: str,
    model: str,
    dtype: str,
    max_requests: int,
    options: Mapping[str, Any],
    arguments: Mapping[str, Any],
    known: Sequence[str] = (),
) -> Engine:
    """The engine, not started.

    Args:
        name: as `engine_name` gives it.
        options: of the transformers engine: device, quantize, vision_tower, vision_dtype.
        arguments: of vLLM's `AsyncEngineArgs`.
        known: options of the caller's own, `--port`; see `VllmEngine`.
    """
    if name == "vllm":
        from oryx.serving.engines.vllm import VllmEngine

        return VllmEngine(model, dtype, max_requests=max_requests, arguments=arguments, known=known)
    from oryx.serving.engines.transformers import TransformersEngine

    return TransformersEngine(model, dtype, max_requests=max_requests, **options)


def refuse_revisions(arguments: Iterable[str]) -> None:
    """Raises ConfigError if one of the names of vLLM's arguments is that of a revision."""
    for name in arguments:
        if name in _REVISIONS:
            raise ConfigError(
                f"{as_option(name)} cannot be served: hub ids mean the newest revision. Download the one "
                "you want (hf download ID --revision REVISION --local-dir FOLDER), and name the folder as "
                "--model."
            )


def refuse_unknown(arguments: Iterable[str], known: Iterable[str], own: Sequence[str]) -> None:
    """Raises ConfigError for names of arguments that are not among vLLM's `known` ones.

    Args:
        own: options of the caller's, to name the nearest of these, too.
    """
    allowed = set(known)
    for name in arguments:
        if name not in allowed:
            hint = did_you_mean(as_option(name), [*own, *map(as_option, sorted(allowed))])
            raise ConfigError(
                f"vLLM has no option {as_option(name)}{hint or '; vllm serve --help lists all'}."
            )


def did_you_mean(option: str, known: Sequence[str]) -> str:
    """The end of a sentence about an unknown option; empty where no known one is like it."""
    close = get_close_matches(option, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}" if close else ""


def as_option(name: str) -> str:
    """`--max-model-len`, of `max_model_len`."""
    return f"--{name.replace('_', '-')}"


def as_value(text: str) -> Any:
    """The value of an argument of vLLM's: what YAML reads in it, or the text itself."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text
