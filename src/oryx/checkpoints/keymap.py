"""The one table between published and native tensor names, read in both directions."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Reshape:
    """How a shape changes on its way in, and on its way out (given the patch size too)."""

    shape_in: Callable[[Shape], Shape]
    shape_out: Callable[[Shape, int], Shape]


KEEP = Reshape(lambda s: s, lambda s, p: s)
# Published patch kernel (D, 3, p, p) is our linear layer (D, 3 p p); its table (1, L, D) is our (L, D).
KERNEL = Reshape(lambda s: (s[0], s[1] * s[2] * s[3]), lambda s, p: (s[0], s[1] // p**2, p, p))
TABLE = Reshape(lambda s: s[1:] if s[0] == 1 else s, lambda s, p: (1, *s))

# (published, native, reshape): `*` stands for the same rest of the name on both sides. First match wins.
TOWER = "model.vision_tower.vision_tower."
RULES: tuple[tuple[str, str, Reshape], ...] = (
    (f"{TOWER}patch_embed.proj.weight", "vision_tower.patch_embed.proj.weight", KERNEL),
    (f"{TOWER}patch_embed.proj.bias", "vision_tower.patch_embed.proj.bias", KEEP),
    (f"{TOWER}pos_embed", "vision_tower.pos_embed.weight", TABLE),
    (f"{TOWER}blocks.*", "vision_tower.blocks.*", KEEP),
    ("model.vision_resampler.vlm_query_projector.*", "compressor.query.*", KEEP),
    ("model.vision_resampler.vlm_key_projector.*", "compressor.key.*", KEEP),
    ("model.mm_projector.proj.0.*", "projector.fc1.*", KEEP),
    ("model.mm_projector.proj.2.*", "projector.fc2.*", KEEP),
    ("model.mm_projector.image_begin", "projector.begin", KEEP),
    ("model.mm_projector.image_newline", "projector.newline", KEEP),
    ("model.mm_projector.image_sep", "projector.separator", KEEP),
    ("model.mm_projector.image_end", "projector.end", KEEP),
    ("model.embed_tokens.*", "language_model.model.embed_tokens.*", KEEP),
    ("model.layers.*", "language_model.model.layers.*", KEEP),
    ("model.norm.*", "language_model.model.norm.*", KEEP),
    ("lm_head.*", "language_model.lm_head.*", KEEP),
)
# What the released tower file may also carry and the method does not use; and buffers of old checkpoints.
UNUSED = re.compile(
    re.escape(TOWER)
    + r"(norm|fc_norm|attn_pool|head)\..*|model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq"
)


def _translate(name: str, source: str, target: str) -> str | None:
    prefix, star, _ = source.partition("*")
    if star and name.startswith(prefix):
        return target.replace("*", name[len(prefix) :])
    return target if name == source else None


def to_native(published: str) -> tuple[str, Reshape] | None:
    """Native name and reshape of a published key, or None if the table does not know it."""
    for theirs, ours, reshape in RULES:
        if (name := _translate(published, theirs, ours)) is not None:
            return name, reshape
    return None


def to_published(native: str) -> tuple[str, Reshape] | None:
    """Published name and reshape of a native key, or None if the published layout cannot hold it."""
    for theirs, ours, reshape in RULES:
        if (name := _translate(native, ours, theirs)) is not None:
            return name, reshape
    return None


def reshape_in(tensor: Tensor, reshape: Reshape) -> Tensor:
    return tensor.reshape(reshape.shape_in(tuple(tensor.shape)))


def reshape_out(tensor: Tensor, reshape: Reshape, patch_size: int) -> Tensor:
    return tensor.reshape(reshape.shape_out(tuple(tensor.shape), patch_size))
