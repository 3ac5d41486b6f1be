"""Pinhole cameras and 3D boxes from ScanNet's text files, JSON and NumPy files."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from oryx.data.builders.correspondence.scenes import Scene, read_json
from oryx.data.builders.correspondence.sights import ObjectId
from oryx.errors import ConfigError, MediaError

BOX_PATTERNS = ("boxes.json", "*_aligned_bbox.npy")


@dataclass(frozen=True)
class Intrinsic:
    """Focal lengths and principal point in pixels; whole coordinates are the middles of pixels."""

    fy: float
    fx: float
    cy: float
    cx: float

    def scaled(self, down: float, across: float) -> Intrinsic:
        """That of the same camera with pictures `down` times as high and `across` times as wide."""
        return Intrinsic(
            self.fy * down, self.fx * across, (self.cy + 0.5) * down - 0.5, (self.cx + 0.5) * across - 0.5
        )


@dataclass(frozen=True)
class Box:
    """A box in the world, axis-aligned or turned."""

    id: ObjectId
    label: str | None
    center: np.ndarray
    """(3,) metres."""
    size: np.ndarray
    """(3,) metres, along the box's own axes."""
    axes: np.ndarray
    """(3, 3): the box's own axes as columns."""

    @property
    def volume(self) -> float:
        return float(np.prod(self.size))

    def holds(self, points: np.ndarray, margin: float = 0.0) -> np.ndarray:
        """(...) bool: which of (..., 3) points lie in the box, grown by `margin` metres to all sides."""
        return (np.abs((points - self.center) @ self.axes) <= self.size / 2 + margin).all(-1)


def read_matrix(path: Path) -> np.ndarray:
    """(4, 4) float64 from a text file of 16 or 9 numbers.

    Raises:
        MediaError: it is missing or holds something else.
    """
    try:
        numbers = [float(word) for word in path.read_text().replace(",", " ").split()]
    except FileNotFoundError:
        raise MediaError(f"'{path}' does not exist; a matrix of 4 x 4 numbers is needed there.") from None
    except (OSError, ValueError) as error:
        raise MediaError(f"'{path}' cannot be read as a matrix ({error}).") from None
    if len(numbers) not in (9, 16):
        raise MediaError(f"'{path}' holds {len(numbers)} numbers; a matrix of 4 x 4 or 3 x 3 is needed.")
    side = 4 if len(numbers) == 16 else 3
    matrix = np.eye(4)
    matrix[:side, :side] = np.reshape(numbers, (side, side))
    return matrix


def read_intrinsic(scene: Scene, kind: str, size: tuple[int, int]) -> Intrinsic:
    """The camera of "color" or "depth" pictures of `size` = (height, width).

    Read from `intrinsic/intrinsic_color.txt` or `_depth.txt`, as ScanNet's SensReader writes them.

    Raises:
        MediaError: the file is missing or broken, or fits pictures of another size.
    """
    path = scene.folder / "intrinsic" / f"intrinsic_{kind}.txt"
    matrix = read_matrix(path)
    camera = Intrinsic(*(float(matrix[place]) for place in ((1, 1), (0, 0), (1, 2), (0, 2))))
    middle = np.array((camera.cy / size[0], camera.cx / size[1]))
    # Pictures that were made smaller after the intrinsics were written are a common mistake.
    if not (camera.fx > 0 and camera.fy > 0 and (np.abs(middle - 0.5) < 0.2).all()):
        raise MediaError(
            f"'{path}' does not fit {kind} pictures of {size[0]} x {size[1]} pixels: "
            f"its principal point is at ({camera.cy:g}, {camera.cx:g})."
        )
    return camera


def read_boxes(scene: Scene, name: str | None = None) -> list[Box]:
    """The boxes of a scene, in the world of its poses.

    JSON: a list, or {"boxes": list, "aligned": true} where the boxes stand in ScanNet's aligned axes. Each is
    {"id", "label"?} with {"min", "max"} or {"center", "size"} and then {"yaw"} (radians around z) or
    {"rotation"} (3 x 3, the box's axes as columns). NumPy: (N, 8), as ScanQA prepares ScanNet:
    center, size, class, objectId, in aligned axes. `axisAlignment` is read from `<scene>.txt`.

    Args:
        scene: where to look.
        name: file name or pattern inside the scene's folder; `BOX_PATTERNS` if None.

    Raises:
        MediaError: no file, or no alignment where one is needed.
        ConfigError: a box that is broken, by its number.
    """
    path = find_boxes(scene, name)
    if path is None:
        raise MediaError(
            f"scene '{scene.folder}' has no boxes; {name or ' or '.join(BOX_PATTERNS)} is needed in it."
        )
    if path.suffix == ".npy":
        boxes = _from_numpy(path)
        aligned = True
    else:
        content = read_json(path)
        aligned = isinstance(content, Mapping) and content.get("aligned") is True
        entries = content.get("boxes") if isinstance(content, Mapping) else content
        if not isinstance(entries, list):
            raise ConfigError(f"'{path}' must hold a list of boxes.")
        boxes = [_from_json(entry, f"'{path}' box {number}") for number, entry in enumerate(entries)]
    return [_unaligned(box, _read_alignment(scene)) for box in boxes] if aligned else boxes


