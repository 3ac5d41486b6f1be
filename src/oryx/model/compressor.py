"""The dynamic compressor: one set of weights, any ratio.

Legend: P packed patches, D width, R patches in a region, V compressed tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from oryx.config import OryxConfig
from oryx.model.layout import region_index


class DynamicCompressor(nn.Module):
    """Each region's average asks the region's own features what the average lost (arXiv 2409.12961, 3.2).

    Query: the average of the region. Keys and values: the region. Only query and key are projected; the
    result is added to the average. At 1x the region is one patch, so the output is twice the input.
    """

    def __init__(self, config: OryxConfig) -> None:
        super().__init__()
        width = config.vision_config.hidden_size
        self.query = nn.Linear(width, config.compressor_dim)
        self.key = nn.Linear(width, config.compressor_dim)

    def forward(self, features: Tensor, grids: list[list[int]], compressions: list[int]) -> Tensor:
        """(P, D) -> (V, D), view by view, row by row."""
        tables = region_index(grids, compressions)
        outputs = [self._compress(features, patches.to(features.device)) for patches, _ in tables]
        if len(outputs) == 1:
            return outputs[0]
        order = torch.argsort(torch.cat([tokens for _, tokens in tables]))
        return torch.cat(outputs)[order.to(features.device)]

    def _compress(self, features: Tensor, patches_VR: Tensor) -> Tensor:
        if patches_VR.shape[1] == 1:  # softmax over one patch is 1: no product is needed
            doubled_VD = 2 * features[patches_VR[:, 0]]
            if self.training and is_distributed():
                # Every rank must have a gradient for every weight; by the layers' own forward, before which
                # ZeRO-3 gathers them.
                row_1D = features[:1]
                doubled_VD = doubled_VD + 0 * (self.query(row_1D).sum() + self.key(row_1D).sum())
            return doubled_VD
        region_VRD = features[patches_VR]
        mean_VD = region_VRD.mean(1)
        # Projecting patches before they are gathered would be the same work; the region is small.
        scores_VR = torch.einsum("vk,vrk->vr", self.query(mean_VD), self.key(region_VRD))
        weights_VR = (scores_VR * self.query.out_features**-0.5).softmax(-1)
        return mean_VD + torch.einsum("vr,vrd->vd", weights_VR, region_VRD)


def is_distributed() -> bool:
    """Whether other ranks wait for the same gradients."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()
