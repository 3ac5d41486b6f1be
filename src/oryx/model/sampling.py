"""Logits processors over a vocabulary that is widened by the placeholder."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import LogitsProcessorList


class PaddedVocabulary(LogitsProcessorList):
    """Runs its processors on scores padded with -inf up to the placeholder's id, and cuts the padding off.

    Processors such as the repetition penalty look every prompt id up in the scores; the placeholder is a
    prompt id that the language model's vocabulary may not reach. It is never generated.
    """

    def __init__(self, processors: LogitsProcessorList, image_token_id: int) -> None:
        super().__init__(processors)
        self.image_token_id = image_token_id

    def __call__(self, input_ids: Tensor, scores: Tensor, **kwargs: Any) -> Tensor:
        vocab_size = scores.shape[-1]
        padding = self.image_token_id + 1 - vocab_size
        if padding > 0:
            scores = F.pad(scores, (0, padding), value=float("-inf"))
        scores = super().__call__(input_ids, scores, **kwargs)  # type: ignore[arg-type]
        if padding > 0:
            return scores[..., :vocab_size]
        placeholder = torch.tensor([self.image_token_id], device=scores.device)
        return scores.index_fill(-1, placeholder, float("-inf"))
