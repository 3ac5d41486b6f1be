"""Made scenes of known geometry: textured boxes in a textured room, seen by a pinhole camera that moves.

A ray caster in NumPy gives pictures, instance ids, depth, poses and intrinsics that agree exactly. A scene
can be written in ScanNet's layout or the plain one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

ROOM = 0
"""Id of walls, floor and ceiling."""


@dataclass(frozen=True)
class Box:
    """An upright box: rotated by `yaw` radians around the vertical axis z. Metres."""

    center: tuple[float, float, float]
    size: tuple[float, float, float]
    yaw: float = 0.0
    label: str = "box"


@dataclass(frozen=True)
class Camera:
    """A pinhole camera at `position` that looks at `target`, with z upwards."""

    position: tuple[float, float, float]
    target: tuple[float, float, float]

    @property
    def pose(self) -> np.ndarray:
        """(4, 4) camera to world; the camera looks along +z with x to the right and y down."""
        position, target = np.array(self.position), np.array(self.target)
        forward = (target - position) / np.linalg.norm(target - position)
        right = np.cross(forward, (0.0, 0.0, 1.0))
        right /= np.linalg.norm(right)
        pose = np.eye(4)
        pose[:3, 0], pose[:3, 1], pose[:3, 2], pose[:3, 3] = (
            right,
            np.cross(forward, right),
            forward,
            position,
        )
        return pose


@dataclass(frozen=True)
class Shot:
    """What a camera sees."""

    color: np.ndarray
    """(H, W, 3) uint8."""
    ids: np.ndarray
    """(H, W) int: 0 the room, 1.. the boxes in order."""
    depth: np.ndarray
    """(H, W) metres along the optical axis."""
    pose: np.ndarray
    points: np.ndarray
    """(H, W, 3) where in the world each pixel lies."""


@dataclass(frozen=True)
class MadeScene:
    """Boxes in a room of `room` = (x, y, z) metres, its floor at z = 0 and its middle at the origin."""

    boxes: Sequence[Box]
    cameras: Sequence[Camera]
    height: int = 120
    width: int = 160
    fov: float = 70.0
    room: tuple[float, float, float] = (6.0, 6.0, 3.0)
    shots: list[Shot] = field(default_factory=list)

    @property
    def intrinsic(self) -> np.ndarray:
        """(3, 3); whole pixel coordinates are the middles of pixels."""
        focal = self.width / 2 / math.tan(math.radians(self.fov) / 2)
        return np.array(
            [[focal, 0, (self.width - 1) / 2], [0, focal, (self.height - 1) / 2], [0, 0, 1]], dtype=float
        )

    def render(self) -> MadeScene:
        """Fill `shots`, one a camera."""
        self.shots.extend(self._shoot(camera) for camera in self.cameras)
        return self

    def project(self, point: np.ndarray, view: int) -> tuple[float, float, float]:
        """(y, x, depth) of a world point in a view: pixels from the picture's corner, and metres."""
        x, y, z = np.linalg.inv(self.cameras[view].pose)[:3] @ np.append(point, 1.0)
        column, row, _ = self.intrinsic @ (x / z, y / z, 1.0)
        return row + 0.5, column + 0.5, z

    def _shoot(self, camera: Camera) -> Shot:
        pose = camera.pose
        rows, columns = np.mgrid[: self.height, : self.width]
        pixels = np.stack((columns, rows, np.ones_like(rows)), -1)
        rays = (pixels @ np.linalg.inv(self.intrinsic).T) @ pose[:3, :3].T
        origin = pose[:3, 3]
        middle = np.array((0, 0, self.room[2] / 2))
        _, depth = _slab(origin - middle, rays, np.array(self.room) / 2)
        ids = np.zeros(depth.shape, dtype=int)
        for number, box in enumerate(self.boxes, start=1):
            turn = _turn(-box.yaw)
            near, far = _slab((origin - box.center) @ turn.T, rays @ turn.T, np.array(box.size) / 2)
            hit = (near <= far) & (near > 0.05) & (near < depth)
            ids[hit], depth = number, np.where(hit, near, depth)
        points = origin + rays * depth[..., None]
        return Shot(_paint(points, ids, self.boxes), ids, depth, pose, points)


def walk(num_views: int, reach: float = 0.6, turn: float = 0.25) -> list[Camera]:
    """Cameras along a line of 2 x `reach` metres that look `turn` radians to either side meanwhile."""
    cameras = []
    for share in np.linspace(-1, 1, num_views):
        position = (reach * share, -2.6, 1.4)
        angle = -turn * share
        cameras.append(
            Camera(position, (position[0] + 3 * math.sin(angle), position[1] + 3 * math.cos(angle), 0.8))
        )
    return cameras


