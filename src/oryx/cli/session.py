"""A loaded model and its encoded visuals: what `oryx ask` and `oryx chat` share."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oryx.cli.media import MARKER
from oryx.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import BatchFeature

    from oryx.model.modeling import OryxForConditionalGeneration
    from oryx.processing.forecast import VisualForecast
    from oryx.processing.processor import OryxProcessor


@dataclass
class Session:
    """One conversation about visuals that are encoded once.

    `seconds` collects how long each part took: load, encode, generate.
    """

    model: OryxForConditionalGeneration
    processor: OryxProcessor
    visuals: Sequence[VisualForecast]
    style: str | None = None
    turns: list[dict[str, str]] = field(default_factory=list)
    embeds: Tensor | None = None
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def load(
        cls,
        folder: Path,
        visuals: Sequence[VisualForecast],
        device: str,
        dtype: str,
        vision_tower: Path | None,
        style: str | None,
        quantize: str | None = None,
    ) -> Session:
        """Load the model; the visuals still have to be encoded."""
        began = time.perf_counter()
        from oryx.cli.noise import quiet_transformers
        from oryx.loading import load

        quiet_transformers()
        model, processor = load(
            folder, dtype=dtype, device=device, vision_tower=vision_tower, quantize=quantize
        )
        return cls(model, processor, visuals, style, seconds={"load": time.perf_counter() - began})

    def encode(self, sources: Sequence[dict[str, Any]]) -> None:
        """Visual tokens of all visuals, chunk by chunk, with a bar if it takes long."""
        import torch

        from oryx.cli.display import progress_bar
        from oryx.engine.encode import encode

        began = time.perf_counter()
        parts = []
        for source, visual in zip(sources, self.visuals):
            with progress_bar(f"encoding {visual.name}") as bar:
                parts.append(encode(self.model, self.processor, source, progress=bar.update))
        self.embeds = torch.cat(parts) if parts else None
        self.seconds["encode"] = time.perf_counter() - began

    def prompt(self, question: str) -> BatchFeature:
        """`input_ids` and `attention_mask` (1, T) of the conversation so far and one more question.

        Raises:
            AlignmentError: `<image>` is written more or less often than there are visuals.
        """
        from oryx.cli.forecast import stand_ins

        turns = [*self.turns, {"from": "human", "value": question}, {"from": "gpt", "value": None}]
        return self.processor.encode_conversation(
            turns,
            stand_ins(self.visuals),
            supervise=None,
            prompt_style=self.style,  # type: ignore[arg-type]
        )

    def answer(
        self,
        question: str,
        max_new_tokens: int,
        temperature: float,
        write: Callable[[str], None] | None = None,
    ) -> tuple[str, int]:
        """The answer and how many tokens it took; both turns join the conversation.

        Args:
            write: called with stretches of the answer as they are generated.
        """
        began = time.perf_counter()
        batch = self.prompt(question)
        input_ids = batch["input_ids"].to(self.model.device)
        sampling = (
            {"do_sample": True, "temperature": temperature} if temperature > 0 else {"do_sample": False}
        )
        output = self.model.generate(
            input_ids=input_ids,
            attention_mask=batch["attention_mask"].to(self.model.device),
            visual_embeds=self.embeds,
            max_new_tokens=max_new_tokens,
            streamer=_streamer(self.processor.tokenizer, write) if write else None,
            **sampling,
        )
        new_ids = output[0, input_ids.shape[1] :]
        text = self.processor.tokenizer.decode(new_ids, skip_special_tokens=True).strip()
        # A marker that the model writes is no visual of the next prompt.
        said = text.replace(MARKER, MARKER.strip("<>"))
        self.turns += [{"from": "human", "value": question}, {"from": "gpt", "value": said}]
        self.seconds["generate"] = time.perf_counter() - began
        return text, len(new_ids)


def _streamer(tokenizer: Any, write: Callable[[str], None]) -> Any:
    """A streamer of `transformers` that gives whole words to `write`."""
    from transformers import TextStreamer

    class Writer(TextStreamer):
        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
            if text:
                write(text)

    return Writer(tokenizer, skip_prompt=True, skip_special_tokens=True)


def check_sampling(max_new_tokens: int, temperature: float) -> None:
    """Raises ConfigError for numbers that generation cannot take."""
    if max_new_tokens < 1:
        raise ConfigError(f"--max-new-tokens is {max_new_tokens}; at least 1 is needed.")
    if not 0 <= temperature < float("inf"):
        raise ConfigError(f"--temperature is {temperature}; 0 (greedy) or a number above is needed.")
