"""One source of training data, as a recipe or a command names it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from oryx.errors import ConfigError

Format = Literal["llava", "patches", "folder", "parquet", "datasets", "webdataset"]
FORMATS: tuple[str, ...] = get_args(Format)


@dataclass(frozen=True, kw_only=True)
class SourceSettings:
    """Files of one kind, read as one sequence of records."""

    path: Any
    """A file, a folder, a glob, or a list of these; for `datasets` also a hub id."""
    format: Format | None = None
    """How the files are read; guessed from the path where left out."""
    media_root: str | None = None
    """Folder that the records' media paths start from; the file's own where left out."""
    name: str = ""
    """What tables and the log call the source; its path where left out."""
    weight: float | None = None
    """Share of the samples drawn; either all sources have one or none. 0 leaves the source out."""
    licence: str = ""
    """Under which terms the data may be used, or where that is written. For people alone."""
    channel_order: Literal["rgb", "bgr"] = "rgb"
    """Order of the channels in stored pictures. Several published patch files hold blue first."""
    limit: int | None = None
    """Take only so many records, from the beginning."""
    dials: dict[str, Any] = field(default_factory=dict)
    """Dials for visuals that set none themselves, such as {compression: 4, max_frames: 64}."""
    prompt: str | None = None
    """Question to a caption that comes without one; "Describe the image." or "... video." where left out."""
    needle_frames: tuple[int, int] = (192, 256)
    """Least and most frames of the long video of a needle record."""
    split: str = "train"
    """Of `datasets`: which split."""
    config: str | None = None
    """Of `datasets`: which configuration, where there are several."""
    revision: str | None = None
    """Of `datasets` on the hub: the commit. Without one, a resumed run may meet other data."""
    streaming: bool = False
    """Of `datasets` and `parquet`: read from the front on, without a copy on the disk."""

    def __post_init__(self) -> None:
        paths = self.path if isinstance(self.path, list | tuple) else [self.path]
        if not paths or not all(isinstance(path, str) and path for path in paths):
            raise ConfigError(f"path is {self.path!r}; it must be a text, or a list of texts.")
        object.__setattr__(self, "path", tuple(paths))
        if self.weight is not None and not 0 <= self.weight < math.inf:
            raise ConfigError(f"weight is {self.weight:g}; it must be a finite number of at least 0.")
        if self.limit is not None and self.limit < 1:
            raise ConfigError(f"limit is {self.limit}; it must be at least 1.")
        low, high = self.needle_frames
        if not 2 <= low <= high:
            raise ConfigError(f"needle_frames is [{low}, {high}]; it must be [least, most], both at least 2.")
        if self.streaming and self.format not in ("datasets", "parquet"):
            raise ConfigError("streaming is for the formats datasets and parquet; set format to one of them.")
        _check_dials(self.dials)

    @property
    def title(self) -> str:
        """What people see."""
        more = f" and {len(self.path) - 1} more" if len(self.path) > 1 else ""
        return self.name or f"{self.path[0]}{more}"


def make_settings(
    path: str,
    format_: str | None = None,
    media_root: str | None = None,
    limit: int | None = None,
    **more: Any,
) -> SourceSettings:
    """Settings as a command line gives them; `more` are further fields. Raises ConfigError as they do."""
    if format_ is not None and format_ not in FORMATS:
        raise ConfigError(f"the format {format_!r} is unknown; allowed: {', '.join(FORMATS)}.")
    return SourceSettings(path=path, format=format_, media_root=media_root, limit=limit, **more)  # type: ignore[arg-type]


def _check_dials(dials: dict[str, Any]) -> None:
    if dials:
        from oryx.processing.geometry import nearest
        from oryx.processing.visuals import DIALS

        for dial in dials:
            if dial not in DIALS:
                raise ConfigError(f"dials.{dial} is not a dial of a visual; {nearest(dial, DIALS)}.")
