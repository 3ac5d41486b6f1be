"""The texts that a spelling tokenizer takes its words from: samples of all synthetic skills."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from oryx.data.synthetic import SKILLS, make_source


def synthetic_texts(num_samples: int) -> Iterator[str]:
    """All turns of `num_samples` drawn samples, and twice what skills with a store of their own may say.

    All skills, whatever a recipe begins with: later recipes of a chain keep the tokenizer. A skill that draws
    from a store of files lists its sentences in `vocabulary()` instead, since the store may not be there.
    """
    drawn: dict[str, dict[str, Any]] = {
        name: {} for name, (_, drawer) in SKILLS.items() if not hasattr(drawer, "vocabulary")
    }
    if "words" in drawn:
        drawn["words"] = {"fonts": ["default"]}
    source = make_source(drawn, seed=0)
    for index in range(num_samples):
        yield from (turn["value"] for turn in source[index].conversations)
    for _, drawer in SKILLS.values():
        if hasattr(drawer, "vocabulary"):
            yield from 2 * list(drawer.vocabulary())
