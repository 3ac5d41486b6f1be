"""What transformers calls a model's keys and values: `cache` since 5.24, before that `past_key_values`."""

from __future__ import annotations

from inspect import signature

from transformers import GenerationMixin

CACHE_NAMES = ("cache", "past_key_values")
"""Arguments of our `forward` and `generate` that mean it, whichever transformers is installed."""

_arguments = signature(GenerationMixin.prepare_inputs_for_generation).parameters
CACHE = next(name for name in CACHE_NAMES if name in _arguments)
"""The installed transformers' own name, in calls and in outputs."""
