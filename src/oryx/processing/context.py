"""What generation can take: how much a language model reads, and how it may sample."""

from __future__ import annotations

from typing import Any

from oryx.errors import ConfigError


def context_limit(text_config: Any) -> int | None:
    """Positions that the language model of a config can tell apart; None where it names no limit."""
    limit = getattr(text_config, "max_position_embeddings", None)
    return limit if isinstance(limit, int) and limit > 0 else None


ADVICE = "give a budget, raise compression, or lower max_frames, max_pixels or max_new_tokens"


def check_context(num_prompt: int, num_new: int, limit: int | None, advice: str = ADVICE) -> None:
    """Refuse a prompt that leaves no room for its answer.

    Args:
        num_prompt: positions of the prompt, visual tokens included.
        num_new: the longest answer, in tokens.
        limit: positions that the model can read; None for no limit.
        advice: what to do about it, in terms of the dials that the caller has.

    Raises:
        ConfigError: with the three numbers and what to turn down.
    """
    if limit is None or num_prompt + num_new <= limit:
        return
    raise ConfigError(
        f"the prompt has {num_prompt:,} tokens and the answer may take {num_new:,}, together "
        f"{num_prompt + num_new:,}, but the model reads at most {limit:,}: {advice}."
    )


def check_sampling(max_new_tokens: int, temperature: float) -> None:
    """Raises ConfigError for numbers that generation cannot take."""
    if max_new_tokens < 1:
        raise ConfigError(f"max_new_tokens is {max_new_tokens}; at least 1 is needed.")
    if not 0 <= temperature < float("inf"):
        raise ConfigError(f"temperature is {temperature}; 0 (greedy) or a number above is needed.")
