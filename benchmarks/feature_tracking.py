"""Marks by feature tracking against the truth: made rooms whose geometry is known to the pixel.

    python benchmarks/feature_tracking.py

A mark is right if it lies on the surface point of its first view, as the renderer knows it: within 10% of the
picture's shorter side, and on the same object. The rooms are kind to tracking, with texture everywhere; the
rows show what faint texture, noise, changing light, and fewer views of a walk past or around them do to it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
from common import ROOT, Report, parser
from PIL import Image

from oryx.data.builders.correspondence.selection import select_objects
from oryx.data.builders.correspondence.sources.features import patches, track

sys.path.append(str(ROOT / "tests"))
from made_scenes import Box, Camera, MadeScene, walk

HEIGHT, WIDTH = 240, 320
NUM_MARKS = 5

Worsen = Callable[[np.ndarray, np.random.Generator], np.ndarray]

CASES: dict[str, tuple[str, int, Worsen]] = {
    "past, 16 views": ("past", 16, lambda color, rng: color),
    "past, 16, faint": ("past", 16, lambda color, rng: 128 + (color - 128) * 0.2),
    "past, 16, noise": ("past", 16, lambda color, rng: color + rng.normal(0, 10, color.shape)),
    "past, 16, light": ("past", 16, lambda color, rng: color * rng.uniform(0.7, 1.3)),
    "past, 4 views": ("past", 4, lambda color, rng: color),
    "around, 16 views": ("around", 16, lambda color, rng: color),
    "around, 8 views": ("around", 8, lambda color, rng: color),
}
"""Name -> walk, views, and what is done to the pictures: a fifth of the contrast, noise of 10 grey levels, or
light that changes between 70% and 130% from view to view."""


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--rooms", type=int, default=10, help="made rooms")
    given = options.parse_args()
    report = Report("feature_tracking")
    for name, (way, views, worsen) in CASES.items():
        scores = [score(room(seed, way, views), worsen, seed) for seed in range(given.rooms)]
        near, same, seen, points, seconds = (np.concatenate(part) for part in zip(*scores))
        report.add(f"{name}: marks in place", float(near.mean()), "")
        report.add(f"{name}: marks on their object", float(same.mean()), "")
        report.add(f"{name}: views of a mark", float(seen.mean()), f"of {views}")
        report.add(f"{name}: points within 3 px", float((points < 3).mean()), "")
        report.add(f"{name}: seconds a view", float(seconds.mean()), "s")
    report.finish(given.output)


def room(seed: int, way: str, num_views: int) -> MadeScene:
    """Six boxes of any size and place, and a walk: 1 to 3 metres past them, or a third of the way around."""
    rng = np.random.default_rng(seed)
    boxes = []
    for _ in range(6):
        size = rng.uniform((0.3, 0.3, 0.3), (1.0, 1.0, 1.6))
        x, y = rng.uniform((-2, -0.8), (2, 2.4))
        boxes.append(Box((x, y, size[2] / 2), tuple(size), rng.uniform(0, 3)))
    cameras = walk(num_views, rng.uniform(0.5, 1.5), rng.uniform(-0.4, 0.8))
    if way == "around":
        angles = np.linspace(-np.pi / 3, np.pi / 3, num_views)
        cameras = [Camera((2.7 * np.sin(a), 0.8 - 2.7 * np.cos(a), 1.5), (0, 0.8, 0.5)) for a in angles]
    return MadeScene(boxes, cameras, HEIGHT, WIDTH).render()


def score(scene: MadeScene, worsen: Worsen, seed: int) -> tuple[np.ndarray, ...]:
    """Of the marks: near, same; views of each; pixels by which points miss; seconds a view."""
    rng = np.random.default_rng(seed)
    colors = [np.clip(worsen(shot.color.astype(float), rng), 0, 255).astype(np.uint8) for shot in scene.shots]
    pictures = [Image.fromarray(color) for color in colors]
    began = time.perf_counter()
    tracks = track([np.asarray(picture.convert("L"), dtype=np.float32) for picture in pictures])
    found = patches(tracks, [(HEIGHT, WIDTH)] * len(pictures))
    seconds = (time.perf_counter() - began) / len(pictures)
    near, same, seen = [], [], []
    for name in select_objects(found.areas(), NUM_MARKS, min_views=2):
        sights = found.sights[name]
        seen.append(len(sights))
        first, *others = sorted(sights)
        row, column = int(sights[first].y), int(sights[first].x)
        for view in others:
            y, x, _ = scene.project(scene.shots[first].points[row, column], view)
            sight = sights[view]
            near.append(np.hypot(sight.y - y, sight.x - x) <= HEIGHT / 10)
            here = scene.shots[view].ids[int(sight.y), int(sight.x)]
            same.append(here == scene.shots[first].ids[row, column])
    return np.array(near), np.array(same), np.array(seen), _misses(scene, tracks), np.array([seconds])


def _misses(scene: MadeScene, tracks: np.ndarray) -> np.ndarray:
    misses = []
    for points in tracks:
        views = np.flatnonzero(~np.isnan(points[:, 0]))
        if len(views) < 2:
            continue
        row, column = np.round(points[views[0]]).astype(int)
        surface = scene.shots[views[0]].points[row, column]
        for view in views[1:]:
            y, x, _ = scene.project(surface, view)
            misses.append(np.hypot(points[view, 0] + 0.5 - y, points[view, 1] + 0.5 - x))
    return np.array(misses)


if __name__ == "__main__":
    main()
