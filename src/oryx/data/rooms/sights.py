"""What some views of a room show: clearly, not at all, or neither, which nobody is asked about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CLEAR_AREA = 0.006
"""Share of a view that an object fills at least where it is called clearly seen (41 pixels of 72 x 96)."""
CLEAR_UNCOVERED = 0.3
"""Share of the object that is inside of the view and not behind other things, where it is clearly seen ..."""
LARGE_AREA = 0.05
"""... unless it fills so much of the view."""
HIDDEN_AREA = 0.0006
"""Share of a view below which an object is called not seen (4 pixels of 72 x 96)."""


@dataclass(frozen=True)
class Sight:
    """An object in one view."""

    area: float
    """Share of the view, 0 to 1."""
    y: float
    x: float
    """A point of the object near its middle, 0 to 1 of the view."""
    distance: float
    """Metres along the view, of the object's middle."""
    nearest: float
    """Metres along the view, of its nearest visible point."""
    clear: bool


@dataclass(frozen=True)
class Thing:
    """An object of a room."""

    id: int
    label: str
    sights: Mapping[int, Sight]
    """Index of a view -> how it is seen there. Views in which nothing of it can be made out are left out."""

    def is_clear(self, view: int) -> bool:
        """Whether it is clearly seen in that view."""
        return view in self.sights and self.sights[view].clear

    def is_hidden(self, view: int) -> bool:
        """Whether nothing of it can be made out in that view."""
        return view not in self.sights

    @property
    def clear_views(self) -> list[int]:
        """Indices, ascending."""
        return [view for view in sorted(self.sights) if self.sights[view].clear]

    @property
    def is_doubtful(self) -> bool:
        """Seen somewhere, but nowhere clearly."""
        return bool(self.sights) and not self.clear_views


def read_sights(record: Mapping[str, Any], views: Sequence[int], height: int, width: int) -> list[Thing]:
    """The objects of a room's record as some of its views show them, in the order of their ids.

    Args:
        record: as `RoomStore` gives it.
        views: which of its views; the things know them by their index in this list.
        height, width: size of the stored views in pixels.
    """
    things = []
    for entry in record["objects"]:
        sights = {}
        for index, view in enumerate(views):
            seen = record["views"][view]["seen"].get(str(entry["id"]))
            if seen is None or seen["area"] / (height * width) < HIDDEN_AREA:
                continue
            area = seen["area"] / (height * width)
            sights[index] = Sight(
                area=area,
                y=seen["center"][0] / height,
                x=seen["center"][1] / width,
                distance=seen["distance"],
                nearest=seen["nearest"],
                clear=area >= CLEAR_AREA and (seen["uncovered"] >= CLEAR_UNCOVERED or area >= LARGE_AREA),
            )
        things.append(Thing(entry["id"], entry["label"], sights))
    return things
