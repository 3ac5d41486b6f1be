"""OryxViT: packed patches of any number of views in, one feature for each patch out.

Legend: P packed patches, C values in a patch, D width, H heads, d head size, G views.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import PreTrainedModel

from oryx.config import OryxVisionConfig
from oryx.errors import AlignmentError
from oryx.model.attention import choose_attention
from oryx.model.layout import Packing, pack_by_length

Rotation = tuple[Tensor, Tensor]


class PatchEmbed(nn.Module):
    """uint8 patches -> features. Normalised to [-1, 1] in float32 before the cast, so nothing is lost."""

    def __init__(self, config: OryxVisionConfig) -> None:
        super().__init__()
        self.proj = nn.Linear(config.num_channels * config.patch_size**2, config.hidden_size)

    def forward(self, patches_PC: Tensor) -> Tensor:
        pixels = patches_PC.float().div_(255).sub_(0.5).div_(0.5)
        return self.proj(pixels.to(self.proj.weight.dtype))


class PositionTable(nn.Module):
    """A learned square table, resized bilinearly (`align_corners=False`) to each view's grid.

    In eval mode without gradients resized tables are kept, up to as many positions as the table itself has.
    """

    def __init__(self, config: OryxVisionConfig) -> None:
        super().__init__()
        self.size = config.position_grid_size
        self.weight = nn.Parameter(torch.empty(self.size**2, config.hidden_size))
        self._kept: tuple[object, dict[tuple[int, int], Tensor]] = (None, {})

    def forward(self, grids: list[list[int]]) -> Tensor:
        """(P, D) positions of all views, in order."""
        is_fixed = not self.training and not (torch.is_grad_enabled() and self.weight.requires_grad)
        # Tensors made in inference mode do not tell when they are written to.
        keeps = is_fixed and not self.weight.is_inference() and not torch.compiler.is_compiling()
        made_from = self._made_from() if keeps else None
        kept_from, kept = self._kept
        known = kept if keeps and kept_from == made_from else {}
        tables: dict[tuple[int, int], Tensor] = {}
        for height, width in grids:
            if (height, width) not in tables:
                found = known.get((height, width))
                tables[height, width] = self._resize(height, width, is_fixed) if found is None else found
        if keeps and not known.keys() >= tables.keys():
            fresh = known | tables
            while sum(map(len, fresh.values())) > self.size**2:
                del fresh[next(iter(fresh))]
            self._kept = made_from, fresh  # a dict of its own: other threads may be reading the old one
        return torch.cat([tables[height, width] for height, width in grids])

    def train(self, mode: bool = True) -> PositionTable:
        self._kept = (None, {})
        return super().train(mode)

    def _resize(self, height: int, width: int, is_fixed: bool) -> Tensor:
        table = self.weight.view(self.size, self.size, -1).permute(2, 0, 1)[None]
        # On CPUs the resize itself computes in float32, but its gradient does not.
        table = table if is_fixed and table.is_cpu else table.float()
        grid = F.interpolate(table, size=(height, width), mode="bilinear", align_corners=False)
        return grid[0].flatten(1).T.to(self.weight.dtype, memory_format=torch.contiguous_format)

    def _made_from(self) -> object:
        """Changes when the weight is replaced, moved, cast or written to."""
        weight = self.weight
        return (weight.data_ptr(), weight._version, weight.dtype, weight.device)


def axial_rotation(grids: list[list[int]], head_dim: int, theta: float, device: torch.device) -> Rotation:
    """Cosine and sine (P, 1, d): half of a head turns with the row, the other half with the column."""
    tables = [axial_angles(height, width, head_dim, theta) for height, width in grids]
    angles = torch.cat(tables).to(device)
    angles = torch.cat([angles, angles], dim=-1)[:, None]
    return angles.cos(), angles.sin()


@lru_cache(maxsize=16)
def axial_angles(height: int, width: int, head_dim: int, theta: float) -> Tensor:
    """(h w, d / 2), in float32 on the CPU."""
    cpu = torch.device("cpu")
    steps = torch.arange(0, head_dim // 2, 2, dtype=torch.float32, device=cpu)
    frequencies = theta ** -(steps / (head_dim // 2))
    rows = torch.arange(height, dtype=torch.float32, device=cpu)[:, None, None] * frequencies
    columns = torch.arange(width, dtype=torch.float32, device=cpu)[None, :, None] * frequencies
    shape = (height, width, len(frequencies))
    return torch.cat([rows.expand(shape), columns.expand(shape)], dim=-1).flatten(0, 1)


def rotate(x_PHd: Tensor, rotation: Rotation) -> Tensor:
    cosine, sine = rotation
    first, second = x_PHd.chunk(2, dim=-1)
    turned = torch.cat([-second, first], dim=-1)
    return x_PHd * cosine.to(x_PHd.dtype) + turned * sine.to(x_PHd.dtype)


class Attention(nn.Module):
    def __init__(self, config: OryxVisionConfig) -> None:
        super().__init__()
        self.config = config
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x_PD: Tensor, packing: Packing, rotation: Rotation | None) -> Tensor:
        heads = (3, self.config.num_attention_heads, self.config.head_dim)
        q, k, v = self.qkv(x_PD).unflatten(-1, heads).unbind(1)
        if rotation is not None:
            q, k = rotate(q, rotation), rotate(k, rotation)
        attend = choose_attention(self.config._attn_implementation, q)
        return self.proj(attend(q, k, v, packing).flatten(1))


class MLP(nn.Module):
    def __init__(self, config: OryxVisionConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.act = ACT2FN[config.hidden_act]
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, x_PD: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x_PD)))


class Block(GradientCheckpointingLayer):
    def __init__(self, config: OryxVisionConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.attn = Attention(config)
        self.norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = MLP(config)

    def forward(self, x_PD: Tensor, packing: Packing, rotation: Rotation | None) -> Tensor:
        x_PD = x_PD + self.attn(self.norm1(x_PD), packing, rotation)
        return x_PD + self.mlp(self.norm2(x_PD))


class OryxVisionModel(PreTrainedModel):
    """The tower. No class token, no final norm, no head (published)."""

    config_class = OryxVisionConfig
    main_input_name = "patches"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True
    _no_split_modules = ["Block"]  # noqa: RUF012

    def __init__(self, config: OryxVisionConfig) -> None:
        super().__init__(config)
        self.patch_embed = PatchEmbed(config)
        self.pos_embed = PositionTable(config) if config.uses_table else None
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))
        self.post_init()

    @classmethod
    def _can_set_attn_implementation(cls) -> bool:
        """The config is asked at every call; `transformers` would guess otherwise from this file's text."""
        return True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, PositionTable):
            nn.init.normal_(module.weight, std=self.config.initializer_range)

    def forward(self, patches: Tensor, grids: Tensor | list[list[int]]) -> Tensor:
        """Features (P, D) of `patches` (P, C) uint8, each view of `grids` (G, 2) has the next h * w."""
        sizes: list[list[int]] = grids.tolist() if isinstance(grids, Tensor) else grids
        lengths = [height * width for height, width in sizes]
        if sum(lengths) != len(patches):
            raise AlignmentError(f"grids {sizes} hold {sum(lengths)} patches, but {len(patches)} were given.")
        x_PD = self.patch_embed(patches)
        rotation = None
        if self.pos_embed is not None:
            x_PD = x_PD + self.pos_embed(sizes)
        if self.config.uses_rotation:
            rotation = axial_rotation(sizes, self.config.head_dim, self.config.rope_theta, x_PD.device)
        packing = pack_by_length(lengths)
        if packing.order is not None:
            order = packing.order.to(x_PD.device)
            x_PD = x_PD[order]
            rotation = rotation and (rotation[0][order], rotation[1][order])
        for block in self.blocks:
            x_PD = block(x_PD, packing, rotation)
        return x_PD if packing.inverse is None else x_PD[packing.inverse.to(x_PD.device)]
