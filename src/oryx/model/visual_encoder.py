"""Patches in, embeddings of visual positions out: the half of the model that every engine shares.

Legend: G views, P packed patches, C values in a patch, D tower width, V compressed tokens, N visuals,
S visual positions, E language-model width.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from oryx.model.compressor import DynamicCompressor
from oryx.model.layout import span_index
from oryx.model.projector import Projector
from oryx.model.vision import OryxVisionModel


class VisualEncoder:
    """Of a module that has these three."""

    vision_tower: OryxVisionModel
    compressor: DynamicCompressor
    projector: Projector

    def encode_views(self, patches: Tensor, grids: Tensor, compressions: Tensor) -> Tensor:
        """Tower, compressor and projector: (P, C) uint8 -> (V, E), view by view, row by row.

        `grids` (G, 2) in patches, `compressions` (G,). Long videos call this chunk by chunk.
        """
        sizes = grids.tolist()
        features_PD = self.vision_tower(patches.to(self.vision_tower.device), sizes)
        return self.projector(self.compressor(features_PD, sizes, compressions.tolist()))

    def arrange_visuals(
        self,
        tokens_VE: Tensor,
        grids: Tensor,
        compressions: Tensor,
        visual_lengths: Tensor,
        visual_kinds: Tensor,
    ) -> tuple[Tensor, list[int]]:
        """Tokens of all views -> embeddings (S, E) of all visual positions, and how many each has."""
        index_S, spans = span_index(
            grids.tolist(), compressions.tolist(), visual_lengths.tolist(), visual_kinds.tolist()
        )
        return self.projector.arrange(tokens_VE, index_S), spans

    def get_visual_embeds(
        self,
        patches: Tensor,
        grids: Tensor,
        compressions: Tensor,
        visual_lengths: Tensor,
        visual_kinds: Tensor,
        chunk_patches: int | None = None,
    ) -> tuple[Tensor, list[int]]:
        """Embeddings (S, E) of all visuals of a batch, and positions of each visual (N,).

        Args:
            patches: (P, C) on any device; what the tower sees at once is moved to the tower's.
            chunk_patches: patches that the tower sees at once, at least one view; None for all in one pass,
                as ranks that must make equally many calls need it.
        """
        if chunk_patches is None:
            tokens_VE = self.encode_views(patches, grids, compressions)
        else:
            # A list without a name: its tensors are gone once they are put together.
            tokens_VE = torch.cat(list(self._encode_chunks(patches, grids, compressions, chunk_patches)))
        return self.arrange_visuals(tokens_VE, grids, compressions, visual_lengths, visual_kinds)

    def _encode_chunks(
        self, patches: Tensor, grids: Tensor, compressions: Tensor, chunk_patches: int
    ) -> Iterator[Tensor]:
        row = 0
        for first, stop, num_patches in view_chunks(grids, chunk_patches):
            own = slice(first, stop)
            yield self.encode_views(patches[row : row + num_patches], grids[own], compressions[own])
            row += num_patches


def view_chunks(grids: Tensor, chunk_patches: int) -> Iterator[tuple[int, int, int]]:
    """(first view, view after the last, patches) of stretches of at most so many patches."""
    first = total = 0
    for index, num_patches in enumerate(grids.prod(dim=1).tolist()):
        if total and total + num_patches > chunk_patches:
            yield first, index, total
            first, total = index, 0
        total += num_patches
    yield first, len(grids), total
