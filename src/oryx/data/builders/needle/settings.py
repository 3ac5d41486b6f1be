"""What a run of `oryx data needle` makes, checked when it is made."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from oryx.data.builders.frame_store import LAYOUTS
from oryx.errors import ConfigError

FREE_SETTINGS = ("count",)
"""Settings that a resumed run may change: it makes more of the same."""


@dataclass(frozen=True)
class NeedleSettings:
    """Settings of a run. All but `count` are the same for all records of an output folder."""

    count: int = 100
    """Records in all."""
    frames: tuple[int, int] = (192, 256)
    """Fewest and most frames of a clip. The published training shows 192 to 256: 3 to 4 times 64."""
    per_clip: int = 4
    """Records about one clip, captions and differences in turns. They share the clip's frames on disk."""
    min_step: float = 0.5
    """Least seconds of a clip for each of its frames: nearer ones show the same."""
    layout: str = "patch"
    """"patch": all frames in published patch files; "folder": a folder of JPEG files for each clip."""
    max_pixels: int = 480**2
    """Frames are shrunk to this area: the largest that the published resize rule shows to the model."""
    quality: int = 90
    """Of the JPEGs, 1 to 95."""
    seed: int = 0

    def __post_init__(self) -> None:
        low, high = self.frames
        if not 2 <= low <= high:
            raise ConfigError(f"frames are {low}-{high}; two or more are needed, the fewest first.")
        for name, least, most in (
            ("count", 1, None),
            ("per_clip", 1, low // 2),
            ("max_pixels", 32**2, None),
            ("quality", 1, 95),
        ):
            value = getattr(self, name)
            if value < least or (most is not None and value > most):
                end = "" if most is None else f" and at most {most}"
                raise ConfigError(f"{name} is {value}; it must be at least {least}{end}.")
        if not 0 < self.min_step < float("inf"):
            raise ConfigError(f"min_step is {self.min_step}; a number of seconds above 0 is needed.")
        if self.layout not in LAYOUTS:
            raise ConfigError(f"layout is {self.layout!r}; allowed: {', '.join(LAYOUTS)}.")

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**asdict(self), "frames": list(self.frames)}
