"""A furniture model as plain coloured triangles, light enough to be drawn thousands of times.

Textures are baked into the colours of small triangles, see-through texels become holes, and what is too fine
to be seen in a view is merged.
"""

from __future__ import annotations

import posixpath
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np

from oryx.data.rooms.catalogue import Furniture
from oryx.errors import ConfigError, MediaError

# Legend: F triangles, V vertices.

MAX_TRIANGLES = 6000
_TEXEL = 0.04  # metres: the longest edge of a triangle that takes one colour of a texture
_MERGES = (
    0.004,
    0.008,
    0.012,
    0.018,
    0.025,
    0.035,
    0.05,
    0.08,
)  # metres; tried until the mesh is small enough
_OPAQUE = 0.5
_GLASS = np.array([178, 205, 214], np.float32)  # what glass is drawn as: all surfaces are opaque


@dataclass(frozen=True)
class Mesh:
    """Triangles in metres, z up, standing on z = 0 around the origin, front towards -y."""

    points: np.ndarray
    """(F, 3, 3) float32: the corners of each triangle."""
    normals: np.ndarray
    """(F, 3, 3) float32, of length one."""
    colors: np.ndarray
    """(F, 3) uint8."""


def load_mesh(furniture: Furniture) -> Mesh:
    """The model at its real size.

    Raises:
        ConfigError: `trimesh` is not installed.
        MediaError: the model cannot be read.
    """
    try:
        from trimesh.exchange.obj import load_obj
    except ImportError:
        raise ConfigError('Furniture needs trimesh and vtk: pip install "oryx-mllm[rooms]".') from None
    try:
        with zipfile.ZipFile(furniture.archive) as archive:
            resolver = _resolver(archive, posixpath.dirname(furniture.member))
            with archive.open(furniture.member) as file:
                loaded = load_obj(file, resolver=resolver)
        parts = [
            _Part.of(part) for part in loaded.get("geometry", {"": loaded}).values() if len(part["faces"])
        ]
        low, high = _bounds(parts, furniture)
        baked = [_bake(part, furniture, low, high) for part in parts]
    except Exception as error:  # trimesh raises whatever its parsers meet
        reason = " ".join(str(error).split()).rstrip(".")
        raise MediaError(
            f"{furniture.archive}: {furniture.member} cannot be read as a model ({reason})."
        ) from None
    points, normals, colors = (np.concatenate(arrays) for arrays in zip(*baked, strict=True))
    return _simplified(points, normals, colors)


@dataclass(frozen=True)
class _Part:
    """The triangles of one material, in the file's axes and unit."""

    corners: np.ndarray
    """(F, 3, 3)."""
    normals: np.ndarray
    """(F, 3, 3), of the file or else of the triangles themselves."""
    uv: np.ndarray | None
    """(F, 3, 2) places in the texture."""
    material: Any

    @classmethod
    def of(cls, part: dict[str, Any]) -> _Part:
        from trimesh.geometry import triangulate_quads

        faces = triangulate_quads(part["faces"])
        corners = np.asarray(part["vertices"], np.float64)[faces]
        if part.get("vertex_normals") is not None:
            normals = np.asarray(part["vertex_normals"], np.float64)[faces]
        else:
            flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
            normals = np.repeat(flat[:, None], 3, axis=1)
        uv = getattr(part["visual"], "uv", None)
        uv = None if uv is None else np.asarray(uv, np.float64)[faces, :2]
        return cls(corners, normals, uv, getattr(part["visual"], "material", None))


def _resolver(archive: zipfile.ZipFile, folder: str) -> Any:
    """Finds the files beside a model, whatever the case of their names."""
    from trimesh.resolvers import Resolver

    names = {name.lower(): name for name in archive.namelist()}

    class Beside(Resolver):
        def __init__(self) -> None:
            pass

        def get(self, name: str) -> bytes:
            wanted = posixpath.normpath(posixpath.join(folder, str(name).strip().replace("\\", "/")))
            if wanted.lower() not in names:
                raise FileNotFoundError(name)
            return archive.read(names[wanted.lower()])

        def keys(self) -> list[str]:
            return list(names)

        def write(self, name: str, data: bytes) -> None:
            # Part of trimesh's interface; a model is only read here.
            raise OSError(f"{name} cannot be written into a catalogue.")

        def namespaced(self, namespace: str) -> Any:
            return _resolver(archive, posixpath.join(folder, namespace))

    return Beside()


