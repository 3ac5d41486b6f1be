"""A worker's prompt, held against itself, the model and the limits, and the names of its visuals.

All engines and all requests share what becomes of a prompt, so nothing of it is taken on trust: an id beyond
the vocabulary would end an engine on a GPU, and a name given by a worker could stand for another's picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from oryx.processing.geometry import IMAGE, REGIONS, VIDEO
from oryx.serving.encoding import EncodingLimits
from oryx.serving.workers.channel import BrokenReplyError

if TYPE_CHECKING:  # with torch, which a worker imports only once it has begun
    from oryx.processing.collate import EncodedSample

LONGEST_SIDE = 2**20
"""Of a grid, in patches: so that products of sides are exact."""
VIEWS_OF_IMAGE = 2


@dataclass(frozen=True)
class PromptForm:
    """What is the same in all prompts of a model. A worker says it before its first job."""

    num_ids: int
    """Ids of text are below it."""
    placeholder: int
    """The id at every position of a visual, and nowhere else."""
    patch_values: int
    """Values in a patch."""


def check_sample(sample: EncodedSample, form: PromptForm, limits: EncodingLimits) -> None:
    """Whether a sample could be the processor's.

    Raises:
        BrokenReplyError: it could not.
    """
    for name in ("ids", "compressions", "visual_lengths", "visual_kinds"):
        array = getattr(sample, name)
        _require(array.ndim == 1 and array.dtype == np.int64, f"its {name}")
    _require(sample.grids.ndim == 2 and sample.grids.shape[1] == 2, "its grids")
    _require(sample.grids.dtype == np.int64, "its grids")
    num_visuals, num_views = len(sample.visual_lengths), len(sample.grids)
    _require(num_visuals == len(sample.visual_kinds) == len(sample.spans), "the number of its visuals")
    _require(num_visuals <= limits.max_visuals, "the number of its visuals")
    _require(num_views <= limits.max_frames + VIEWS_OF_IMAGE * limits.max_visuals, "the number of its views")
    _require(bool((sample.visual_lengths > 0).all()), "its visuals' views")
    _require(bool((sample.visual_lengths <= num_views).all()), "its visuals' views")
    _require(int(sample.visual_lengths.sum()) == num_views == len(sample.compressions), "its views")
    _require(bool(np.isin(sample.visual_kinds, (IMAGE, VIDEO)).all()), "its visuals' kinds")
    _require(bool(np.isin(sample.compressions, list(REGIONS)).all()), "its ratios")
    _require(bool(((sample.grids > 0) & (sample.grids <= LONGEST_SIDE)).all()), "its grids")
    num_patches = int(sample.grids.prod(axis=1).sum())
    _require(num_patches <= limits.max_patches, "the number of its patches")
    if sample.patches is not None:
        _require(sample.patches.dtype == np.uint8, "its patches")
        _require(sample.patches.shape == (num_patches, form.patch_values), "the shape of its patches")
    else:
        _require(not num_visuals, "the lack of patches")
    _check_positions(sample, form)


def visual_keys(sample: EncodedSample) -> list[str]:
    """Of each visual, a digest of all that its tokens depend on: kind, grids, ratios and patches."""
    keys, view, patch = [], 0, 0
    for kind, num_views in zip(sample.visual_kinds.tolist(), sample.visual_lengths.tolist()):
        own = slice(view, view + num_views)
        num_patches = int(sample.grids[own].prod(axis=1).sum())
        digest = blake2b(np.array([kind, num_views]).tobytes(), digest_size=16)
        digest.update(sample.grids[own].tobytes())
        digest.update(sample.compressions[own].tobytes())
        if sample.patches is not None:
            digest.update(np.ascontiguousarray(sample.patches[patch : patch + num_patches]).data)
        keys.append(digest.hexdigest())
        view, patch = view + num_views, patch + num_patches
    return keys


def _check_positions(sample: EncodedSample, form: PromptForm) -> None:
    """Each visual has the positions that its views come to, and all others are text."""
    regions = np.array([REGIONS[ratio] for ratio in sample.compressions.tolist()], np.int64).reshape(-1, 2)
    _require(not (sample.grids % regions).any(), "its grids, which regions do not tile")
    rows, columns = (sample.grids // regions).T
    num_tokens = rows * (columns + 1)
    is_text = np.ones(len(sample.ids), dtype=bool)
    end = view = 0
    for (start, stop), kind, num_views in zip(
        sample.spans, sample.visual_kinds.tolist(), sample.visual_lengths.tolist(), strict=True
    ):
        num_separators = num_views if kind == VIDEO else num_views - 1
        length = int(num_tokens[view : view + num_views].sum()) + num_separators + 2
        _require(end <= start and stop == start + length and stop <= len(sample.ids), "its spans")
        _require(bool((sample.ids[start:stop] == form.placeholder).all()), "the ids of its visuals")
        is_text[start:stop] = False
        end, view = stop, view + num_views
    text = sample.ids[is_text]
    is_known = (text >= 0) & (text < form.num_ids) & (text != form.placeholder)
    _require(bool(is_known.all()), "the ids of its text")


def _require(is_so: bool, what: str) -> None:
    if not is_so:
        raise BrokenReplyError(f"{what} cannot be")
