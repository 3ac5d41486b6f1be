"""Colours, backgrounds and shapes, drawn fast: textures and shape masks are made once and reused."""

import functools
import math
import random
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

RGB = tuple[int, int, int]

# The first value of each colour is its plain form; the others are what people call by the same name.
COLORS: dict[str, tuple[RGB, ...]] = {
    "red": ((255, 0, 0), (220, 20, 40), (200, 30, 30)),
    "green": ((0, 160, 0), (0, 128, 0), (40, 200, 60), (0, 255, 0)),
    "blue": ((0, 0, 255), (30, 80, 220), (20, 50, 170)),
    "yellow": ((255, 255, 0), (250, 220, 20), (240, 230, 60)),
    "purple": ((128, 0, 128), (140, 40, 200), (155, 50, 170)),
    "orange": ((255, 140, 0), (255, 165, 0), (245, 120, 20)),
    "white": ((255, 255, 255), (242, 242, 242)),
    "black": ((0, 0, 0), (25, 25, 25)),
}
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
NUM_VARIANTS = 12

_JITTER = 10
_MIN_DISTANCE = 210.0  # of 765; white to pale yellow is about 290
_FLAT = ((255, 255, 255), (230, 230, 230), (200, 200, 200), (128, 128, 128), (60, 60, 60), (0, 0, 0))
_TILE = 256


@dataclass(frozen=True)
class Background:
    """Two colours, the same twice if flat, and the texture that goes from the one to the other."""

    first: RGB
    second: RGB
    texture: str

    def contrasts(self, rgb: RGB) -> bool:
        """Whether an object of this colour is plain to see everywhere on it."""
        return min(color_distance(rgb, self.first), color_distance(rgb, self.second)) >= _MIN_DISTANCE

    def paint(self, rng: random.Random, height: int, width: int) -> Image.Image:
        """A new RGB picture of this background."""
        if self.texture == "flat":
            return Image.new("RGB", (width, height), self.first)
        mask = _texture(rng, self.texture, height, width)
        image = Image.new("RGB", (width, height), self.second)
        image.paste(self.first, (0, 0, width, height), mask)
        return image


def color_distance(a: RGB, b: RGB) -> float:
    """How unlike two colours look, 0 to about 765 (the "redmean" approximation)."""
    red = (a[0] + b[0]) / 512
    dr, dg, db = a[0] - b[0], a[1] - b[1], a[2] - b[2]
    return math.sqrt((2 + red) * dr * dr + 4 * dg * dg + (3 - red) * db * db)


def brightness(rgb: RGB) -> float:
    """Luma, 0 to 255."""
    return 0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2]


def draw_color(rng: random.Random, name: str, varied: bool) -> RGB:
    """The RGB of a named colour: its plain form, or one of its forms with a little jitter."""
    if not varied:
        return COLORS[name][0]
    return _shifted(rng, rng.choice(COLORS[name]), _JITTER)


def any_color(rng: random.Random) -> RGB:
    """A uniform RGB colour."""
    bits = rng.getrandbits(24)
    return bits >> 16, bits >> 8 & 255, bits & 255


def draw_background(rng: random.Random, kind: str) -> Background:
    """ "white"; "plain": one flat grey, white or black; "varied": also tints and textures."""
    if kind == "white":
        return flat(_FLAT[0])
    if kind == "plain" or rng.random() < 0.25:
        rgb = _FLAT[0] if rng.random() < 0.4 else rng.choice(_FLAT)
        return flat(rgb)
    return textured(rng, _tint(rng))


def flat(rgb: RGB) -> Background:
    """A background of one colour."""
    return Background(rgb, rgb, "flat")


def textured(rng: random.Random, rgb: RGB) -> Background:
    """A background around one colour: flat, gradient, noise, clouds or faint stripes."""
    texture = rng.choice(("flat", "gradient", "noise", "clouds", "stripes"))
    if texture == "flat":
        return flat(rgb)
    reach = 70 if texture in ("gradient", "clouds") else 36
    return Background(rgb, _shifted(rng, rgb, reach), texture)


def _tint(rng: random.Random) -> RGB:
    """A colour that is pale or dark rather than strong, so that most named colours stand out on it."""
    rgb = any_color(rng)
    base, share = rng.choice(((255, 0.35), (128, 0.35), (20, 0.45)))
    red, green, blue = (round(base + share * (value - base)) for value in rgb)
    return red, green, blue


def _shifted(rng: random.Random, rgb: RGB, reach: int) -> RGB:
    red, green, blue = (
        min(255, max(0, value + int((2 * reach + 1) * rng.random()) - reach)) for value in rgb
    )
    return red, green, blue


def _texture(rng: random.Random, kind: str, height: int, width: int) -> Image.Image:
    """A random part of the texture's tile, turned and stretched over the picture ("L")."""
    tile = _tiles()[kind, rng.randrange(4)]
    if kind == "gradient":
        return tile.resize((width, height), Image.Resampling.BILINEAR)
    # A noise tile is shown near its own scale, so that noise stays fine on every canvas.
    side_y = min(_TILE, max(16, int(height * (0.5 + rng.random()))))
    side_x = min(_TILE, max(16, int(width * (0.5 + rng.random()))))
    top, left = rng.randrange(_TILE - side_y + 1), rng.randrange(_TILE - side_x + 1)
    box = (left, top, left + side_x, top + side_y)
    return tile.resize((width, height), Image.Resampling.BILINEAR, box=box)


