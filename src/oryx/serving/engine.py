"""What an engine takes and gives, whichever runs the language model.

A request is encoded once, in a worker process: its media are decoded, resized and cut into patches, and its
text becomes ids. From there on every engine sees the same `Prompt`, so the dial means the same everywhere.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from oryx.errors import ConfigError

if TYPE_CHECKING:  # with torch, which not all who use an engine need
    from oryx.processing.collate import EncodedSample

FinishReason = Literal["stop", "length"]

PENALTIES = (0.01, 100.0)
"""The range of the repetition penalty, beyond which scores leave that of float32."""
SEEDS = (-(2**63), 2**63 - 1)
"""The range of seeds: whole numbers of 64 bits."""


@dataclass(frozen=True)
class Prompt:
    """A request, ready for the model."""

    sample: EncodedSample
    """Ids at full length, and the patches of all visuals."""
    keys: tuple[str, ...]
    """What each visual shows, dial included: equal keys have equal tokens. One per visual."""
    num_visual_tokens: int
    """Positions of `sample` that are visual."""

    def __len__(self) -> int:
        return len(self.sample)


@dataclass(frozen=True)
class Sampling:
    """How an answer is chosen. The defaults are greedy."""

    max_tokens: int = 1024
    """1 or more; end marker included."""
    temperature: float = 0.0
    """0 takes the likeliest token."""
    top_p: float = 1.0
    """Above 0, up to 1."""
    top_k: int = 0
    """0 for all tokens."""
    repetition_penalty: float = 1.0
    """In `PENALTIES`; 1 for none."""
    stop: tuple[str, ...] = ()
    """Texts that end the answer and are not part of it; none is empty."""
    seed: int | None = None
    """In `SEEDS`; None for another answer each time."""
    ignore_eos: bool = False
    """Goes on after the end marker until `max_tokens`."""


def check_sampling(sampling: Sampling) -> None:
    """Refuse settings out of range.

    Raises:
        ConfigError: naming the setting and what is allowed.
    """
    if sampling.max_tokens < 1:
        raise ConfigError(f"max_tokens is {sampling.max_tokens}; at least 1 is needed.")
    if not 0 <= sampling.temperature < float("inf"):
        raise ConfigError(
            f"temperature is {sampling.temperature}; 0 (greedy) or a finite number above is needed."
        )
    if not 0 < sampling.top_p <= 1:
        raise ConfigError(f"top_p is {sampling.top_p}; a number above 0 and up to 1 is needed.")
    if sampling.top_k < 0:
        raise ConfigError(f"top_k is {sampling.top_k}; 0 (all tokens) or more is needed.")
    low, high = PENALTIES
    if not low <= sampling.repetition_penalty <= high:
        raise ConfigError(
            f"repetition_penalty is {sampling.repetition_penalty}; "
            f"a number from {low:g} to {high:g} is needed."
        )
    if sampling.seed is not None and not SEEDS[0] <= sampling.seed <= SEEDS[1]:
        raise ConfigError(f"seed is {sampling.seed}; a whole number of 64 bits is needed.")
    if "" in sampling.stop:
        raise ConfigError("a stop text is empty; at least one character is needed.")


@dataclass(frozen=True)
class Piece:
    """What has been added to an answer."""

    text: str
    num_tokens: int
    """Generated since the piece before, end marker included."""
    finish_reason: FinishReason | None = None
    """On the last piece, and only there."""


class Engine(Protocol):
    """Runs the language model for many requests at a time."""

    name: str
    """"vllm" or "transformers"."""
    max_positions: int
    """Of a prompt and its answer together."""

    @property
    def is_running(self) -> bool:
        """Whether it can answer: started, not stopped, and alive."""

    async def start(self) -> None:
        """Load the model, or raise `OryxError`."""

    async def stop(self) -> None:
        """Let go of everything; requests that still run end in `EngineStopped`."""

    def generate(self, prompt: Prompt, sampling: Sampling, request_id: str) -> AsyncIterator[Piece]:
        """The answer, piece by piece; the last piece has a `finish_reason`.

        Closing the iterator (`aclose`, also by cancellation) frees the request's place at once.

        Raises:
            EngineStopped: the engine is not running, or has died.
            ConfigError: prompt and answer are longer than `max_positions`, or a setting that it cannot do.
        """


class EngineStopped(Exception):  # noqa: N818 a state, not a user's mistake
    """The engine does not run any more."""
