"""Words on pictures that people look at: contact sheets, heat maps. In Pillow's own font."""

from __future__ import annotations

import textwrap

from PIL import ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def own_font(size: int) -> Font:
    """Pillow's built-in font at a size in pixels (a bitmap font of one size where FreeType is missing)."""
    return ImageFont.load_default(size)


def text_width(text: str, font: Font) -> float:
    """Width of one line in pixels."""
    return font.getlength(_drawable(text, font))


def write(
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    font: Font,
    fill: str | tuple[int, int, int],
) -> None:
    """Write one line; its top left corner is at `place`, (x, y). What the font cannot draw becomes `?`."""
    draw.text(place, _drawable(text, font), fill=fill, font=font)


def wrap(text: str, font: Font, width: float, max_lines: int) -> list[str]:
    """The text in lines of about `width` pixels; what is over ends in an ellipsis."""
    characters = max(1, int(width / (text_width("abcdefghijklmnop etaoin", font) / 23)))
    return textwrap.wrap(" ".join(text.split()), characters, max_lines=max_lines, placeholder=" ...")


def _drawable(text: str, font: Font) -> str:
    if isinstance(font, ImageFont.FreeTypeFont):
        return text
    return text.encode("latin-1", "replace").decode("latin-1")
