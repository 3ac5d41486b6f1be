"""How a picture or a film becomes views: native, squeezed, tiled or capped; few large frames or many small.

A policy is a pure function: the same picture gives the same views. What they cost in pixels is stated by the
views themselves, so that arms can be compared at equal budgets.
"""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from PIL import Image

from oryx.data.marks import Mark
from oryx.data.synthetic.sample import Sample
from oryx.processing.geometry import IMAGE, REGIONS, VIDEO, View
from oryx.processing.pixels import patchify, resize
from oryx.processing.visuals import EncodedVisual

PATCH = 8
"""Pixels of a patch's side, of every model here."""
Way = Literal["native", "square", "aspect", "tiled"]


class Indexed(Protocol):
    """Samples by number."""

    def __getitem__(self, index: int) -> Sample: ...


@dataclass(frozen=True)
class PictureViews:
    """What becomes of a picture."""

    way: Way = "native"
    """native: as it is. square: squeezed into a square. aspect: its shape at a fixed area. tiled: cut into
    square tiles that the tower sees one by one, after a small picture of the whole."""
    area: int = 64 * 64
    """Pixels of "square" and "aspect"."""
    tile: int = 32
    """Pixels of the side of a tile."""
    ratio: int = 1
    """Patches of a token."""
    shares: tuple[float, ...] = (1.0,)
    """Of the pixels that "native" takes; each sample draws one."""

    def look(self, sample: Sample, rng: random.Random) -> Sample:
        """The sample with its picture as views."""
        visual = sample.visuals[0]
        encoded = encode_picture(visual["image"], visual["marks"], self, rng.choice(self.shares))
        return _with_views(sample, encoded)


@dataclass(frozen=True)
class FilmViews:
    """What becomes of a film: at equal tokens, a high ratio affords more frames."""

    ratios: tuple[int, ...] = (1,)
    """Patches of a token; each sample draws one."""
    tokens: int = 76
    """Positions that a film may take in all."""

    def look(self, sample: Sample, rng: random.Random) -> Sample:
        """The sample with some of its frames as views."""
        visual, ratio = sample.visuals[0], rng.choice(self.ratios)
        frames: Sequence[Image.Image] = visual["video"]
        chosen = choose_frames(len(frames), self.num_frames(ratio, frames[0].height, frames[0].width))
        views = [_view(frames[0].height, frames[0].width, ratio)] * len(chosen)
        rows = np.concatenate([patchify(frames[index], PATCH) for index in chosen])
        place = {frame: index for index, frame in enumerate(chosen)}
        marks = [
            dataclasses.replace(mark, view=place[mark.view]) for mark in visual["marks"] if mark.view in place
        ]
        encoded = EncodedVisual(VIDEO, tuple(views), rows, marks=tuple(marks))
        return _with_views(sample, encoded)

    def num_frames(self, ratio: int, height: int, width: int) -> int:
        """Frames that the tokens afford, at least one; begin, end and separators are paid for."""
        return max(1, (self.tokens - 2) // (_view(height, width, ratio).num_tokens + 1))


@dataclass(frozen=True)
class MixedViews:
    """Each sample is shown in one of several ways."""

    ways: tuple[PictureViews, ...]

    def look(self, sample: Sample, rng: random.Random) -> Sample:
        """The sample with its picture as views."""
        return rng.choice(self.ways).look(sample, rng)


Views = PictureViews | FilmViews | MixedViews


@dataclass(frozen=True)
class Looked:
    """Samples of a source, each as one way of looking shows it."""

    source: Any
    views: Views

    def __getitem__(self, index: int) -> Sample:
        return self.views.look(self.source[index], random.Random(f"views {index}"))


def encoded_in(sample: Sample) -> EncodedVisual:
    """The views of a sample that was looked at."""
    visual: Any = sample.visuals[0]
    return visual


def encode_picture(
    image: Image.Image, marks: Sequence[Mark], views: PictureViews, share: float = 1.0
) -> EncodedVisual:
    """The views of a picture, their patches, and its marks where they are in the views.

    Args:
        share: of the picture's own pixels, for "native".
    """
    height, width = image.height, image.width
    if views.way == "tiled":
        return _encode_tiles(image, marks, views)
    if views.way == "square":
        side = math.sqrt(views.area)
        size = (side, side)
    elif views.way == "aspect":
        scale = math.sqrt(views.area / (height * width))
        size = (height * scale, width * scale)
    else:
        size = (height * math.sqrt(share), width * math.sqrt(share))
    view = _view(*_rounded(size, views.ratio), views.ratio)
    rows = patchify(resize(image, view.height, view.width), PATCH)
    return EncodedVisual(IMAGE, (view,), rows, marks=tuple(marks))


def choose_grid(height: int, width: int, tile: int, num_tiles: float) -> tuple[int, int]:
    """Rows and columns of tiles: the shape nearest to the picture's, of about so many tiles."""
    limit = max(1, math.ceil(num_tiles))
    grids = [(r, c) for r in range(1, limit + 1) for c in range(1, limit + 1) if r * c <= limit]

    def distortion(grid: tuple[int, int]) -> float:
        rows, columns = grid
        scale = math.sqrt(num_tiles * tile * tile / (height * width))
        return abs(math.log(rows * tile / (height * scale))) + abs(math.log(columns * tile / (width * scale)))

    return min(grids, key=distortion)


def choose_frames(num_frames: int, wanted: int) -> list[int]:
    """Frames in the middle of as many equal stretches."""
    wanted = min(wanted, num_frames)
    return [int((index + 0.5) * num_frames / wanted) for index in range(wanted)]


def _with_views(sample: Sample, encoded: EncodedVisual) -> Sample:
    visuals: list[Any] = [encoded]
    return dataclasses.replace(sample, visuals=visuals)


def _encode_tiles(image: Image.Image, marks: Sequence[Mark], views: PictureViews) -> EncodedVisual:
    tile = views.tile
    # The small picture is paid for with pixels of the tiles.
    affordable = image.height * image.width / tile**2 - 1
    rows, columns = choose_grid(image.height, image.width, tile, max(1.0, affordable))
    whole = resize(image, rows * tile, columns * tile)
    parts = [resize(image, tile, tile)]
    for row in range(rows):
        for column in range(columns):
            corner = (column * tile, row * tile)
            parts.append(whole.crop((*corner, corner[0] + tile, corner[1] + tile)))
    moved = []
    for mark in marks:
        row, column = min(int(mark.y * rows), rows - 1), min(int(mark.x * columns), columns - 1)
        inside = (mark.y * rows - row, mark.x * columns - column)
        moved.append(Mark(1 + row * columns + column, *inside, mark.text))
    patches = np.concatenate([patchify(part, PATCH) for part in parts])
    # The layout of a video, whose marks may name any view.
    every = (_view(tile, tile, views.ratio),) * len(parts)
    return EncodedVisual(VIDEO, every, patches, marks=tuple(moved))


def _view(height: int, width: int, ratio: int) -> View:
    return View(height, width, (height // PATCH, width // PATCH), ratio)


def _rounded(size: tuple[float, float], ratio: int) -> tuple[int, int]:
    """Sides that whole regions of patches tile, as near as may be."""
    rows, columns = (side * PATCH for side in REGIONS[ratio])
    height, width = size
    return max(rows, round(height / rows) * rows), max(columns, round(width / columns) * columns)
