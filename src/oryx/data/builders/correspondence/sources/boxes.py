"""Identity from depth, poses and 3D boxes: a pixel, put into the world, belongs to the box around it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from oryx.data.builders.correspondence.cameras import (
    Box,
    Intrinsic,
    find_boxes,
    read_boxes,
    read_intrinsic,
    read_matrix,
)
from oryx.data.builders.correspondence.scenes import Scene
from oryx.data.builders.correspondence.sights import Sight, Sightings, measure
from oryx.data.builders.correspondence.sources.masks import read_values
from oryx.errors import MediaError
from oryx.media.image import image_size

MILLIMETRES = 1000.0
MARGIN = 0.02
"""Metres by which boxes grow, for depth is not exact."""
FLOOR = 0.03
"""Metres above a box's bottom that do not count: the floor it stands on is not the object."""


class BoxSource:
    """Depth in `depth/*.png` (16 bits, millimetres, 0 for none), `pose/*.txt` (camera to world) and boxes.

    What stands before a box hides it by itself: the depth there is not inside the box. Where boxes overlap,
    a pixel belongs to the smallest. Views whose pose is not finite (ScanNet writes -inf where tracking was
    lost) show no object. Colour and depth are taken to be seen from one place, a few centimetres apart in
    ScanNet.
    """

    def __init__(self, boxes: str | None = None, margin: float = MARGIN, floor: float = FLOOR) -> None:
        self.boxes, self.margin, self.floor = boxes, margin, floor

    def identify(self, scene: Scene, views: Sequence[int]) -> Sightings:
        """As `Source.identify`."""
        boxes = sorted(read_boxes(scene, self.boxes), key=lambda box: -box.volume)
        names = {box.id: box.label for box in boxes if box.label is not None}
        found = Sightings(labels={**scene.labels, **names})
        ids = list(dict.fromkeys(box.id for box in boxes))
        objects = np.array([0, *(1 + ids.index(box.id) for box in boxes)])  # boxes of one id are one object
        for place, view in enumerate(views):
            pose = read_matrix(scene.beside("pose", view, ".txt"))
            depth = read_depth(scene.beside("depth", view, ".png"))
            size = image_size(scene.views[view])
            color, seen_by = read_intrinsic(scene, "color", size), _depth_camera(scene, size, depth.shape)
            if not np.isfinite(pose).all():
                continue
            labels = assign(depth, seen_by, pose, boxes, self.margin, self.floor)
            for number, sight in measure(objects[labels]).items():
                moved = _moved(sight, seen_by, color)
                if 0 <= moved.y <= size[0] and 0 <= moved.x <= size[1]:  # depth may reach further
                    found.sights.setdefault(ids[number - 1], {})[place] = moved
        return found


def has_boxes(scene: Scene, name: str | None = None) -> bool:
    """Whether a scene has all that this source needs."""
    folders = all((scene.folder / part).is_dir() for part in ("depth", "pose", "intrinsic"))
    return folders and find_boxes(scene, name) is not None


def assign(
    depth: np.ndarray,
    camera: Intrinsic,
    pose: np.ndarray,
    boxes: Sequence[Box],
    margin: float = MARGIN,
    floor: float = FLOOR,
) -> np.ndarray:
    """(H, W) int: the place, from 1, of the last of `boxes` that holds what a pixel shows; 0 for none.

    Args:
        depth: (H, W) metres along the optical axis, 0 where it is not known.
        camera: of the depth picture.
        pose: (4, 4) camera to world.
        boxes: later ones win where they overlap.
        margin: metres by which boxes grow.
        floor: metres above each box's bottom, along the world's z, that do not count.
    """
    rows, columns = np.mgrid[: depth.shape[0], : depth.shape[1]]
    rays = np.stack(
        ((columns - camera.cx) / camera.fx, (rows - camera.cy) / camera.fy, np.ones(depth.shape)), -1
    )
    points = (rays * depth[..., None]) @ pose[:3, :3].T + pose[:3, 3]
    known = depth > 0
    labels = np.zeros(depth.shape, dtype=int)
    for number, box in enumerate(boxes, start=1):
        bottom = box.center[2] - (np.abs(box.axes[2]) @ box.size) / 2
        inside = known & box.holds(points, margin) & (points[..., 2] >= bottom + floor)
        labels[inside] = number
    return labels


def read_depth(path: Path) -> np.ndarray:
    """(H, W) float metres.

    Raises:
        MediaError: missing or broken, or of 8 bits.
    """
    values, mode = read_values(path)
    if mode != "I" and not mode.startswith("I;16"):
        raise MediaError(f"the depth '{path}' has pixels of mode {mode!r}; 16 bits of grey are needed.")
    return values / MILLIMETRES


def _depth_camera(scene: Scene, size: tuple[int, int], depth_size: tuple[int, ...]) -> Intrinsic:
    """That of the depth pictures; the colour camera's, scaled, where it has no file of its own."""
    if (scene.folder / "intrinsic" / "intrinsic_depth.txt").is_file():
        return read_intrinsic(scene, "depth", (depth_size[0], depth_size[1]))
    color = read_intrinsic(scene, "color", size)
    return color.scaled(depth_size[0] / size[0], depth_size[1] / size[1])


def _moved(sight: Sight, here: Intrinsic, there: Intrinsic) -> Sight:
    """A sight of one camera in the picture of another at the same place."""
    y = (sight.y - 0.5 - here.cy) / here.fy * there.fy + there.cy + 0.5
    x = (sight.x - 0.5 - here.cx) / here.fx * there.fx + there.cx + 0.5
    return Sight(y, x, sight.area * (there.fy / here.fy) * (there.fx / here.fx))
