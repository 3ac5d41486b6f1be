"""A loaded model and its encoded visuals: what `oryx ask` and `oryx chat` share."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oryx.engine.session import Session
    from oryx.processing.forecast import VisualForecast


def load_session(
    folder: Path,
    device: str,
    dtype: str,
    vision_tower: Path | None,
    style: str | None,
    quantize: str | None = None,
    vision_dtype: str = "auto",
) -> Session:
    """A session of the model in `folder`; the visuals still have to be added."""
    from oryx.cli.display import waiting
    from oryx.cli.noise import quiet_transformers
    from oryx.engine.session import Session
    from oryx.loading import load

    quiet_transformers()
    with waiting(f"loading {folder.name}"):
        model, processor = load(
            folder,
            dtype=dtype,
            device=device,
            vision_tower=vision_tower,
            vision_dtype=vision_dtype,
            quantize=quantize,
        )
    return Session(model, processor, prompt_style=style)


def count_positions(session: Session, visuals: Sequence[VisualForecast], question: str, num_new: int) -> int:
    """Positions of the prompt, before the visuals are encoded.

    Raises:
        ConfigError: with an answer of `num_new` tokens it is longer than the model reads.
    """
    from oryx.cli.forecast import count_prompt
    from oryx.processing.context import advice, check_context, context_limit

    num_prompt = count_prompt(session.processor, visuals, question, session.prompt_style)
    limit = context_limit(session.model.config.text_config)
    check_context(num_prompt, num_new, limit, advice(bool(visuals)))
    return num_prompt


def add_media(
    session: Session, sources: Sequence[dict[str, Any]], visuals: Sequence[VisualForecast]
) -> float:
    """Encode all visuals, with a bar if it takes long. Returns the seconds it took."""
    from oryx.cli.display import progress_bar

    began = time.perf_counter()
    for source, visual in zip(sources, visuals):
        with progress_bar(f"encoding {visual.name}") as bar:
            session.add(source, progress=bar.update)
    return time.perf_counter() - began