def find_boxes(scene: Scene, name: str | None = None) -> Path | None:
    """The file of a scene's boxes, if there is one."""
    for pattern in (name,) if name else BOX_PATTERNS:
        for path in sorted(scene.folder.glob(pattern)):
            return path
    return None


def _from_numpy(path: Path) -> list[Box]:
    try:
        rows = np.load(path, allow_pickle=False)
        if not isinstance(rows, np.ndarray):
            raise ValueError("an archive of several")
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(f"'{path}' cannot be read as a NumPy array ({error}).") from None
    if rows.ndim != 2 or rows.shape[1] != 8 or rows.dtype.kind not in "iuf" or not np.isfinite(rows).all():
        raise ConfigError(
            f"'{path}' has the shape {rows.shape} of {rows.dtype}; (boxes, 8) finite numbers are needed."
        )
    return [Box(int(row[7]), None, row[:3], row[3:6], np.eye(3)) for row in rows.astype(float)]


def _from_json(entry: Any, where: str) -> Box:
    try:
        if "min" in entry:
            low, high = np.array(entry["min"], dtype=float), np.array(entry["max"], dtype=float)
            center, size = (low + high) / 2, high - low
        else:
            center, size = (np.array(entry[key], dtype=float) for key in ("center", "size"))
        axes = _axes(entry)
        name, label = entry["id"], entry.get("label")
    except KeyError as error:
        raise ConfigError(f"{where} has no {error}.") from None
    except (TypeError, ValueError, AttributeError):
        raise ConfigError(f"{where} must be an object with lists of 3 numbers.") from None
    if center.shape != (3,) or size.shape != (3,) or not np.isfinite([*center, *size]).all():
        raise ConfigError(f"{where} must have 3 finite numbers for its center and 3 for its size.")
    if (size <= 0).any():
        raise ConfigError(f"{where} has a size of {size.tolist()} metres; all must be above 0.")
    if isinstance(name, bool) or not isinstance(name, int | str):
        raise ConfigError(f"{where} has the id {name!r}; a whole number or a text is needed.")
    return Box(name, None if label is None else str(label), center, size, axes)


def _axes(entry: Mapping[str, Any]) -> np.ndarray:
    if entry.get("rotation") is not None:
        axes = np.array(entry["rotation"], dtype=float)
        if axes.shape != (3, 3) or not np.allclose(axes @ axes.T, np.eye(3), atol=1e-3):
            raise ValueError
        return axes
    yaw = float(entry.get("yaw") or 0.0)
    cos, sin = math.cos(yaw), math.sin(yaw)
    return np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])


def _read_alignment(scene: Scene) -> np.ndarray:
    """(4, 4) world -> aligned axes."""
    path = scene.folder / f"{scene.name}.txt"
    try:
        match = re.search(r"^axisAlignment\s*=\s*(.+)$", path.read_text(), re.MULTILINE)
        numbers = [float(word) for word in match.group(1).split()] if match else []
    except (OSError, ValueError):
        numbers = []
    if len(numbers) != 16:
        raise MediaError(f"the boxes of '{scene.folder}' are aligned; '{path}' with axisAlignment is needed.")
    alignment = np.reshape(numbers, (4, 4))
    if not np.isfinite(alignment).all() or np.linalg.matrix_rank(alignment) < 4:
        raise MediaError(
            f"'{path}': axisAlignment is no matrix that can be undone; a rigid motion is needed."
        )
    return alignment


def _unaligned(box: Box, alignment: np.ndarray) -> Box:
    back = np.linalg.inv(alignment)
    return Box(box.id, box.label, back[:3, :3] @ box.center + back[:3, 3], box.size, back[:3, :3] @ box.axes)