@functools.cache
def _tiles() -> dict[tuple[str, int], Image.Image]:
    """Four tiles (256 x 256, "L") of each texture."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 255, _TILE)
    rows, columns = np.meshgrid(np.arange(_TILE), np.arange(_TILE), indexing="ij")
    tiles: dict[tuple[str, int], Image.Image] = {}
    for number in range(4):
        plane = np.rot90(ramp[:, None] / 2 + (ramp[None, :] / 2 if number % 2 else ramp[:, None] / 2), number)
        tiles["gradient", number] = _gray(plane)
        tiles["noise", number] = _gray(rng.integers(0, 256, (_TILE, _TILE)))
        blobs = _gray(rng.integers(0, 256, (16, 16)))
        tiles["clouds", number] = blobs.resize((_TILE, _TILE), Image.Resampling.BICUBIC)
        phase = (rows, columns, rows + columns, rows - columns)[number] * 2 * math.pi / (10 + 4 * number)
        tiles["stripes", number] = _gray(127.5 + 127.5 * np.sin(phase))
    return tiles


def _gray(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8), "L")


@functools.lru_cache(maxsize=16384)
def shape_mask(
    shape: str, size: int, variant: int = 0
) -> tuple[Image.Image, tuple[tuple[float, float], ...]]:
    """The mask ("L", size x size, antialiased) of a shape, and points well inside its ink.

    `variant` 0 is the plain form; 1 to NUM_VARIANTS - 1 are turned a little, and thicker or thinner. The
    points are (y, x) in pixels of the mask, if possible at least a fifth of the size away from its centre.
    """
    scale = 4 if size <= 64 else 2
    image = Image.new("L", (size * scale, size * scale), 0)
    draw = ImageDraw.Draw(image)
    style = _Style.of(shape, variant)
    end = size * scale - 1
    if shape in ("circle", "ring"):
        draw.ellipse((0, 0, end, end), fill=255)
        if shape == "ring":
            rim = style.thickness * end
            draw.ellipse((rim, rim, end - rim, end - rim), fill=0)
    else:
        draw.polygon([(x * end, y * end) for y, x in _outline(shape, style)], fill=255)
    mask = image.reduce(scale)
    return mask, _inner_points(mask)


def _inner_points(mask: Image.Image) -> tuple[tuple[float, float], ...]:
    """Up to 16 (y, x) of full ink, away from the centre."""
    ink = np.asarray(mask)
    ys, xs = np.nonzero(ink >= min(250, int(ink.max())))
    far = np.hypot(ys + 0.5 - ink.shape[0] / 2, xs + 0.5 - ink.shape[1] / 2) >= 0.2 * ink.shape[0]
    if far.any():
        ys, xs = ys[far], xs[far]
    chosen = np.random.default_rng(len(ys)).permutation(len(ys))[:16]
    return tuple((float(ys[i]) + 0.5, float(xs[i]) + 0.5) for i in chosen)


@dataclass(frozen=True)
class _Style:
    """How a variant of a shape is drawn: its turn in radians, and how thick cross, ring and star are."""

    turn: float
    thickness: float

    @classmethod
    def of(cls, shape: str, variant: int) -> "_Style":
        plain = {"ring": 0.22, "cross": 0.33, "star": 0.42}.get(shape, 0.0)
        if variant == 0:
            return cls(0.0, plain)
        rng = random.Random(f"{shape} {variant}")
        turn = math.radians(rng.uniform(-14, 14))
        if shape == "triangle" and variant % 4 == 0:  # pointing down
            turn += math.pi
        if shape == "cross" and variant % 3 == 0:  # an x rather than a +
            turn += math.pi / 4
        return cls(turn, plain * rng.uniform(0.65, 1.15))


def _outline(shape: str, style: _Style) -> list[tuple[float, float]]:
    """The polygon's (y, x), turned and then scaled to fill the unit square."""
    if shape == "square":
        points = [(-1.0, -1.0), (-1.0, 1.0), (1.0, 1.0), (1.0, -1.0)]
    elif shape == "triangle":
        points = [(-math.cos(k * 2 * math.pi / 3), math.sin(k * 2 * math.pi / 3)) for k in range(3)]
    elif shape == "star":
        radii = [1.0 if k % 2 == 0 else style.thickness for k in range(10)]
        points = [
            (-r * math.cos(k * math.pi / 5), r * math.sin(k * math.pi / 5)) for k, r in enumerate(radii)
        ]
    else:
        t = style.thickness
        arm = [(-t, t), (-1.0, t), (-1.0, -t)]  # the upper arm, turned four times
        points = [_turned(point, -k * math.pi / 2) for k in range(4) for point in arm]
    points = [_turned(point, style.turn) for point in points]
    top, left = (min(point[axis] for point in points) for axis in (0, 1))
    bottom, right = (max(point[axis] for point in points) for axis in (0, 1))
    span = max(bottom - top, right - left)
    shift_y, shift_x = 0.5 - (top + bottom) / 2 / span, 0.5 - (left + right) / 2 / span
    return [(y / span + shift_y, x / span + shift_x) for y, x in points]


def _turned(point: tuple[float, float], angle: float) -> tuple[float, float]:
    y, x = point
    return y * math.cos(angle) + x * math.sin(angle), x * math.cos(angle) - y * math.sin(angle)
