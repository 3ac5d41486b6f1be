"""The one home of sizes and counts: how large a view becomes, and how many visual tokens it costs.

Processor, planner, server and tests all call this module, so a forecast made from a file's header equals
what the model gets. Nothing here decodes a pixel or needs torch. Heights come before widths.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches
from typing import Any, Literal

from oryx.errors import ConfigError

REGIONS: dict[int, tuple[int, int]] = {1: (1, 1), 2: (1, 2), 4: (2, 2), 8: (2, 4), 16: (4, 4)}
"""Compression ratio -> (rows, columns) of the region of patches that becomes one token."""

IMAGE, VIDEO = 0, 1
"""Codes of the two token layouts; a set of views is laid out as a video."""

Detail = Literal["high", "low"]


@dataclass(frozen=True)
class ResizeRule:
    """How large views become, in pixels and square pixels; the defaults are the published rule."""

    patch_size: int = 16
    """Side of one patch."""
    low_area: int = 384**2
    """Area that the low-resolution view of an image is scaled to."""
    native_area: int = 1536**2
    """Largest area of the native view; smaller images keep their size."""
    image_multiple: int = 32
    """Sides of both image views are floored to multiples of this."""
    icon_side: int = 32
    """An image with a side under this is an icon: it is enlarged before anything else."""
    icon_target: int = 64
    """What the short side of an icon becomes."""
    video_min_area: int = 288**2
    """Smaller frames are enlarged to this area."""
    video_max_area: int = 480**2
    """Larger frames are shrunk to this area."""
    video_multiple: int = 64
    """Sides of a frame are floored to multiples of this."""
    video_multiple_16x: int = 128
    """The same for frames at ratio 16."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"resize_rule.{name} must be a whole number of at least 1, not {value!r}.")
        for name in ("image_multiple", "video_multiple", "video_multiple_16x"):
            if getattr(self, name) % self.patch_size:
                raise ConfigError(
                    f"resize_rule.{name} must be a multiple of patch_size ({self.patch_size}), "
                    f"not {getattr(self, name)}."
                )
        if self.video_min_area > self.video_max_area:
            raise ConfigError(
                f"resize_rule.video_min_area ({self.video_min_area}) must not exceed "
                f"video_max_area ({self.video_max_area})."
            )
        if self.icon_target < self.icon_side:
            raise ConfigError(
                f"resize_rule.icon_target ({self.icon_target}) must be at least icon_side ({self.icon_side})."
            )

    def to_dict(self) -> dict[str, int]:
        """The rule as plain numbers, as it is saved in the processor's config."""
        return asdict(self)

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> "ResizeRule":
        """A rule from saved numbers, defaults for the rest. An unknown key raises ConfigError."""
        known = [field.name for field in fields(cls)]
        for key in settings:
            if key not in known:
                raise ConfigError(f"resize_rule has no setting {key!r}; {nearest(key, known)}.")
        return cls(**settings)


@dataclass(frozen=True)
class View:
    """One picture as the tower sees it: pixels after the resize, and the grid (h, w) of patches."""

    height: int
    width: int
    grid: tuple[int, int]
    compression: int

    @property
    def token_grid(self) -> tuple[int, int]:
        """Rows and columns of tokens that are left after compression."""
        rows, columns = REGIONS[self.compression]
        return self.grid[0] // rows, self.grid[1] // columns

    @property
    def num_patches(self) -> int:
        """Patches in the grid."""
        return self.grid[0] * self.grid[1]

    @property
    def num_tokens(self) -> int:
        """Tokens of the view with one newline per row, without begin, separator and end."""
        rows, columns = self.token_grid
        return rows * (columns + 1)


def image_views(
    height: int,
    width: int,
    rule: ResizeRule,
    compression: int = 1,
    detail: Detail = "high",
    max_pixels: int | None = None,
) -> list[View]:
    """Views of an image of `height` x `width` pixels, in token order.

    Args:
        height, width: size of the picture as opened, at least 1.
        rule: the processor's resize rule.
        compression: one of 1, 2, 4, 8, 16; it holds for both views.
        detail: "high" gives [low-resolution, native], "low" the low-resolution view alone.
        max_pixels: caps the area of every view below what the rule allows.

    Raises:
        ConfigError: a ratio, detail or cap that does not exist, or a size below 1.
    """
    if detail not in ("high", "low"):
        raise ConfigError(f'detail must be "high" or "low", not {detail!r}.')
    multiple = _multiple(rule.image_multiple, rule.patch_size, compression)
    native_height, native_width = native_size(height, width, rule, compression, max_pixels)
    area = _capped(rule.low_area, max_pixels)
    # The low-resolution view is made from the resized native view, so its shape follows that one's sides.
    low = _fit(native_height, native_width, math.sqrt(area / (native_height * native_width)), multiple, area)
    sizes = [low] if detail == "low" else [low, (native_height, native_width)]
    return [_view(size, rule.patch_size, compression) for size in sizes]


