"""Floor, walls, doors, windows and pictures of a room, in colours drawn at random, and its lamps."""

import colorsys
import random
from collections.abc import Sequence

import numpy as np

from oryx.data.rooms.layout import ROOM_HEIGHT, Placed, Room
from oryx.data.rooms.render import Light, Triangles

_CELL = 0.09  # metres: side of the squares that the floor is made of
_SHADOW_REACH = 0.25  # metres around a piece of furniture over which the floor grows lighter again

RGB = tuple[float, float, float]


def build_shell(rng: random.Random, room: Room) -> Triangles:
    """The room without its furniture; its instance id is 0."""
    quads: list[tuple[np.ndarray, RGB]] = []
    base = _paint(rng, 0.62, 0.95)
    for wall in range(4):
        shade = rng.uniform(0.85, 1.0)
        color = _paint(rng, 0.45, 0.9, 0.5) if rng.random() < 0.25 else tuple(shade * part for part in base)
        quads.append((_wall_quad(room, wall, -1, 1, 0, ROOM_HEIGHT, 0.0), color))  # type: ignore[arg-type]
    half_x, half_y = room.sides[0] / 2, room.sides[1] / 2
    top = ROOM_HEIGHT
    ceiling = np.array(
        ((-half_x, -half_y, top), (-half_x, half_y, top), (half_x, half_y, top), (half_x, -half_y, top))
    )
    quads.append((ceiling, (0.93, 0.93, 0.91)))
    for wall in rng.sample(range(4), rng.randint(1, 3)):
        quads += rng.choice((_door, _window, _window, _picture))(rng, room, wall)
    corners = np.stack([corner for corner, _ in quads])
    colors = np.array([color for _, color in quads])
    floor_corners, floor_colors = _floor(rng, room)
    return _from_quads(np.concatenate((corners, floor_corners)), np.concatenate((colors, floor_colors)))


def draw_lights(rng: random.Random, room: Room) -> list[Light]:
    """One to three lamps below the ceiling, together about equally bright in all rooms."""
    number = rng.randint(1, 3)
    total = rng.uniform(0.85, 1.2)
    warm = rng.uniform(-0.08, 0.08)
    lights = []
    for _ in range(number):
        x, y = (rng.uniform(-0.4, 0.4) * side for side in room.sides)
        strength = total / number * rng.uniform(0.8, 1.2)
        color = (strength * (1 + warm), strength, strength * (1 - warm))
        lights.append(Light((x, y, rng.uniform(2.0, 2.5)), color))
    return lights


def _paint(rng: random.Random, darkest: float, lightest: float, strongest: float = 0.3) -> RGB:
    return colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.0, strongest), rng.uniform(darkest, lightest))


def _wall_quad(
    room: Room, wall: int, start: float, end: float, low: float, high: float, inward: float
) -> np.ndarray:
    """(4, 3): a rectangle on a wall, from -1 to 1 along it and `inward` metres off it."""
    half_x, half_y = room.sides[0] / 2, room.sides[1] / 2
    if wall % 2 == 0:
        y = (half_y - inward) * (1 if wall == 0 else -1)
        places = [(start * half_x, y), (end * half_x, y)]
    else:
        x = (half_x - inward) * (1 if wall == 1 else -1)
        places = [(x, start * half_y), (x, end * half_y)]
    (ax, ay), (bx, by) = places
    return np.array(((ax, ay, low), (bx, by, low), (bx, by, high), (ax, ay, high)))


def _span(rng: random.Random, room: Room, wall: int, width: float) -> tuple[float, float]:
    """Start and end, -1 to 1, of a rectangle `width` metres wide somewhere on the wall."""
    half = room.sides[wall % 2] / 2
    middle = rng.uniform(-1, 1) * (1 - width / 2 / half) * 0.9
    return middle - width / 2 / half, middle + width / 2 / half


def _framed(
    room: Room,
    wall: int,
    span: tuple[float, float],
    heights: tuple[float, float],
    rim: float,
    frame: RGB,
    inner: RGB,
) -> list[tuple[np.ndarray, RGB]]:
    edge = rim / (room.sides[wall % 2] / 2)
    return [
        (_wall_quad(room, wall, *span, *heights, 0.01), frame),
        (
            _wall_quad(room, wall, span[0] + edge, span[1] - edge, heights[0] + rim, heights[1] - rim, 0.02),
            inner,
        ),
    ]


def _door(rng: random.Random, room: Room, wall: int) -> list[tuple[np.ndarray, RGB]]:
    wood = _paint(rng, 0.3, 0.9, 0.6)
    frame: RGB = (0.9, 0.9, 0.88) if rng.random() < 0.5 else _paint(rng, 0.2, 0.5)
    return _framed(room, wall, _span(rng, room, wall, rng.uniform(0.8, 1.0)), (0.0, 2.05), 0.06, frame, wood)


