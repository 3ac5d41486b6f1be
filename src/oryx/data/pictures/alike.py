"""Pictures that look the same under different names, which the names alone keep in different splits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

ALIKE = 10.0
"""Mean difference of colour and opacity, of 255, below which one picture is a copy of the other. Of the whole
store these are recoloured or lightly changed drawings; the next pairs are drawings of their own."""
_SIDE = 16


def join_copies(names: Sequence[str], splits: Sequence[str], images: Sequence[Image.Image]) -> list[str]:
    """The splits, with each "test" picture that looks like a "train" one of its thing moved to "train"."""
    joined = list(splits)
    looks = [_look(image) if split in ("train", "test") else None for split, image in zip(splits, images)]
    by_name: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        if looks[index] is not None:
            by_name.setdefault(name, []).append(index)
    for mine in by_name.values():
        trained = [index for index in mine if joined[index] == "train"]
        while trained:  # a picture that was moved may have copies of its own
            shown = trained.pop()
            for index in mine:
                if joined[index] == "test" and np.abs(looks[index] - looks[shown]).mean() < ALIKE:  # type: ignore[operator]
                    joined[index] = "train"
                    trained.append(index)
    return joined


def _look(image: Image.Image) -> np.ndarray:
    """(16, 16, 4) colour, times opacity, and opacity itself, 0 to 255."""
    values = np.asarray(image.convert("RGBA").resize((_SIDE, _SIDE)), dtype=np.float64)
    return np.concatenate([values[..., :3] * values[..., 3:] / 255, values[..., 3:]], axis=-1)
