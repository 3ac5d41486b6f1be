"""Which frames of a clip are asked about: plain to see, and for a difference unlike each other."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from oryx.data.builders.needle.scene_cuts import find_cuts, scenes_of
from oryx.data.sources.needle import CAPTION, DIFFERENCE

MIN_CONTRAST = 0.05
"""Standard deviation of brightness (0 to 1) below which a frame is taken for empty."""
MIN_DETAIL = 0.004
"""Mean step of brightness between neighbouring pixels (0 to 1) below which nothing has an outline."""
MIN_DIFFERENCE = 0.04
"""Mean difference of thumbnails (0 to 1) below which two frames are taken for the same."""
_SIDE = 96


@dataclass(frozen=True)
class Look:
    """What is kept of a frame to judge it by."""

    thumbnail: np.ndarray
    """(16, 16, 3) uint8."""
    contrast: float
    """Standard deviation of brightness, 0 to 0.5."""
    detail: float
    """Mean step of brightness from pixel to pixel at about 96 pixels a side, 0 to 1."""

    @property
    def is_informative(self) -> bool:
        """Whether there is something to say about the frame."""
        return self.contrast >= MIN_CONTRAST and self.detail >= MIN_DETAIL


def look_at(image: Image.Image, thumbnail: np.ndarray) -> Look:
    """Judge an RGB frame."""
    gray = image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    values = np.asarray(gray, np.float32) / 255
    steps = np.abs(np.diff(values, axis=0)).mean() + np.abs(np.diff(values, axis=1)).mean()
    return Look(thumbnail, float(values.std()), float(steps) / 2)


def choose_targets(looks: Sequence[Look], tasks: Sequence[str], rng: random.Random) -> list[list[int]] | None:
    """Places of the frames for each task: one for a caption, two, ascending, for a difference.

    From every scene comes its most detailed frame; in scenes of three frames or more not one beside a cut,
    which may be half of both scenes. Captions take scenes in random order; differences take, in random order,
    the pairs that are more unlike than most, each again only when all had their turn. Where there are fewer
    scenes than captions, or than a difference needs, other informative frames follow, wherever they are.

    Returns: None where the clip has too few informative frames, or a difference is asked for and no two of
        them differ.
    """
    thumbnails = np.stack([look.thumbnail for look in looks])
    scenes = scenes_of(find_cuts(thumbnails), len(looks))
    best = [place for scene in scenes if (place := _best(scene, looks)) is not None]
    others = [place for place, look in enumerate(looks) if look.is_informative and place not in best]
    rng.shuffle(others)
    num_captions = sum(task == CAPTION for task in tasks)
    if len(best) + len(others) < max(1, num_captions):
        return None
    captions = iter([*rng.sample(best, len(best)), *others])
    # A clip of one scene, a speech or a landscape, may still have frames that differ.
    among = best if len(best) > 2 else sorted([*best, *others[: 32 - len(best)]])
    pairs = _unlike_pairs(among, thumbnails)
    if DIFFERENCE in tasks and not pairs:
        return None
    rng.shuffle(pairs)
    differences = itertools.cycle(pairs)
    return [[next(captions)] if task == CAPTION else list(next(differences)) for task in tasks]


def _best(scene: range, looks: Sequence[Look]) -> int | None:
    inner = scene[1:-1] if len(scene) > 2 else scene
    informative = [place for place in inner if looks[place].is_informative]
    return max(informative, key=lambda place: looks[place].detail, default=None)


def _unlike_pairs(places: Sequence[int], thumbnails: np.ndarray) -> list[tuple[int, int]]:
    """The more unlike half of all pairs, as far as they differ at all."""
    values = thumbnails[list(places)].astype(np.float32).reshape(len(places), -1) / 255
    pairs = [
        (float(np.abs(values[i] - values[j]).mean()), places[i], places[j])
        for i in range(len(places))
        for j in range(i + 1, len(places))
    ]
    pairs = sorted((pair for pair in pairs if pair[0] >= MIN_DIFFERENCE), reverse=True)
    return [(first, second) for _, first, second in pairs[: (len(pairs) + 1) // 2]]
