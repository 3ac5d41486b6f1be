"""Where the scene changes, from thumbnails of frames that are decoded anyway.

Cuts could be read from the packets alone, without a decoded pixel, but only one encoder marks them. On one
minute of film with 17 cuts in 12 containers, keyframes are exactly the cuts where x264 wrote it by default;
elsewhere (VP9, MPEG-1, MPEG-4, WMV, ...) they find 1 to 7, among up to 100 that are none. Sudden packet sizes
find 0 to 17, among 7 to 113 that are none. Thumbnails of 224 frames find 16 everywhere, with 2 that are none,
and cost a few hundredths of a second beside the decoding. `benchmarks/scene_cuts.py` measures this.
"""

from __future__ import annotations

import itertools

import numpy as np
from PIL import Image

THUMBNAIL = 16
"""Side in pixels."""
CUT = 0.05
"""Change, above that of the frames around, from which on it is a cut; 1 is from black to white."""
_AROUND = 4


def thumbnail(image: Image.Image) -> np.ndarray:
    """(16, 16, 3) uint8: what is compared."""
    small = image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX, reducing_gap=2.0)
    return np.asarray(small.convert("RGB"))


def changes(thumbnails: np.ndarray) -> np.ndarray:
    """(N, 16, 16, 3) uint8 -> (N - 1,): mean difference from each frame to the next, 0 to 1."""
    return np.abs(np.diff(thumbnails.astype(np.float32), axis=0)).mean(axis=(1, 2, 3)) / 255


def find_cuts(thumbnails: np.ndarray) -> list[int]:
    """Places of the frames that begin a new scene, ascending; the first frame is not among them.

    A change counts by how far it rises above the median of those around it: a camera that moves changes every
    frame, a cut one.
    """
    change = changes(thumbnails)
    cuts = []
    for place, value in enumerate(change):
        around = np.concatenate([change[max(0, place - _AROUND) : place], change[place + 1 :][:_AROUND]])
        if value - (np.median(around) if len(around) else 0.0) >= CUT:
            cuts.append(place + 1)
    return cuts


def scenes_of(cuts: list[int], num_frames: int) -> list[range]:
    """The scenes between the cuts, as ranges of places."""
    bounds = [0, *cuts, num_frames]
    return [range(start, stop) for start, stop in itertools.pairwise(bounds)]
