"""Prompts that begin alike, answered one by one: what they share is read once, the rest piece by piece.

Memory beyond keys and values does not grow with the prompt: pieces are short, however long it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache

from oryx.engine.prefix import Prefix, can_cut, depends_on_length, keep
from oryx.model.cache_name import CACHE
from oryx.processing.context import check_context, context_limit

if TYPE_CHECKING:
    from oryx.model.modeling import OryxForConditionalGeneration
    from oryx.processing.processor import OryxProcessor

PIECE = 1024
"""Positions that the language model reads at once."""


class Reader:
    """Answers prompts whose visuals are encoded; keys and values of the last prompt are kept for the next.

    Language models that cannot go back in their cache, or whose positions depend on the length of the whole,
    read every prompt anew and at once.
    """

    def __init__(
        self, model: OryxForConditionalGeneration, processor: OryxProcessor, piece: int = PIECE
    ) -> None:
        self.model = model
        self.processor = processor
        self.piece = piece
        self.num_read = 0
        """Positions read so far, all prompts together."""
        config = model.config.text_config
        is_stateful = bool(getattr(model.language_model, "_is_stateful", False))
        self._goes_on = not is_stateful and not depends_on_length(config)
        self._prefix: Prefix | None = None

    @torch.no_grad()
    def answer(
        self, ids: np.ndarray, columns: np.ndarray, visual_embeds: Tensor, max_new_tokens: int = 24
    ) -> str:
        """The greedy answer to one prompt.

        Args:
            ids: (T,) int64, the placeholder's at visual positions.
            columns: (T,) int64: ids, or at visual positions a negative number of its own for every embedding;
                prompts share what their columns share.
            visual_embeds: (S, E).

        Raises:
            ConfigError: prompt and answer are longer than the model reads.
        """
        length = len(ids)
        check_context(length, max_new_tokens, context_limit(self.model.config.text_config))
        input_ids = torch.from_numpy(ids)[None].to(self.model.device)
        cache = self._read(input_ids, columns, visual_embeds) if self._goes_on else None
        self.num_read += 0 if cache is not None else length
        output = self.model.generate(
            input_ids=input_ids,
            attention_mask=torch.ones_like(input_ids),
            visual_embeds=visual_embeds,
            cache=cache,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            return_dict_in_generate=True,
        )
        new_ids = output.sequences[0, length:].cpu().numpy()
        if cache is not None:
            self._prefix = keep(output.get(CACHE), np.concatenate([columns, new_ids]))
        return self.processor.tokenizer.decode(new_ids, skip_special_tokens=True).strip()

    def _read(self, input_ids: Tensor, columns: np.ndarray, visual_embeds: Tensor) -> Any:
        """A cache of all columns but the last; None where this kind of cache cannot be gone on from."""
        prefix, self._prefix = self._prefix, None
        kept = prefix.take(columns) if prefix is not None else None
        cache, start = kept or (DynamicCache(config=self.model.config.text_config), 0)
        if not can_cut(cache, 0):
            self._goes_on = False
            return None
        # Embeddings before each column.
        is_visual = input_ids[0] == self.model.config.image_token_id
        before = torch.cat([is_visual.new_zeros(1, dtype=torch.long), is_visual.long().cumsum(0)]).tolist()
        stop = input_ids.shape[1] - 1
        while start < stop:
            end = min(start + self.piece, stop)
            embeds = visual_embeds[before[start] : before[end]]
            self.model(
                input_ids=input_ids[:, start:end],
                visual_embeds=embeds if len(embeds) else None,
                cache=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            self.num_read += end - start
            start = end
        return cache
