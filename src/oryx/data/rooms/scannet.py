"""Rooms as folders in ScanNet's layout, which `oryx data correspondence` and other programs read.

    OUT/settings.json       of the store that they were taken from
    OUT/room000012/
      color/0.jpg  masks/0.png  depth/0.png  pose/0.txt  ...
      intrinsic/intrinsic_color.txt  intrinsic_depth.txt
      labels.json  boxes.json

A mask's pixel is the object's id, 0 for the room itself. Depth is in millimetres of 16 bits, a pose is camera
to world, and the middles of pixels lie at whole coordinates, as in ScanNet.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from oryx.data.rooms.store import SETTINGS, RoomStore, check_same
from oryx.errors import ConfigError
from oryx.files import make_folder, staged_folder, write_whole


def export_scannet(
    store: RoomStore, folder: Path, progress: Callable[[int, int], None] | None = None
) -> list[Path]:
    """Writes every room of the store to a folder of its own; those that are there already stay as they are.

    Raises:
        ConfigError: the folder cannot be written, or was begun with rooms of another store.
        MediaError: a picture of the store cannot be read.
    """
    make_folder(folder)
    settings = {key: value for key, value in store.settings.items() if key != "num_rooms"}
    check_same(folder, settings)
    try:
        write_whole(folder / SETTINGS, json.dumps(settings, indent=1).encode())
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written ({error.strerror}).") from None
    written = []
    for index in range(len(store)):
        scene = folder / f"room{store[index]['room']:06d}"
        if not scene.exists():
            try:
                with staged_folder(scene, replace=True) as staging:
                    _write_scene(store, index, staging)
            except OSError as error:
                raise ConfigError(f"{scene} cannot be written ({error.strerror or error}).") from None
        written.append(scene)
        if progress is not None:
            progress(index + 1, len(store))
    return written


def _write_scene(store: RoomStore, index: int, scene: Path) -> None:
    record = store[index]
    for name in ("color", "masks", "depth", "pose", "intrinsic"):
        (scene / name).mkdir(parents=True)
    for view, entry in enumerate(record["views"]):
        (scene / "color" / f"{view}.jpg").write_bytes(store.read(index, f"{view}.jpg"))
        (scene / "masks" / f"{view}.png").write_bytes(store.read(index, f"{view}.ids.png"))
        (scene / "depth" / f"{view}.png").write_bytes(store.read(index, f"{view}.depth.png"))
        _write_matrix(scene / "pose" / f"{view}.txt", np.array(entry["pose"]))
    # All views of a room have one field of view.
    camera = np.eye(4)
    camera[:3, :3] = record["views"][0]["intrinsics"]
    camera[:2, 2] -= 0.5
    for kind in ("color", "depth"):
        _write_matrix(scene / "intrinsic" / f"intrinsic_{kind}.txt", camera)
    objects = record["objects"]
    _write_json(scene / "labels.json", {str(entry["id"]): entry["label"] for entry in objects})
    _write_json(scene / "boxes.json", [_box(entry) for entry in objects])


def _box(entry: dict[str, Any]) -> dict[str, Any]:
    x, y, z = entry["position"]
    return {
        "id": entry["id"],
        "label": entry["label"],
        "center": [x, y, round(z + entry["size"][2] / 2, 4)],
        "size": entry["size"],
        "yaw": round(math.radians(entry["heading"]), 5),
    }


def _write_matrix(path: Path, matrix: np.ndarray) -> None:
    path.write_text("\n".join(" ".join(f"{value:.6f}" for value in row) for row in matrix) + "\n")


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
