"""Plain drawings, in which a test can find again what was drawn."""

import numpy as np
import pytest

from oryx.data.synthetic.drawing import COLORS

_NAMES = ("red", "green", "blue", "black")


@pytest.fixture(scope="session")
def plain():
    """Settings of skills that draw objects: four pure colours on white, no variants, the first wordings."""
    return {"style": "plain", "background": "white", "wordings": "first", "colors": list(_NAMES)}


@pytest.fixture(scope="session")
def turns():
    """The (question, answer) pairs of a sample, without the placeholders."""

    def split(sample):
        values = [turn["value"].replace("<image>\n", "") for turn in sample.conversations]
        return list(zip(values[::2], values[1::2], strict=True))

    return split


@pytest.fixture(scope="session")
def ink():
    """The name of a picture's one colour, and the box of its ink: top, left, bottom, right in pixels."""

    def find(image):
        pixels = np.asarray(image)
        (color,) = [name for name in _NAMES if (pixels == COLORS[name][0]).all(axis=-1).any()]
        ys, xs = np.nonzero((pixels != 255).any(axis=-1))
        return color, (ys.min(), xs.min(), ys.max() + 1, xs.max() + 1)

    return find