def _turned(vectors: np.ndarray, furniture: Furniture) -> np.ndarray:
    """From the axes of the file (y up, front +z) to those of a room (z up, front -y)."""
    if furniture.rotation is not None:
        vectors = vectors @ np.asarray(furniture.rotation, np.float64).reshape(3, 3).T
    return vectors[..., [0, 2, 1]] * (1.0, -1.0, 1.0)


def _bounds(parts: list[Any], furniture: Furniture) -> tuple[np.ndarray, np.ndarray]:
    used = [_turned(part.corners.reshape(-1, 3), furniture) for part in parts]
    return np.min([part.min(0) for part in used], 0), np.max([part.max(0) for part in used], 0)


def _bake(
    part: _Part, furniture: Furniture, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(F, 3, 3) points, (F, 3, 3) normals and (F, 3) colours of one material of the model."""
    size = np.array((furniture.width, furniture.depth, furniture.height))
    scale = size / np.maximum(high - low, 1e-9)
    corners = (_turned(part.corners, furniture) - (low + high) / 2) * scale + (0, 0, size[2] / 2)
    normals = _turned(part.normals, furniture) / scale
    image = getattr(part.material, "image", None)
    base = np.asarray(getattr(part.material, "diffuse", (180, 180, 180, 255)), np.float32)
    glass = 1 - min(1.0, float(base[3]) / 255) if len(base) > 3 else 0.0
    if image is None or part.uv is None:
        color = base[:3] * (1 - glass) + _GLASS * glass
        colors = np.broadcast_to(color, (len(corners), 3))
        return corners, _unit(normals), colors.round().astype(np.uint8)
    corners, normals, uv = _subdivided(corners, normals, part.uv)
    colors = _sample(image, uv.mean(1))
    kept = colors[:, 3] >= 255 * _OPAQUE
    return corners[kept], _unit(normals[kept]), colors[kept, :3].round().astype(np.uint8)


def _subdivided(
    points: np.ndarray, normals: np.ndarray, uv: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Triangles halved at their longest edge until every edge is short (at most 12 times)."""
    packed = np.concatenate((points, normals, uv), axis=2)  # (F, 3, 8)
    done = []
    for _ in range(12):
        edges = np.linalg.norm(packed[:, [1, 2, 0], :3] - packed[:, :, :3], axis=2)
        long = edges.max(1) > _TEXEL
        done.append(packed[~long])
        packed, edges = packed[long], edges[long]
        if not len(packed) or len(packed) > 40_000:
            break
        first = edges.argmax(1)
        rows = np.arange(len(packed))
        a, b, c = (packed[rows, (first + step) % 3] for step in range(3))
        middle = (a + b) / 2
        packed = np.concatenate((np.stack((a, middle, c), 1), np.stack((middle, b, c), 1)))
    packed = np.concatenate([*done, packed])
    return packed[..., :3], packed[..., 3:6], packed[..., 6:]


def _sample(image: Any, uv: np.ndarray) -> np.ndarray:
    """(F, 4) colours of a texture, repeated in both directions, at (F, 2) places; v points up."""
    small = image.convert("RGBA")
    small.thumbnail((256, 256))
    texels = np.asarray(small, np.float32)
    height, width = texels.shape[:2]
    x = np.floor((uv[:, 0] % 1.0) * width).astype(int).clip(0, width - 1)
    y = np.floor(((1 - uv[:, 1]) % 1.0) * height).astype(int).clip(0, height - 1)
    return texels[y, x]


def _simplified(points: np.ndarray, normals: np.ndarray, colors: np.ndarray) -> Mesh:
    """Vertices merged in ever larger cells until there are few enough triangles, if there ever are."""
    kept = np.arange(len(points))
    if len(points) > MAX_TRIANGLES:
        for cell in _MERGES:
            cells = np.round(points / cell).astype(np.int64)
            keys = (cells[..., 0] * 4001 + cells[..., 1]) * 4001 + cells[..., 2]  # rooms are below 40 m
            keys = np.sort(keys, axis=1)
            real = (keys[:, 0] != keys[:, 1]) & (keys[:, 1] != keys[:, 2])
            _, first = np.unique(keys[real], axis=0, return_index=True)
            kept = np.flatnonzero(real)[first]
            merged = (cells[kept] * cell).astype(np.float32)
            if len(kept) <= MAX_TRIANGLES:
                break
        points = merged
        normals, colors = normals[kept], colors[kept]
    return Mesh(points.astype(np.float32), normals.astype(np.float32), np.ascontiguousarray(colors))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
