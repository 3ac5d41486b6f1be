"""What can be chosen about marked scenes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from oryx.data.builders.correspondence.drawing import MIN_SIZE, least_size
from oryx.data.builders.correspondence.selection import NUM_OBJECTS, ViewRule
from oryx.errors import ConfigError

SourceName: TypeAlias = Literal["auto", "masks", "boxes", "sam2", "features"]
"""Where identity comes from; "auto" takes the first that a scene has what it needs for."""

FileFormat: TypeAlias = Literal["jpg", "png"]


@dataclass(frozen=True)
class MarkSettings:
    """Making one validates it: `ConfigError` names the setting and what is allowed."""

    source: SourceName = "auto"
    objects: int = NUM_OBJECTS
    """Objects that are marked at most."""
    views: int = 16
    """Views that are kept at most."""
    choose: ViewRule = "even"
    """How views are chosen."""
    candidates: int = 64
    """Views, evenly spread, in which objects are looked for: by "coverage", and by sources that track."""
    min_views: int = 2
    """Views that an object must be seen in to be marked; in fewer it corresponds to nothing."""
    min_share: float = 0.001
    """Share of a view's pixels below which an object does not count as seen there."""
    exclude: tuple[str, ...] = ("wall", "floor", "ceiling")
    """Names of objects that are never marked: these are in most views and tell no place."""
    mark_size: int | None = None
    """Pixels of a dot's diameter in the written views; 1/16 of their shorter side if None."""
    max_side: int | None = None
    """Pixels of the longer side that written views are reduced to; None leaves them as they are."""
    format: FileFormat = "jpg"
    boxes: str | None = None
    """Name or pattern of the boxes' file in each scene."""
    sam2: str | None = None
    """Folder or hub id of SAM 2 weights."""
    device: str = "cpu"
    """Where SAM 2 runs."""

    def __post_init__(self) -> None:
        for name, kind in (("source", SourceName), ("choose", ViewRule), ("format", FileFormat)):
            value = getattr(self, name)
            if value not in get_args(kind):
                raise ConfigError(f"{name} is {value!r}; allowed: {', '.join(get_args(kind))}.")
        limits = {
            "objects": 1,
            "views": 1,
            "candidates": 1,
            "min_views": 1,
            "mark_size": MIN_SIZE,
            "max_side": 32,
        }
        for name, least in limits.items():
            value = getattr(self, name)
            if value is None and name in ("mark_size", "max_side"):
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigError(f"{name} is {value!r}; a whole number of at least {least} is needed.")
        if self.views < self.min_views:
            raise ConfigError(
                f"views is {self.views} and min_views {self.min_views}; an object cannot be seen in more "
                "views than are kept."
            )
        if self.objects > 99:
            raise ConfigError(f"objects is {self.objects}; at most 99 can be numbered.")
        least = least_size(self.objects)
        if self.mark_size is not None and self.mark_size < least:
            raise ConfigError(f"mark_size is {self.mark_size}; numbers above 9 need at least {least} pixels.")
        if not 0 <= self.min_share < 1:
            raise ConfigError(f"min_share is {self.min_share!r}; a share of 0 up to below 1 is needed.")
        if self.boxes is not None and Path(self.boxes).is_absolute():
            raise ConfigError(
                f"boxes is {self.boxes}; a name or pattern inside each scene is needed, such as boxes.json."
            )
        if self.source == "sam2" and not self.sam2:
            raise ConfigError(
                'the source "sam2" needs weights: sam2 must be a folder or a hub id, such as '
                "facebook/sam2.1-hiera-small."
            )

    def to_dict(self) -> dict[str, Any]:
        """As JSON keeps it: all that the result depends on, which the device is not part of."""
        values = {**asdict(self), "exclude": list(self.exclude)}
        del values["device"]
        return values
