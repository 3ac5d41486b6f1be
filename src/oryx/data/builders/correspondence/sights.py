"""Where objects are seen: area and middle of each object in each view, from label maps."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

ObjectId: TypeAlias = int | str

_COUNTABLE = 2**16  # ids up to here are counted as they are


@dataclass(frozen=True)
class Sight:
    """One object in one view. Pixels count from the picture's upper left corner, which is (0, 0)."""

    y: float
    x: float
    area: float
    """Pixels of the object that are seen."""

    def scaled(self, down: float, across: float) -> Sight:
        """The same in a picture that is `down` times as high and `across` times as wide."""
        return Sight(self.y * down, self.x * across, self.area * down * across)


@dataclass
class Sightings:
    """What a source of identity found."""

    sights: dict[ObjectId, dict[int, Sight]] = field(default_factory=dict)
    """Object id -> index of a view -> sight."""
    labels: dict[ObjectId, str] = field(default_factory=dict)
    """Names of objects, as far as they are known."""

    def add(self, view: int, seen: Mapping[int, Sight]) -> None:
        """Take over what is seen in a view."""
        for name, sight in seen.items():
            self.sights.setdefault(name, {})[view] = sight

    def areas(self) -> dict[ObjectId, dict[int, float]]:
        """Object id -> view -> pixels: what choosing objects and views works on."""
        return {
            name: {view: sight.area for view, sight in views.items()} for name, views in self.sights.items()
        }

    def without(self, labels: Iterable[str]) -> Sightings:
        """All but the objects of these names, whatever their case."""
        out = {label.strip().lower() for label in labels}
        kept = {name for name in self.sights if self.labels.get(name, "").strip().lower() not in out}
        return Sightings({name: self.sights[name] for name in self.sights if name in kept}, dict(self.labels))

    def restricted(self, views: Collection[int], min_areas: Mapping[int, float]) -> Sightings:
        """Sights in these views alone, renumbered in their order, of at least `min_areas[view]` pixels."""
        places = {view: place for place, view in enumerate(views)}
        kept = {
            name: {
                places[view]: sight
                for view, sight in sights.items()
                if view in places and sight.area >= min_areas[view]
            }
            for name, sights in self.sights.items()
        }
        return Sightings({name: sights for name, sights in kept.items() if sights}, dict(self.labels))


def measure(label_map: np.ndarray, background: int = 0) -> dict[int, Sight]:
    """Area and middle of every object of a label map (H, W) of whole numbers; `background` is no object.

    The middle is the centroid of the object's pixels. Where that is not on the object (a ring, a chair's
    legs, two parts), it is the object's pixel nearest to the centroid: a mark must lie on what it marks.
    """
    if label_map.min(initial=0) >= 0 and label_map.max(initial=0) < _COUNTABLE:
        flat = label_map.reshape(-1)
        names = np.arange(flat.max(initial=0) + 1)
    else:  # sorting takes several times longer than counting
        names, flat = np.unique(label_map, return_inverse=True)
        flat = flat.reshape(-1)
    height, width = label_map.shape
    areas = np.bincount(flat, minlength=len(names))
    rows, columns = np.repeat(np.arange(height), width), np.tile(np.arange(width), height)
    sums = [np.bincount(flat, place, len(names)) for place in (rows, columns)]
    sights = {}
    for number in np.flatnonzero(areas).tolist():
        name, area = int(names[number]), float(areas[number])
        if name == background:
            continue
        row, column = float(sums[0][number] / area), float(sums[1][number] / area)
        if label_map[round(row), round(column)] != name:
            inside = np.flatnonzero(flat == number)
            row, column = _nearest(rows[inside], columns[inside], row, column)
        sights[name] = Sight(row + 0.5, column + 0.5, area)  # whole coordinates are middles of pixels
    return sights


def measure_mask(mask: np.ndarray) -> Sight | None:
    """As `measure`, of one object's mask (H, W) bool; None if it is empty."""
    return measure(mask.astype(np.uint8)).get(1)


def _nearest(rows: np.ndarray, columns: np.ndarray, row: float, column: float) -> tuple[float, float]:
    best = int(np.argmin((rows - row) ** 2 + (columns - column) ** 2))
    return float(rows[best]), float(columns[best])
