"""How much a process decodes, and of what. A server lowers it in those that read strangers' files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

MAX_PIXELS = 178_956_970
"""Pillow refuses a picture above this on its own (two times its MAX_IMAGE_PIXELS), before decoding it."""

PICTURE_FORMATS = (
    *("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM", "TGA", "ICO", "DIB", "QOI"),
    *("BLP", "CUR", "DCX", "DDS", "FITS", "FLI", "FTEX", "GBR", "ICNS", "IM", "IMT", "MCIDAS", "MPEG", "MSP"),
    *("PCD", "PCX", "PIXAR", "PSD", "SGI", "SPIDER", "SUN", "XBM", "XPM", "XVTHUMB"),
)
"""Pillow's names of the formats that it decodes by itself. Not among them: EPS, which runs Ghostscript, IPTC,
which may hold an EPS, WMF, which asks the system to draw, and formats that need a reader from elsewhere."""

WEB_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF", "JPEG2000", "PPM", "TGA", "ICO", "QOI")
"""Those that people send. None unpacks more than its header says."""


@dataclass(frozen=True)
class DecodingLimits:
    """What this process decodes."""

    max_pixels: int = MAX_PIXELS
    """Height times width of a picture or a frame as it is stored; above, it is refused from its header."""
    formats: tuple[str, ...] = PICTURE_FORMATS
    """Pillow's names of the picture formats that are read."""
    max_threads: int | None = None
    """Threads that decode or resize side by side for one visual; None for as many as there are cores."""


_limits = DecodingLimits()


def decoding_limits() -> DecodingLimits:
    """The limits of this process."""
    return _limits


def lower_limits(
    max_pixels: int | None = None, formats: Sequence[str] | None = None, max_threads: int | None = None
) -> None:
    """Lower the limits of this process for good. What is None stays, and nothing can be raised."""
    global _limits
    if max_pixels is not None:
        _limits = replace(_limits, max_pixels=min(max_pixels, _limits.max_pixels))
    if formats is not None:
        _limits = replace(_limits, formats=tuple(name for name in _limits.formats if name in formats))
    if max_threads is not None:
        _limits = replace(_limits, max_threads=min(max_threads, _limits.max_threads or max_threads))
