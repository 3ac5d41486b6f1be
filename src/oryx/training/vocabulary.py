"""The texts that a spelling tokenizer takes its words from: samples of all synthetic skills."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from oryx.data.synthetic import SKILLS, make_source, vocabulary


def synthetic_texts(num_samples: int) -> Iterator[str]:
    """All turns of `num_samples` drawn samples, and what skills that state their vocabulary may say.

    All skills, whatever a recipe begins with: later recipes of a chain keep the tokenizer.
    """
    drawn: dict[str, dict[str, Any]] = {
        name: {} for name, (_, drawer) in SKILLS.items() if not hasattr(drawer, "vocabulary")
    }
    if "words" in drawn:
        drawn["words"] = {"fonts": ["default"]}
    source = make_source(drawn, seed=0)
    for index in range(num_samples):
        yield from (turn["value"] for turn in source[index].conversations)
    yield from 2 * vocabulary()  # stated words are wanted, however rare
