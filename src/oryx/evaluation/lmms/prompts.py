"""Messages to what the model reads: ids on one side, visual tokens on the other.

Frames stream through the tower, and a visual asked about again (benchmarks put several questions to a video)
is found among those encoded last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from oryx.engine.cache import VisualTokenCache
from oryx.errors import ConfigError
from oryx.evaluation.lmms.settings import PluginSettings
from oryx.processing import chat
from oryx.processing.collate import EncodedSample
from oryx.processing.context import check_context, context_limit
from oryx.processing.visuals import prompt_note, visual_source, visual_type, with_dials

if TYPE_CHECKING:
    from oryx.model.modeling import OryxForConditionalGeneration
    from oryx.processing.processor import OryxProcessor


class PromptTooLongError(ConfigError):
    """A prompt leaves no room for its answer."""


def render_prompt(processor: OryxProcessor, sample: EncodedSample) -> str:
    """What the model reads, as text: every visual as `<N views, M tokens>` in its place."""
    tokenizer, parts, end = processor.tokenizer, [], 0
    for (start, stop), num_views in zip(sample.spans, sample.visual_lengths):
        parts.append(tokenizer.decode(sample.ids[end:start]))
        parts.append(f"<{num_views} views, {stop - start} tokens>")
        end = stop
    return "".join([*parts, tokenizer.decode(sample.ids[end:])])


@dataclass(frozen=True)
class EncodedPrompt:
    """One prompt, its assistant's turn open."""

    sample: EncodedSample
    embeds: Tensor | None
    """(S, E) of its visuals in order, marks included; None without visuals."""

    @property
    def ids(self) -> np.ndarray:
        """(T,) int64."""
        return self.sample.ids


class PromptEncoder:
    """Encodes prompts with the dials of the settings; a part's own dials come first."""

    def __init__(
        self,
        model: OryxForConditionalGeneration,
        processor: OryxProcessor,
        settings: PluginSettings,
        cache: VisualTokenCache | None = None,
    ) -> None:
        self.model = model
        self.processor = processor
        self.settings = settings
        self.cache = cache or VisualTokenCache()
        self._limit = context_limit(model.config.text_config)

    def encode(self, messages: Sequence[dict[str, Any]], num_new: int) -> EncodedPrompt:
        """The prompt of chat messages (of `messages.read_messages`).

        Args:
            num_new: positions that the answer may take.

        Raises:
            PromptTooLongError: with its answer it is longer than the model reads.
            ConfigError: a dial that cannot be.
            MediaError: a medium that is missing or cannot be read.
        """
        visuals = self._settled(messages, num_new)
        tokens = [self.cache.encode(self.model, self.processor, visual) for visual in visuals]
        stand_ins = iter(
            made.stand_in(_note(visual, made.times)) for visual, made in zip(visuals, tokens, strict=True)
        )
        shown = [
            {**message, "content": [_text(part) or next(stand_ins) for part in message["content"]]}
            for message in messages
        ]
        sample = self.processor.encode_messages(shown, prompt_style=self.settings.prompt_style)
        try:
            check_context(len(sample.ids), num_new, self._limit)
        except ConfigError as error:
            raise PromptTooLongError(str(error)) from None
        return EncodedPrompt(sample, torch.cat([made.embeds for made in tokens]) if tokens else None)

    def _settled(self, messages: Sequence[dict[str, Any]], num_new: int) -> list[Any]:
        """The visuals of the messages, every dial set."""
        dials, planner = self.settings.dials, self.processor.planner
        parts = [part for message in messages for part in message["content"] if not _text(part)]
        visuals = [with_dials(visual, dials) for visual in parts]
        if self.settings.budget is None:
            return planner.spend(visuals)
        turns, _ = chat.read_messages(messages, add_generation_prompt=True)
        turns = chat.with_system_prompt(turns, self.processor.system_prompt)
        encoder = self.processor.chat_encoder(self.settings.prompt_style)
        num_text = len(encoder.encode(turns, [0] * len(visuals)).ids)
        return planner.spend(visuals, self.settings.budget, num_text, num_new, self.processor.count_note)


def _text(part: dict[str, Any]) -> dict[str, Any] | None:
    return part if part["type"] == "text" else None


def _note(visual: Any, times: Sequence[float] | None) -> str:
    kind = visual_type(visual)
    return "" if kind == "image" else prompt_note(visual, visual_source(visual, kind), times)
