"""Identity without masks, poses or weights: patches of surfaces that are followed from view to view.

Corners are followed by Lucas-Kanade between neighbouring views, forth and back, as long as they look as they
did in their first view. Points that stay together make a patch of surface, which stands for an object. Where
an object ends is not known: two patches may lie on one object, and one may lie on a wall.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from oryx.data.builders.correspondence.scenes import Scene
from oryx.data.builders.correspondence.sights import Sight, Sightings
from oryx.data.builders.correspondence.sources import flow
from oryx.media.image import open_image

MAX_PATCHES = 64
_NEIGHBOURS = 9


@dataclass(frozen=True)
class FeatureSettings:
    """How points are followed. Shares are of the shorter side of the picture."""

    side: int = 360
    """Pixels of the shorter side that pictures are reduced to."""
    num_points: int = 400
    """Points followed at a time."""
    distance: float = 0.03
    """Share between two points."""
    levels: int = 4
    """Of the pyramid."""
    reach: float = 0.4
    """Share by which a point may move between two views."""
    return_error: float = 1.0
    """Pixels by which a point may miss its start when it is followed back."""
    likeness: float = 0.8
    """Least correlation of a point's surroundings with those in the first view of its track: what slides
    along an edge or hangs on an outline changes them little by little."""
    patch: float = 0.08
    """Share that the points of one patch may lie from its middle."""


class FeatureSource:
    """Patches of surface as objects, for a walk through a scene whose neighbouring views overlap well."""

    def __init__(self, settings: FeatureSettings = FeatureSettings()) -> None:
        self.settings = settings

    def identify(self, scene: Scene, views: Sequence[int]) -> Sightings:
        """As `Source.identify`; ids are 0, 1, ..., the patch of the longest track first."""
        greys, sizes = [], []
        for view in views:
            picture = open_image(scene.views[view])
            greys.append(_grey(picture, self.settings.side))
            sizes.append((picture.height, picture.width))
        return patches(track(greys, self.settings), sizes, self.settings)


def track(greys: Sequence[np.ndarray], settings: FeatureSettings = FeatureSettings()) -> np.ndarray:
    """Follow points through pictures.

    Args:
        greys: (H, W) float32 pictures of one size, in the order of the walk.
        settings: how.

    Returns:
        (T, N, 2) (y, x) of T points in N pictures, whole coordinates being the middles of pixels; NaN where a
        point is not seen. A point that is lost does not come back: it is a new one then.
    """
    distance = max(2, round(settings.distance * min(greys[0].shape)))
    tracks = np.full((0, len(greys), 2), np.nan)
    looks = np.zeros((0, flow.WINDOW**2))  # of each track's first view
    before = flow.pyramid(greys[0], settings.levels)
    for place, grey in enumerate(greys):
        now = flow.pyramid(grey, settings.levels)
        if place:
            alive = np.flatnonzero(~np.isnan(tracks[:, place - 1, 0]))
            here = tracks[alive, place - 1]
            there, good = _follow(before, now, here, looks[alive], settings, distance)
            tracks[alive[good], place] = there[good]
        seen = tracks[~np.isnan(tracks[:, place, 0]), place]
        fresh = flow.corners(grey, settings.num_points - len(seen), distance, seen)
        added = np.full((len(fresh), len(greys), 2), np.nan)
        added[:, place] = fresh
        tracks = np.concatenate((tracks, added))
        looks = np.concatenate((looks, flow.look(grey, fresh)))
        before = now
    return tracks


def patches(
    tracks: np.ndarray, sizes: Sequence[tuple[int, int]], settings: FeatureSettings = FeatureSettings()
) -> Sightings:
    """Tracks that stay together, as objects: each is marked at its seed, the longest track that is left.

    Among equally long ones the seed is that furthest from the other patches, so that few marks lie wide
    apart. All patches have one area, that of a disc of `settings.patch`: how far they really go is not known.

    Args:
        tracks: as `track` gives them, of pictures whose shorter side is `settings.side` at most.
        sizes: (height, width) in pixels of the views that these were made from.
        settings: how.
    """
    found = Sightings()
    seen = ~np.isnan(tracks[..., 0])
    free = seen.sum(1) >= 2
    side = min(*sizes[0], settings.side)
    reach = settings.patch * side
    area = math.pi * reach**2
    apart = np.full(len(tracks), np.inf)  # pixels to the nearest patch
    while free.any() and len(found.sights) < MAX_PATCHES:
        length = seen.sum(1) * free
        seed = int(np.argmax(np.where(length == length.max(), apart, -1.0)))
        with np.errstate(invalid="ignore"):
            distance = np.linalg.norm(tracks - tracks[seed], axis=2)
            near = distance <= reach
        shared = seen & seen[seed]
        members = free & (shared.sum(1) >= 2) & (near.sum(1) >= 0.75 * shared.sum(1))
        free &= ~members
        closest = np.where(shared, distance, np.inf).min(1)
        apart = np.minimum(apart, closest)
        found.sights[len(found.sights)] = _sights(tracks[members], tracks[seed], sizes, area, settings)
    return found


def _follow(
    before: Sequence[np.ndarray],
    now: Sequence[np.ndarray],
    here: np.ndarray,
    looks: np.ndarray,
    settings: FeatureSettings,
    distance: int,
) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) places in the next picture and (N,) bool: which of them are to be trusted."""
    if not len(here):
        return here, np.zeros(0, dtype=bool)
    shift = _coarse_shift(before[0], now[0], here, settings, distance)
    there, good = flow.follow(before, now, here, here + shift)
    back, returned = flow.follow(now, before, there, there - shift)
    good &= returned & (np.abs(back - here).max(1) <= settings.return_error)
    good &= (flow.look(now[0], there) * looks).sum(1) >= settings.likeness
    return there, good


def _coarse_shift(
    before: np.ndarray, now: np.ndarray, here: np.ndarray, settings: FeatureSettings, distance: int
) -> np.ndarray:
    """(N, 2) where to begin: how the corners nearby moved that look alike in both pictures."""
    corners = flow.corners(now, settings.num_points, distance)
    first, second = flow.match(before, now, here, corners, settings.reach * min(now.shape))
    if len(first) < _NEIGHBOURS:
        return np.zeros_like(here)
    moves = corners[second] - here[first]
    distances = np.abs(here[:, None] - here[None, first]).max(-1)
    nearest = np.argpartition(distances, _NEIGHBOURS - 1, axis=1)[:, :_NEIGHBOURS]
    return np.median(moves[nearest], axis=1)


def _sights(
    members: np.ndarray,
    seed: np.ndarray,
    sizes: Sequence[tuple[int, int]],
    area: float,
    settings: FeatureSettings,
) -> dict[int, Sight]:
    """One patch: marked at the seed while it is seen, else at the member nearest to the members' middle."""
    sights = {}
    for place, size in enumerate(sizes):
        points = members[~np.isnan(members[:, place, 0]), place]
        if not len(points):
            continue
        y, x = seed[place]
        if np.isnan(y):
            y, x = points[np.argmin(np.linalg.norm(points - points.mean(0), axis=1))]
        larger = max(1.0, min(size) / settings.side)
        sights[place] = Sight(float(y) + 0.5, float(x) + 0.5, area).scaled(larger, larger)
    return sights


def _grey(picture: Image.Image, side: int) -> np.ndarray:
    """Grey float32 with a shorter side of at most `side` pixels."""
    share = side / min(picture.size)
    if share < 1:
        width, height = (round(length * share) for length in picture.size)
        picture = picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2)
    return np.asarray(picture.convert("L"), dtype=np.float32)
