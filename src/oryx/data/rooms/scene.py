"""One room from its index: furnished, drawn from all its cameras, and what is seen where, as numbers."""

from __future__ import annotations

import functools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from oryx.data.rooms.catalogue import Furniture
from oryx.data.rooms.layout import Placed, furnish, place_cameras
from oryx.data.rooms.meshes import Mesh, load_mesh
from oryx.data.rooms.render import Camera, Render, Renderer, Triangles
from oryx.data.rooms.shell import build_shell, draw_lights

_CACHED_MESHES = 512
_PROBES = 160  # points of an object by which it is found how much of it is covered
_COVER = 0.05  # metres by which something must be nearer than a point to cover it


@dataclass(frozen=True)
class RoomSettings:
    """What a store of rooms is made with."""

    num_rooms: int
    num_views: tuple[int, int]
    num_objects: tuple[int, int]
    height: int
    width: int
    seed: int
    tinted: float
    """Share of the furniture in other colours than its own."""


@dataclass(frozen=True)
class Scene:
    """A drawn room: its record as JSON holds it, and its views."""

    record: dict[str, Any]
    views: list[Render]


def draw_room(
    index: int, settings: RoomSettings, furniture: Mapping[str, Sequence[Furniture]], renderer: Renderer
) -> Scene:
    """Room `index`; it depends on the seed, the index and the furniture alone."""
    rng = random.Random(f"{settings.seed} {index}")
    room = furnish(rng, furniture, settings.num_objects, settings.tinted)
    shell, lights = build_shell(rng, room), draw_lights(rng, room)
    cameras = place_cameras(rng, room, rng.randint(*settings.num_views))
    meshes = [_placed_mesh(piece) for piece in room.placed]
    views = renderer.draw(_joined(shell, meshes), lights, cameras)
    probes = [_probe(mesh, index) for mesh in meshes]
    record = {
        "room": index,
        "size": [*(_rounded(side) for side in room.sides)],
        "objects": [_object_record(number, piece) for number, piece in enumerate(room.placed, 1)],
        "views": [
            _view_record(camera, view, probes, meshes) for camera, view in zip(cameras, views, strict=True)
        ],
    }
    return Scene(record, views)


def group_by_label(furniture: Sequence[Furniture]) -> dict[str, list[Furniture]]:
    """Label -> its models."""
    groups: dict[str, list[Furniture]] = {}
    for piece in furniture:
        groups.setdefault(piece.label, []).append(piece)
    return groups


@functools.lru_cache(maxsize=_CACHED_MESHES)
def _mesh(furniture: Furniture) -> Mesh:
    return load_mesh(furniture)


def _placed_mesh(piece: Placed) -> Mesh:
    mesh = _mesh(piece.furniture)
    turn = np.radians(piece.heading)
    matrix = np.array(
        ((np.cos(turn), np.sin(turn), 0), (-np.sin(turn), np.cos(turn), 0), (0, 0, 1)), np.float32
    )
    points = mesh.points @ matrix + np.array((piece.x, piece.y, piece.z), np.float32)
    return Mesh(points, mesh.normals @ matrix, tinted(mesh.colors, *piece.tint))


def tinted(colors: np.ndarray, hue: float, gain: float) -> np.ndarray:
    """(F, 3) uint8 colours, turned by `hue` degrees around the axis of greys and made brighter by `gain`."""
    if hue == 0 and gain == 1:
        return colors
    cos, sin = np.cos(np.radians(hue)), np.sin(np.radians(hue))
    third, root = (1 - cos) / 3, sin / np.sqrt(3)
    turn = np.eye(3) * cos + third + root * np.array(((0, -1, 1), (1, 0, -1), (-1, 1, 0)))
    return np.clip(colors @ turn.T * gain, 0, 255).round().astype(np.uint8)


def _joined(shell: Triangles, meshes: Sequence[Mesh]) -> Triangles:
    return Triangles(
        np.concatenate([shell.points, *(mesh.points for mesh in meshes)]),
        np.concatenate([shell.normals, *(mesh.normals for mesh in meshes)]),
        np.concatenate([shell.colors, *(mesh.colors for mesh in meshes)]),
        np.concatenate(
            [
                shell.ids,
                *(np.full(len(mesh.points), number, np.uint8) for number, mesh in enumerate(meshes, 1)),
            ]
        ),
    )


def _probe(mesh: Mesh, seed: int) -> np.ndarray:
    """(N, 3) points spread over the mesh's surface."""
    a, b, c = (mesh.points[:, corner].astype(np.float64) for corner in range(3))
    areas = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(areas), _PROBES, p=areas / areas.sum())
    u, v = rng.random((2, _PROBES, 1))
    over = u + v > 1
    u, v = np.where(over, 1 - u, u), np.where(over, 1 - v, v)
    return a[chosen] + u * (b - a)[chosen] + v * (c - a)[chosen]


def _object_record(number: int, piece: Placed) -> dict[str, Any]:
    model = piece.furniture
    return {
        "id": number,
        "label": model.label,
        "model": model.id,
        "name": model.name,
        "catalogue": model.catalogue,
        "creator": model.creator,
        "licence": model.licence,
        "position": [_rounded(value) for value in (piece.x, piece.y, piece.z)],
        "size": [_rounded(value) for value in (model.width, model.depth, model.height)],
        "heading": _rounded(piece.heading),
    }


def _view_record(
    camera: Camera, view: Render, probes: Sequence[np.ndarray], meshes: Sequence[Mesh]
) -> dict[str, Any]:
    """The camera, and of each object that is seen: area, centroid, uncovered share and distance."""
    height, width = view.ids.shape
    seen = {}
    for number, probe in enumerate(probes, 1):
        ys, xs = np.nonzero(view.ids == number)
        if not len(ys):
            continue
        places = camera.project(probe, height, width)
        inside = (places[:, 2] > 0) & (places[:, 0] >= 0) & (places[:, 0] < height)
        inside &= (places[:, 1] >= 0) & (places[:, 1] < width)
        rows, columns = places[inside, :2].astype(int).T
        # Not by the id alone: a thin part that the pixel around it misses is not covered for that.
        behind = view.depth[rows, columns] > places[inside, 2] - _COVER
        uncovered = (behind | (view.ids[rows, columns] == number)).sum() / len(probe)
        y, x = _center(ys, xs)
        seen[str(number)] = {
            "area": len(ys),
            "center": [y, x],
            "uncovered": _rounded(float(uncovered)),
            "distance": _rounded(float(np.median(places[:, 2]))),
            "nearest": _rounded(float(view.depth[ys, xs].min())),
        }
    return {
        "pose": [[_rounded(value, 5) for value in row] for row in camera.pose().tolist()],
        "intrinsics": [
            [_rounded(value) for value in row] for row in camera.intrinsics(height, width).tolist()
        ],
        "seen": seen,
    }


def _center(ys: np.ndarray, xs: np.ndarray) -> tuple[float, float]:
    """(y, x) of the pixel of the mask that is nearest to its centroid, so that it lies on the object."""
    nearest = np.argmin((ys - ys.mean()) ** 2 + (xs - xs.mean()) ** 2)
    return float(ys[nearest]) + 0.5, float(xs[nearest]) + 0.5


def _rounded(value: float, digits: int = 3) -> float:
    return round(float(value), digits)