def _window(rng: random.Random, room: Room, wall: int) -> list[tuple[np.ndarray, RGB]]:
    sky: RGB = rng.choice(((0.75, 0.87, 0.97), (0.88, 0.92, 0.95), (0.2, 0.25, 0.4), (0.65, 0.8, 0.7)))
    frame: RGB = (0.95, 0.95, 0.95) if rng.random() < 0.7 else _paint(rng, 0.2, 0.6, 0.6)
    start, end = _span(rng, room, wall, rng.uniform(0.9, 1.6))
    middle, bar = (start + end) / 2, 0.025 / (room.sides[wall % 2] / 2)
    heights = (rng.uniform(0.8, 1.0), rng.uniform(1.9, 2.2))
    return [
        *_framed(room, wall, (start, end), heights, 0.06, frame, sky),
        (_wall_quad(room, wall, middle - bar, middle + bar, *heights, 0.03), frame),
    ]


def _picture(rng: random.Random, room: Room, wall: int) -> list[tuple[np.ndarray, RGB]]:
    low = rng.uniform(1.1, 1.4)
    heights = (low, low + rng.uniform(0.4, 0.8))
    return _framed(
        room,
        wall,
        _span(rng, room, wall, rng.uniform(0.4, 1.1)),
        heights,
        0.05,
        _paint(rng, 0.1, 0.9, 0.7),
        _paint(rng, 0.3, 0.95, 0.9),
    )


def _floor(rng: random.Random, room: Room) -> tuple[np.ndarray, np.ndarray]:
    """(Q, 4, 3) squares and their (Q, 3) colours: a pattern, darker below and beside the furniture."""
    counts = [max(1, round(side / _CELL)) for side in room.sides]
    xs, ys = (
        np.linspace(-side / 2, side / 2, count + 1) for side, count in zip(room.sides, counts, strict=True)
    )
    left, low = (grid.ravel() for grid in np.meshgrid(xs[:-1], ys[:-1], indexing="ij"))
    step_x, step_y = xs[1] - xs[0], ys[1] - ys[0]
    zeros = np.zeros_like(left)
    corners = np.stack(
        [
            np.stack((left + dx, low + dy, zeros), 1)
            for dx, dy in ((0, 0), (step_x, 0), (step_x, step_y), (0, step_y))
        ],
        axis=1,
    )
    middle = np.stack((left + step_x / 2, low + step_y / 2), 1)
    colors = _pattern(rng, middle) * _shade(middle, room.placed)[:, None]
    return corners, colors


def _pattern(rng: random.Random, places: np.ndarray) -> np.ndarray:
    """(Q, 3) colours of the bare floor at (Q, 2) places."""
    base = np.array(_paint(rng, 0.35, 0.85, 0.5))
    kind = rng.choice(("plain", "tiles", "planks", "rug"))
    noise = np.random.default_rng(rng.getrandbits(32))
    shade = np.ones(len(places))
    if kind == "tiles":
        side = rng.uniform(0.3, 0.7)
        odd = np.floor(places / side).astype(int).sum(1) % 2
        shade = np.where(odd, rng.uniform(0.6, 0.9), 1.0)
    elif kind == "planks":
        planks = np.floor(places[:, rng.randrange(2)] / rng.uniform(0.12, 0.25)).astype(int)
        shade = noise.uniform(0.8, 1.1, 4096)[planks % 4096]
    colors = base * shade[:, None]
    if kind == "rug":
        half = np.array((rng.uniform(0.6, 1.2), rng.uniform(0.6, 1.2)))
        center = np.array((rng.uniform(-0.5, 0.5), rng.uniform(-0.5, 0.5)))
        away = np.abs(places - center) - half
        colors[(away <= 0).all(1)] = _paint(rng, 0.3, 0.9, 0.8)
        if rng.random() < 0.5:
            colors[(away <= -0.15).all(1)] = _paint(rng, 0.3, 0.9, 0.8)
    return colors * noise.uniform(0.96, 1.04, (len(places), 1))


def _shade(places: np.ndarray, placed: Sequence[Placed]) -> np.ndarray:
    """(Q,) factors: how much light reaches the floor beside the furniture."""
    light = np.ones(len(places))
    for piece in placed:
        turn = np.radians(piece.heading)
        dx, dy = places[:, 0] - piece.x, places[:, 1] - piece.y
        across = np.abs(dx * np.cos(turn) + dy * np.sin(turn)) - piece.furniture.width / 2
        along = np.abs(dy * np.cos(turn) - dx * np.sin(turn)) - piece.furniture.depth / 2
        away = np.hypot(np.maximum(across, 0), np.maximum(along, 0)) + max(0.0, piece.z) * 0.5
        light = np.minimum(light, 0.55 + 0.45 * np.clip(away / _SHADOW_REACH, 0, 1))
    return light


def _from_quads(corners: np.ndarray, colors: np.ndarray) -> Triangles:
    """Two triangles for each of (Q, 4, 3) corners, (Q, 3) colours of 0 to 1."""
    points = np.concatenate((corners[:, [0, 1, 2]], corners[:, [0, 2, 3]])).astype(np.float32)
    normals = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    inside = -np.sign((normals * (points.mean(1) - (0, 0, ROOM_HEIGHT / 2))).sum(1, keepdims=True))
    doubled = np.concatenate((colors, colors))
    return Triangles(
        points,
        np.repeat((normals * inside)[:, None], 3, axis=1).astype(np.float32),
        (np.clip(doubled, 0, 1) * 255).round().astype(np.uint8),
        np.zeros(len(points), np.uint8),
    )
