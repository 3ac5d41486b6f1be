"""Rooms as `oryx data rooms` stores them, made of coloured rectangles: no furniture, no VTK."""

import json
import random
from pathlib import Path

import numpy as np
from PIL import Image

from oryx.data.rooms.store import SETTINGS, SHARD_ROOMS, view_files, write_shard

HEIGHT, WIDTH = 48, 64
LABELS = ("chair", "lamp", "sofa", "table", "bed", "plant", "stool")

Spot = tuple[int, int, int, int]
"""(top, left, bottom, right) in pixels."""


def make_room(
    number: int, labels: list[str], views: list[dict[int, Spot]], distances: dict[int, float] | None = None
):
    """(record, files) of a room with things of these labels (ids from 1); each view shows some as rectangles.

    `distances` holds the metres from every camera (2 + the id unless given).
    """
    entries, pictures = [], []
    for view in views:
        image, ids = np.full((HEIGHT, WIDTH, 3), 200, np.uint8), np.zeros((HEIGHT, WIDTH), np.uint8)
        seen = {}
        for name, (top, left, bottom, right) in view.items():
            image[top:bottom, left:right] = (40 * name % 256, 90, 255 - 30 * name)
            ids[top:bottom, left:right] = name
            metres = (distances or {}).get(name, 2.0 + name)
            seen[str(name)] = {
                "area": (bottom - top) * (right - left),
                "center": [(top + bottom) / 2, (left + right) / 2],
                "uncovered": 1.0,
                "distance": metres,
                "nearest": metres - 0.5,
            }
        entries.append({"pose": np.eye(4).tolist(), "intrinsics": np.eye(3).tolist(), "seen": seen})
        pictures.append((Image.fromarray(image), ids, np.full((HEIGHT, WIDTH), 2.0, np.float32)))
    objects = [
        {"id": place, "label": label, "position": [0, 0, 0], "size": [1, 1, 1], "heading": 0}
        for place, label in enumerate(labels, 1)
    ]
    return {"room": number, "size": [4, 5], "objects": objects, "views": entries}, view_files(pictures)


def random_room(number: int, num_views: int = 8):
    """A room of 4 to 6 things, several of one name, of which each view shows some side by side."""
    rng = random.Random(number)
    labels = [rng.choice(LABELS)] * rng.randint(1, 3)
    labels += rng.sample([label for label in LABELS if label not in labels], 6 - len(labels))
    rng.shuffle(labels)
    views = []
    for _ in range(num_views):
        columns = rng.sample(range(1, 64 - 9, 9), rng.randint(1, 4))
        names = rng.sample(range(1, len(labels) + 1), len(columns))
        views.append({name: (20, left, 36, left + 8) for name, left in zip(names, columns, strict=True)})
    return make_room(number, labels, views)


def write_rooms(folder: Path, rooms, labels=LABELS) -> Path:
    """A store of these (record, files)."""
    rooms = list(rooms)
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(rooms), SHARD_ROOMS):
        write_shard(folder, start // SHARD_ROOMS, iter(rooms[start : start + SHARD_ROOMS]))
    settings = {"num_rooms": len(rooms), "height": HEIGHT, "width": WIDTH, "labels": sorted(labels)}
    (folder / SETTINGS).write_text(json.dumps(settings))
    return folder
