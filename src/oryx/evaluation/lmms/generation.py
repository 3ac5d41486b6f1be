"""What a task asks of generation, in the words of `transformers`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from oryx.errors import ConfigError
from oryx.processing.context import check_sampling

MAX_NEW_TOKENS = 1024
"""Of tasks that say nothing, as in the reference's adapters."""
_FEWSHOT_DELIMITER = "\n\n"
"""lmms-eval gives it as a stop to every task that names none; it parts few-shot examples, not answers."""
_PASSED = ("top_p", "top_k", "num_beams", "repetition_penalty")
_IGNORED = ("image_aspect_ratio", "image_sizes", "num_return_sequences")


@dataclass(frozen=True)
class Generation:
    """How one answer is made. Requests that are alike in it may share a batch."""

    max_new_tokens: int = MAX_NEW_TOKENS
    temperature: float = 0.0
    until: tuple[str, ...] = ()
    more: tuple[tuple[str, Any], ...] = ()
    """Arguments of `generate` by name, those that were given."""

    @classmethod
    def read(cls, arguments: Mapping[str, Any]) -> Generation:
        """From a request's `generation_kwargs`: a temperature says if it samples, else `do_sample`.

        Raises:
            ConfigError: a key or value that generation cannot take.
        """
        given = {name: value for name, value in arguments.items() if value is not None}
        num_tokens = given.pop("max_new_tokens", given.pop("max_gen_toks", MAX_NEW_TOKENS))
        samples = given.pop("do_sample", False)
        temperature = given.pop("temperature", 1.0 if samples else 0.0)
        until = given.pop("until", ())
        for name in _IGNORED:
            given.pop(name, None)
        more = {name: given.pop(name) for name in _PASSED if name in given}
        if given:
            known = ("max_new_tokens", "temperature", "do_sample", "until", *_PASSED)
            raise ConfigError(
                f"generation_kwargs has no {sorted(given)[0]!r} for this model; allowed: {', '.join(known)}."
            )
        stops = (until,) if isinstance(until, str) else tuple(until)
        try:
            num_tokens, temperature = int(num_tokens), float(temperature)
        except (TypeError, ValueError):
            raise ConfigError(
                f"max_new_tokens is {num_tokens!r} and temperature {temperature!r}; both must be numbers."
            ) from None
        check_sampling(num_tokens, temperature)
        return cls(
            max_new_tokens=num_tokens,
            temperature=temperature,
            until=tuple(stop for stop in stops if stop and stop != _FEWSHOT_DELIMITER),
            more=tuple(sorted(more.items())),
        )

    def arguments(self) -> dict[str, Any]:
        """Of `model.generate`."""
        more = dict(self.more)
        if not self.temperature:
            more.pop("top_p", None)  # would be warned about, and means nothing
            more.pop("top_k", None)
            return {"max_new_tokens": self.max_new_tokens, "do_sample": False, "num_beams": 1, **more}
        sampling = {"do_sample": True, "temperature": self.temperature, "num_beams": 1}
        return {"max_new_tokens": self.max_new_tokens, **sampling, **more}

    def cut(self, text: str) -> str:
        """The text up to the first of `until`, without space around it."""
        for stop in self.until:
            text = text.split(stop)[0]
        return text.strip()
