"""`marks.json`: which object is where in the marked views of a scene."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oryx.data.builders.correspondence.scenes import read_json
from oryx.data.builders.correspondence.sights import ObjectId, Sight
from oryx.errors import ConfigError

FILE = "marks.json"


@dataclass(frozen=True)
class MarkedView:
    """One written view."""

    file: str
    """Path below the scene's output folder."""
    frame: str
    """Path of the picture it was made from, below the scene's folder."""
    height: int
    """Pixels, as written."""
    width: int


@dataclass(frozen=True)
class MarkedObject:
    """One object that is seen in the written views."""

    id: ObjectId
    """As the source has it; ScanNet's objectId in its layout."""
    number: int | None
    """What its dots say; None if it is not marked."""
    label: str | None
    sights: dict[int, Sight]
    """Index of a view -> where it is there, in pixels of the written view."""


@dataclass(frozen=True)
class MarkedScene:
    """A scene as it was written."""

    name: str
    folder: Path
    """Where `marks.json` is."""
    source: str
    views: tuple[MarkedView, ...]
    objects: tuple[MarkedObject, ...]
    """Marked ones first, by their numbers."""
    mark_size: int
    """Pixels of a dot's diameter."""
    settings: Mapping[str, Any]
    fingerprint: str = ""
    """Of the scene that it was made from, as `Scene.fingerprint` gives it; empty where nobody noted it."""

    @property
    def marked(self) -> tuple[MarkedObject, ...]:
        """The objects that have a number."""
        return tuple(entry for entry in self.objects if entry.number is not None)

    @property
    def files(self) -> list[Path]:
        """The written views, in order."""
        return [self.folder / view.file for view in self.views]

    def to_dict(self) -> dict[str, Any]:
        """What `marks.json` holds. `y` and `x` are 0 to 1 of the view, `y_px` and `x_px` its pixels."""
        return {
            "scene": self.name,
            "source": self.source,
            "mark_size": self.mark_size,
            "views": [vars(view) for view in self.views],
            "objects": [
                {
                    "number": entry.number,
                    "id": entry.id,
                    "label": entry.label,
                    "sights": [
                        _sight_dict(view, sight, self.views[view])
                        for view, sight in sorted(entry.sights.items())
                    ],
                }
                for entry in self.objects
            ],
            "settings": dict(self.settings),
            "fingerprint": self.fingerprint,
        }


def read_marks(folder: str | Path) -> MarkedScene:
    """A scene that was written, by its output folder.

    Raises:
        ConfigError: `marks.json` is missing or broken.
    """
    folder = Path(folder)
    content = read_json(folder / FILE)
    try:
        views = tuple(MarkedView(**view) for view in content["views"])
        objects = tuple(
            MarkedObject(
                entry["id"],
                entry["number"],
                entry["label"],
                {
                    sight["view"]: Sight(sight["y_px"], sight["x_px"], sight["area"])
                    for sight in entry["sights"]
                },
            )
            for entry in content["objects"]
        )
        return MarkedScene(
            content["scene"],
            folder,
            content["source"],
            views,
            objects,
            content["mark_size"],
            content["settings"],
            content.get("fingerprint", ""),
        )
    except (KeyError, TypeError) as error:
        raise ConfigError(f"'{folder / FILE}' is not a file of marks ({error!r}).") from None


def write_marks(scene: MarkedScene, folder: Path) -> None:
    """Write `marks.json` into a folder."""
    text = json.dumps(scene.to_dict(), indent=1, ensure_ascii=False)
    (folder / FILE).write_text(text + "\n", encoding="utf-8")


def _sight_dict(view: int, sight: Sight, size: MarkedView) -> dict[str, Any]:
    return {
        "view": view,
        "y": round(sight.y / size.height, 5),
        "x": round(sight.x / size.width, 5),
        "y_px": round(sight.y, 2),
        "x_px": round(sight.x, 2),
        "area": round(sight.area, 1),
    }