def native_size(
    height: int, width: int, rule: ResizeRule, compression: int = 1, max_pixels: int | None = None
) -> tuple[int, int]:
    """Height and width of an image's native view, from which its low-resolution view is made too."""
    _check_size(height, width)
    multiple = _multiple(rule.image_multiple, rule.patch_size, compression)
    area = _capped(rule.native_area, max_pixels)
    height, width = icon_size(height, width, rule, max_pixels) or (height, width)
    scale = math.sqrt(area / (height * width)) if height * width > area else 1.0
    return _fit(height, width, scale, multiple, area)


def icon_size(
    height: int, width: int, rule: ResizeRule, max_pixels: int | None = None
) -> tuple[int, int] | None:
    """Size an icon is enlarged to before the resize rule, or None where the picture is no icon.

    A strip so long that the area's cap would shrink it below `icon_side` again is left as it is.
    """
    side = min(height, width)
    if side >= rule.icon_side:
        return None
    ratio = rule.icon_target / side
    height, width = int(height * ratio), int(width * ratio)
    shrink = math.sqrt(min(1.0, _capped(rule.native_area, max_pixels) / (height * width)))
    return None if min(height, width) * shrink < rule.icon_side else (height, width)


def frame_view(
    height: int, width: int, rule: ResizeRule, compression: int = 4, max_pixels: int | None = None
) -> View:
    """The view of one video frame, or of one of several views of a scene, of `height` x `width` pixels.

    Args and errors are those of `image_views`.
    """
    _check_size(height, width)
    base = rule.video_multiple_16x if compression == 16 else rule.video_multiple
    multiple = _multiple(base, rule.patch_size, compression)
    least, most = _capped(rule.video_min_area, max_pixels), _capped(rule.video_max_area, max_pixels)
    scale = 1.0
    if height * width > most:
        scale = math.sqrt(most / (height * width))
    elif height * width < least:
        scale = math.sqrt(least / (height * width))
    return _view(_fit(height, width, scale, multiple, most), rule.patch_size, compression)


def num_visual_tokens(kind: int, views: Sequence[View]) -> int:
    """Positions one visual takes in the sequence: its views' rows, and begin, separators and end.

    Args:
        kind: IMAGE (a separator between views) or VIDEO (a separator after every frame).
        views: the visual's views in order, at least one.
    """
    separators = len(views) if kind == VIDEO else len(views) - 1
    return sum(view.num_tokens for view in views) + separators + 2


def token_offset(kind: int, views: Sequence[View], view: int, y: float, x: float) -> int:
    """Position, within a visual's span, of the token whose region covers a point.

    Args:
        kind: IMAGE or VIDEO.
        views: the visual's views in order.
        view: index of the frame; of an image only 0, which means its last (native, or only) view.
        y, x: the point, 0 to 1 of the view's height and width.
    """
    if kind == IMAGE and view == 0:
        view = len(views) - 1
    elif kind == IMAGE or not 0 <= view < len(views):
        raise ConfigError(f"there is no view {view} to mark: this visual has views 0 to {len(views) - 1}.")
    rows, columns = views[view].token_grid
    row, column = min(int(y * rows), rows - 1), min(int(x * columns), columns - 1)
    before = sum(earlier.num_tokens + 1 for earlier in views[:view])
    return 1 + before + row * (columns + 1) + column


def check_compression(compression: Any) -> int:
    """The ratio itself, or a ConfigError that lists the ratios there are."""
    if isinstance(compression, bool) or compression not in list(REGIONS):
        allowed = ", ".join(str(ratio) for ratio in REGIONS)
        raise ConfigError(f"compression {compression!r} is not one of the ratios {allowed}.")
    return int(compression)


def nearest(key: object, known: Sequence[str]) -> str:
    """The end of an error sentence about an unknown key: the nearest known one, or all of them."""
    close = get_close_matches(str(key), known, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}" if close else f"the known ones are {', '.join(known)}"


def _fit(height: int, width: int, scale: float, multiple: int, area: int) -> tuple[int, int]:
    """Both sides scaled and floored to `multiple`, never below one multiple.

    The order of the operations is the published one: another order rounds some sizes to another multiple.
    """
    height_out = int(height * scale / multiple) * multiple
    width_out = int(width * scale / multiple) * multiple
    if height_out and width_out:
        return height_out, width_out
    # The published rule makes an empty picture here. Lifting the short side may not exceed the area.
    longest = max(multiple, area // multiple // multiple * multiple)
    return max(multiple, min(height_out, longest)), max(multiple, min(width_out, longest))


def _view(size: tuple[int, int], patch_size: int, compression: int) -> View:
    height, width = size
    return View(height, width, (height // patch_size, width // patch_size), compression)


def _multiple(base: int, patch_size: int, compression: int) -> int:
    """What sides must be multiples of, so that the ratio's regions tile the grid of patches."""
    return math.lcm(base, patch_size * max(REGIONS[check_compression(compression)]))


def _capped(area: int, max_pixels: int | None) -> int:
    if max_pixels is None:
        return area
    if isinstance(max_pixels, bool) or not isinstance(max_pixels, int) or max_pixels < 1:
        raise ConfigError(f"max_pixels must be a whole number of at least 1, not {max_pixels!r}.")
    return min(area, max_pixels)


def _check_size(height: int, width: int) -> None:
    if height < 1 or width < 1:
        raise ConfigError(f"a picture must be at least 1 x 1 pixels, not {height} x {width}.")
