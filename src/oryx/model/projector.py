"""From compressed vision features to the language model's width, with the learned marks around them.

Legend: V compressed tokens, D tower width, E language-model width, S visual positions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from oryx.config import OryxConfig


class Projector(nn.Module):
    """Linear -> GELU -> Linear, and four learned rows: begin, newline, separator, end."""

    def __init__(self, config: OryxConfig) -> None:
        super().__init__()
        width = config.text_config.hidden_size
        self.fc1 = nn.Linear(config.vision_config.hidden_size, width)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(width, width)
        self.begin = nn.Parameter(torch.empty(width))
        self.newline = nn.Parameter(torch.empty(width))
        self.separator = nn.Parameter(torch.empty(width))
        self.end = nn.Parameter(torch.empty(width))

    def forward(self, tokens_VD: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(tokens_VD)))

    def arrange(self, tokens_VE: Tensor, index_S: Tensor) -> Tensor:
        """(S, E): tokens and marks in the order that `layout.span_index` gives."""
        marks = torch.stack([self.begin, self.newline, self.separator, self.end])
        return torch.cat([tokens_VE, marks.to(tokens_VE.dtype)])[index_S.to(tokens_VE.device)]
