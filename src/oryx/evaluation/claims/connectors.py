"""Connectors between tower and projector, with the interface of `model.compressor.DynamicCompressor`.

Each makes one token of every region of patches. The projector, an MLP, follows all of them.

Legend: P packed patches, D width, R patches in a region, V compressed tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from oryx.config import OryxConfig
from oryx.model.compressor import DynamicCompressor
from oryx.model.layout import region_index
from oryx.processing.geometry import REGIONS

Connector = Literal[
    "dynamic", "dynamic_dwconv", "dynamic_convmlp", "subsample", "average", "dwconv", "convmlp"
]


class Subsample(nn.Module):
    """(V, R, D) -> (V, D): the first patch of each region; the others are dropped."""

    def __init__(self, width: int, region: int) -> None:
        super().__init__()

    def forward(self, region_VRD: Tensor) -> Tensor:
        return region_VRD[:, 0]


class Average(nn.Module):
    """(V, R, D) -> (V, D): the mean of each region."""

    def __init__(self, width: int, region: int) -> None:
        super().__init__()

    def forward(self, region_VRD: Tensor) -> Tensor:
        return region_VRD.mean(1)


class DepthwiseConv(nn.Module):
    """(V, R, D) -> (V, D): a depthwise convolution, one step a region; it begins as the mean."""

    def __init__(self, width: int, region: int) -> None:
        super().__init__()
        # A vector, as the kernels of a depthwise convolution are: Muon is for matrices that mix channels.
        self.weight = nn.Parameter(torch.full((region * width,), 1 / region))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, region_VRD: Tensor) -> Tensor:
        return torch.einsum("vrd,rd->vd", region_VRD, self.weight.view(region_VRD.shape[1:])) + self.bias


class ConvMLP(nn.Module):
    """(V, R, D) -> (V, D): a full convolution whose kernel and stride are the region, GELU, a linear layer.

    The mean is added, without which it would begin with noise.
    """

    def __init__(self, width: int, region: int) -> None:
        super().__init__()
        self.conv = nn.Linear(region * width, width)
        self.act = nn.GELU()
        self.out = nn.Linear(width, width)

    def forward(self, region_VRD: Tensor) -> Tensor:
        return region_VRD.mean(1) + self.out(self.act(self.conv(region_VRD.flatten(1))))


DOWNSAMPLERS: dict[str, type[nn.Module]] = {
    "subsample": Subsample,
    "average": Average,
    "dwconv": DepthwiseConv,
    "convmlp": ConvMLP,
}


class RegionConnector(nn.Module):
    """A downsampler for each ratio, and the attention of the dynamic compressor around it if `attends`."""

    def __init__(self, config: OryxConfig, kind: str, attends: bool) -> None:
        super().__init__()
        width = config.vision_config.hidden_size
        self.attends = attends
        self.down = nn.ModuleDict(
            {
                str(ratio): DOWNSAMPLERS[kind](width, rows * columns)
                for ratio, (rows, columns) in REGIONS.items()
                if ratio > 1
            }
        )
        if attends:
            self.query = nn.Linear(width, config.compressor_dim)
            self.key = nn.Linear(width, config.compressor_dim)

    def forward(self, features: Tensor, grids: list[list[int]], compressions: list[int]) -> Tensor:
        """(P, D) -> (V, D), view by view, row by row."""
        tables = region_index(grids, compressions)
        outputs = [self._compress(features[patches.to(features.device)]) for patches, _ in tables]
        order = torch.argsort(torch.cat([tokens for _, tokens in tables]))
        return torch.cat(outputs)[order.to(features.device)]

    def _compress(self, region_VRD: Tensor) -> Tensor:
        if region_VRD.shape[1] == 1:
            return (2 if self.attends else 1) * region_VRD[:, 0]
        down_VD = self.down[str(region_VRD.shape[1])](region_VRD)
        if not self.attends:
            return down_VD
        scores_VR = torch.einsum("vk,vrk->vr", self.query(down_VD), self.key(region_VRD))
        weights_VR = (scores_VR * self.query.out_features**-0.5).softmax(-1)
        return down_VD + torch.einsum("vr,vrd->vd", weights_VR, region_VRD)


def make_connector(name: Connector, config: OryxConfig, std: float) -> nn.Module:
    """A connector with fresh weights; linear layers are drawn with this deviation."""
    makers: dict[str, Callable[[], nn.Module]] = {
        "dynamic": lambda: DynamicCompressor(config),
        "dynamic_dwconv": lambda: RegionConnector(config, "dwconv", attends=True),
        "dynamic_convmlp": lambda: RegionConnector(config, "convmlp", attends=True),
    }
    made = makers.get(name, lambda: RegionConnector(config, name, attends=False))()
    for module in made.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=std)
            nn.init.zeros_(module.bias)
    return made