def furnished(num_views: int = 5, **settings: float) -> MadeScene:
    """A room with four boxes, all but the last in sight of most cameras."""
    boxes = (
        Box((-0.9, 0.4, 0.4), (0.7, 0.7, 0.8), 0.3, "chair"),
        Box((0.8, 0.2, 0.35), (0.9, 0.6, 0.7), -0.5, "table"),
        Box((0.1, 1.6, 0.7), (0.8, 0.5, 1.4), 0.1, "shelf"),
        Box((2.5, -1.2, 0.3), (0.5, 0.5, 0.6), 0.0, "lamp"),
    )
    return MadeScene(boxes, walk(num_views), **settings).render()  # type: ignore[arg-type]


def write_scannet(scene: MadeScene, folder: Path, with_boxes: bool = True) -> Path:
    """Write it as ScanNet's own tools do: objectId is box number - 1, masks hold objectId + 1."""
    for name in ("color", "instance-filt", "depth", "pose", "intrinsic"):
        (folder / name).mkdir(parents=True)
    for number, shot in enumerate(scene.shots):
        stem = str(number * 10)
        Image.fromarray(shot.color).save(folder / "color" / f"{stem}.jpg", quality=95)
        Image.fromarray(shot.ids.astype(np.uint8)).save(folder / "instance-filt" / f"{stem}.png")
        Image.fromarray((shot.depth * 1000).round().astype(np.uint16)).save(folder / "depth" / f"{stem}.png")
        np.savetxt(folder / "pose" / f"{stem}.txt", shot.pose, fmt="%f")
    matrix = np.eye(4)
    matrix[:3, :3] = scene.intrinsic
    for name in ("intrinsic_color", "intrinsic_depth"):
        np.savetxt(folder / "intrinsic" / f"{name}.txt", matrix, fmt="%f")
    groups = [{"id": n, "objectId": n, "segments": [], "label": b.label} for n, b in enumerate(scene.boxes)]
    (folder / f"{folder.name}.aggregation.json").write_text(json.dumps({"segGroups": groups}))
    if with_boxes:
        boxes = [
            {"id": n, "label": b.label, "center": b.center, "size": b.size, "yaw": b.yaw}
            for n, b in enumerate(scene.boxes)
        ]
        (folder / "boxes.json").write_text(json.dumps(boxes))
    return folder


def write_plain(scene: MadeScene, folder: Path, with_masks: bool = True) -> Path:
    """Write `views/` and, if asked for, `masks/` whose values are the boxes' numbers."""
    (folder / "views").mkdir(parents=True)
    for number, shot in enumerate(scene.shots):
        Image.fromarray(shot.color).save(folder / "views" / f"view{number}.png")
        if with_masks:
            (folder / "masks").mkdir(exist_ok=True)
            Image.fromarray(shot.ids.astype(np.uint16)).save(folder / "masks" / f"view{number}.png")
    return folder


def _turn(angle: float) -> np.ndarray:
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def _slab(origin: np.ndarray, rays: np.ndarray, half: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where rays enter and leave a box around the origin, in lengths of the ray."""
    with np.errstate(divide="ignore", invalid="ignore"):
        first, second = (-half - origin) / rays, (half - origin) / rays
    return np.minimum(first, second).max(-1), np.maximum(first, second).min(-1)


def _paint(points: np.ndarray, ids: np.ndarray, boxes: Sequence[Box]) -> np.ndarray:
    """A texture fixed to the surfaces: smooth noise of several sizes in the world, tinted by the object."""
    shade = sum(
        _noise(points * scale + 17 * ids[..., None]) / weight for scale, weight in ((3, 1), (8, 1), (19, 2))
    )
    tints = np.array(
        [(0.75, 0.74, 0.7), *(np.random.default_rng(n).uniform(0.35, 1, 3) for n in range(len(boxes)))]
    )
    return np.clip(255 * tints[ids] * (0.15 + 0.33 * shade[..., None]), 0, 255).astype(np.uint8)


def _noise(points: np.ndarray) -> np.ndarray:
    """Value noise in 3D: random numbers at whole points, smoothly blended between them; 0 to 1."""
    low = np.floor(points).astype(np.int64)
    part = points - low
    part = part * part * (3 - 2 * part)
    total = np.zeros(points.shape[:-1])
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(corner, part, 1 - part), axis=-1)
        total += weight * _hash(low + np.array(corner))
    return total


def _hash(cells: np.ndarray) -> np.ndarray:
    mixed = cells[..., 0] * 73856093 ^ cells[..., 1] * 19349663 ^ cells[..., 2] * 83492791
    mixed = (mixed ^ (mixed >> 13)) * 1274126177 & 0x7FFFFFFF
    return (mixed ^ (mixed >> 16)) % 65536 / 65535.0
