"""What generation can take: how much a language model reads, and how it may sample."""

from __future__ import annotations

from typing import Any

from oryx.errors import ConfigError


def context_limit(text_config: Any) -> int | None:
    """Positions that the language model of a config can tell apart; None where it names no limit."""
    limit = getattr(text_config, "max_position_embeddings", None)
    return limit if isinstance(limit, int) and limit > 0 else None


def advice(has_visuals: bool, answer: str = "max_new_tokens") -> str:
    """What to do about a prompt that is too long.

    Args:
        has_visuals: whether there are visual tokens to save.
        answer: what the caller calls the length of the answer; "" where that cannot help.
    """
    if has_visuals:
        dials = "max_frames, max_pixels or " + answer if answer else "max_frames or max_pixels"
        return f"give a budget, raise compression, or lower {dials}"
    return f"shorten the text or lower {answer}" if answer else "shorten the text"


def check_context(num_prompt: int, num_new: int, limit: int | None, what_to_do: str | None = None) -> None:
    """Refuse a prompt that leaves no room for its answer.

    Args:
        num_prompt: positions of the prompt, visual tokens included.
        num_new: the longest answer, in tokens.
        limit: positions that the model can read; None for no limit.
        what_to_do: an `advice` in terms of the dials that the caller has; None for that of a prompt with
            visuals.

    Raises:
        ConfigError: with the three numbers and what to turn down.
    """
    if limit is None or num_prompt + num_new <= limit:
        return
    raise ConfigError(
        f"the prompt has {num_prompt:,} tokens and the answer may take {num_new:,}, together "
        f"{num_prompt + num_new:,}, but the model reads at most {limit:,}: {what_to_do or advice(True)}."
    )


def check_sampling(max_new_tokens: int, temperature: float) -> None:
    """Raises ConfigError for numbers that generation cannot take."""
    if max_new_tokens < 1:
        raise ConfigError(f"max_new_tokens is {max_new_tokens}; at least 1 is needed.")
    if not 0 <= temperature < float("inf"):
        raise ConfigError(f"temperature is {temperature}; 0 (greedy) or a number above is needed.")
