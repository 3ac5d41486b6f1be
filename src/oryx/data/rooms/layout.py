"""Where the furniture of a room stands, and where its views are taken from.

Metres; z up; the middle of the floor is 0.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from oryx.data.rooms.catalogue import Furniture, labels
from oryx.data.rooms.render import Camera

ROOM_SIDES = (4.0, 6.0)
ROOM_HEIGHT = 2.6
CLEARANCE = 0.08
"""Least distance between two pieces of furniture, and from a wall."""
EYE_HEIGHTS = (1.35, 1.95)
FIELDS_OF_VIEW = (40.0, 52.0)
"""Vertical, in degrees: narrow enough that hardly a view shows everything."""

_TRIES = 60
_REPEATED_SHARE = 0.85
"""Share of the rooms that hold several things of one name, without which nothing is to be told apart."""
_SAME_MODEL_SHARE = 0.4
_STRAY = 0.18  # of a side: how far beside the middle of the room a view may look
_LEAST_REACH = 2.0  # metres, level, from a camera to what it looks at
_NEAR_CAMERA = (
    0.7  # metres: no tall piece stands nearer to a camera; a piece of half its height, half of that
)


@dataclass(frozen=True)
class Placed:
    """A piece of furniture in its place."""

    furniture: Furniture
    x: float
    y: float
    z: float
    """Of the middle of its lower end."""
    heading: float
    """Degrees, counterclockwise seen from above; at 0 the front looks towards -y."""
    tint: tuple[float, float] = (0.0, 1.0)
    """Turn of its colours' hue in degrees, and a factor of their brightness."""

    @property
    def front(self) -> tuple[float, float]:
        """The direction (x, y) in which the front looks."""
        turn = math.radians(self.heading)
        return math.sin(turn), -math.cos(turn)

    def corners(self, margin: float = 0.0) -> np.ndarray:
        """(4, 2): the footprint's corners, `margin` wider on each side."""
        half_x, half_y = self.furniture.width / 2 + margin, self.furniture.depth / 2 + margin
        turn = math.radians(self.heading)
        matrix = np.array(((math.cos(turn), math.sin(turn)), (-math.sin(turn), math.cos(turn))))
        box = np.array(((-half_x, -half_y), (half_x, -half_y), (half_x, half_y), (-half_x, half_y)))
        return box @ matrix + (self.x, self.y)


@dataclass(frozen=True)
class Room:
    """Sides (along x and y) of the floor, and what stands in it."""

    sides: tuple[float, float]
    placed: tuple[Placed, ...]


def furnish(
    rng: random.Random,
    furniture: Mapping[str, Sequence[Furniture]],
    num_objects: tuple[int, int],
    tinted: float,
) -> Room:
    """A room of `num_objects` (min, max) pieces, fewer where they find no place.

    Args:
        furniture: label -> its models.
        tinted: share of the pieces that get other colours than their own, where that is natural.
    """
    sides = (rng.uniform(*ROOM_SIDES), rng.uniform(*ROOM_SIDES))
    pieces = _choose(rng, furniture, rng.randint(*num_objects), tinted)
    # Large pieces first, and what stands on others last.
    pieces.sort(key=lambda piece: (_place(piece[0]) == "top", -piece[0].width * piece[0].depth))
    placed: list[Placed] = []
    for model, tint in pieces:
        spot = _find_spot(rng, model, tint, sides, placed)
        if spot is not None:
            placed.append(spot)
    return Room(sides, tuple(placed))


def place_cameras(rng: random.Random, room: Room, number: int) -> list[Camera]:
    """Cameras at eye height near the walls, in their order around the room, looking at its middle."""
    around = rng.uniform(200, 330)  # degrees that the whole walk covers
    start, step = rng.uniform(0, 360), around / max(1, number - 1) * rng.choice((-1, 1))
    fov = rng.uniform(*FIELDS_OF_VIEW)
    cameras = []
    for index in range(number):
        for attempt in range(_TRIES):
            angle = math.radians(start + step * (index + rng.uniform(-0.3, 0.3) * (1 + attempt / 10)))
            # Away from the wall where nothing along it is free.
            x, y = _near_wall(angle, room.sides, rng.uniform(0.2, 0.45) + max(0, attempt - 20) * 0.03)
            if attempt == _TRIES - 1 or not any(_blocks(piece, x, y) for piece in room.placed):
                break
        # Across the middle of the room, and never at the floor before the camera's feet.
        across = rng.uniform(-0.1, 0.5)
        aim = [rng.uniform(-_STRAY, _STRAY) * side - across * at for side, at in zip(room.sides, (x, y))]
        reach = max(math.hypot(aim[0] - x, aim[1] - y), 1e-6)
        stretch = max(1.0, _LEAST_REACH / reach)
        target = (x + (aim[0] - x) * stretch, y + (aim[1] - y) * stretch, rng.uniform(0.4, 0.8))
        cameras.append(Camera((x, y, rng.uniform(*EYE_HEIGHTS)), target, fov))
    return cameras


def _choose(
    rng: random.Random, furniture: Mapping[str, Sequence[Furniture]], number: int, tinted: float
) -> list[tuple[Furniture, tuple[float, float]]]:
    """Models and their tints; no two labels that may be taken for one another."""
    known = labels()
    # In random order, the weightier sooner (Efraimidis and Spirakis, 2006).
    names = sorted(furniture, key=lambda name: -(rng.random() ** (1 / known[name].weight)))
    chosen: list[tuple[Furniture, tuple[float, float]]] = []
    groups: set[str] = set()
    repeatable = [name for name in names if known[name].many]
    if number >= 3 and repeatable and rng.random() < _REPEATED_SHARE:
        name = repeatable[0]
        names.remove(name)
        groups.add(known[name].like)
        first = _draw(rng, furniture[name], tinted)
        same = rng.random() < _SAME_MODEL_SHARE
        chosen = [
            first if same else _draw(rng, furniture[name], tinted)
            for _ in range(rng.randint(2, min(4, number - 1)))
        ]
    for name in names:
        if len(chosen) >= number:
            break
        if known[name].like and known[name].like in groups:
            continue
        groups.add(known[name].like)
        chosen.append(_draw(rng, furniture[name], tinted))
    return chosen


def _draw(
    rng: random.Random, models: Sequence[Furniture], tinted: float
) -> tuple[Furniture, tuple[float, float]]:
    model = rng.choice(models)
    if not labels()[model.label].tint or rng.random() >= tinted:
        return model, (0.0, 1.0)
    return model, (rng.uniform(0, 360), rng.uniform(0.75, 1.25))


def _place(model: Furniture) -> str:
    return labels()[model.label].place


def _find_spot(
    rng: random.Random,
    model: Furniture,
    tint: tuple[float, float],
    sides: tuple[float, float],
    placed: Sequence[Placed],
) -> Placed | None:
    """The piece in a place where it meets nothing; None if none was found."""
    tables = [piece for piece in placed if piece.furniture.label in ("table", "desk")]
    seat = labels()[model.label].like == "seat"
    at_table = bool(tables) and seat and rng.random() < 0.7
    for attempt in range(_TRIES):
        if _place(model) == "top" and attempt < _TRIES // 2:
            spot = _on_top(rng, model, tint, placed)
        elif at_table and attempt < _TRIES // 2:
            spot = _at_table(rng, model, tint, rng.choice(tables))
        elif _place(model) == "wall" or model.elevation > 0:
            spot = _at_wall(rng, model, tint, sides)
        else:
            spot = _anywhere(rng, model, tint, sides)
        if spot is not None and _inside(spot, sides) and not any(_meet(spot, other) for other in placed):
            return spot
    return None


def _at_wall(
    rng: random.Random, model: Furniture, tint: tuple[float, float], sides: tuple[float, float]
) -> Placed | None:
    heading = rng.choice((0.0, 90.0, 180.0, 270.0))
    along_x = heading in (0.0, 180.0)
    length, reach = sides if along_x else sides[::-1]
    free = length / 2 - model.width / 2 - CLEARANCE
    if free < 0:
        return None
    along, away = rng.uniform(-free, free), reach / 2 - model.depth / 2 - 0.02
    if heading == 0.0:
        x, y = along, away
    elif heading == 180.0:
        x, y = along, -away
    else:
        x, y = (-away if heading == 90.0 else away), along
    return Placed(model, x, y, model.elevation, heading, tint)


def _anywhere(
    rng: random.Random, model: Furniture, tint: tuple[float, float], sides: tuple[float, float]
) -> Placed:
    x, y = (rng.uniform(-0.5, 0.5) * side for side in sides)
    heading = rng.choice((0.0, 90.0, 180.0, 270.0)) if rng.random() < 0.4 else rng.uniform(0, 360)
    return Placed(model, x, y, model.elevation, heading, tint)


def _at_table(rng: random.Random, model: Furniture, tint: tuple[float, float], table: Placed) -> Placed:
    """In front of one of the table's four sides, facing it; a desk has only its front."""
    turn = table.heading + (0 if table.furniture.label == "desk" else rng.choice((0, 90, 180, 270)))
    sideways = (turn - table.heading) % 180 == 90
    length, reach = table.furniture.width, table.furniture.depth
    if sideways:
        length, reach = reach, length
    out_x, out_y = math.sin(math.radians(turn)), -math.cos(math.radians(turn))
    away = reach / 2 + model.depth / 2 + CLEARANCE + rng.uniform(0.01, 0.2)
    along = rng.uniform(-0.35, 0.35) * length
    x, y = table.x + out_x * away - out_y * along, table.y + out_y * away + out_x * along
    return Placed(model, x, y, model.elevation, (turn + 180 + rng.uniform(-12, 12)) % 360, tint)


def _on_top(
    rng: random.Random, model: Furniture, tint: tuple[float, float], placed: Sequence[Placed]
) -> Placed | None:
    """On a piece that carries things and is large and low enough."""
    fit = [
        piece
        for piece in placed
        if piece.furniture.top is not None
        and labels()[piece.furniture.label].like in ("table", "cabinet")
        and 0.3 < piece.furniture.top < 1.3
        and piece.furniture.top > piece.furniture.height - 0.15
        and min(piece.furniture.width, piece.furniture.depth) > max(model.width, model.depth)
    ]
    if not fit:
        return None
    below = rng.choice(fit)
    assert below.furniture.top is not None
    across = (below.furniture.width - model.width) / 2 * rng.uniform(-0.9, 0.9)
    front_x, front_y = below.front
    x, y = below.x - front_y * across, below.y + front_x * across
    return Placed(model, x, y, below.z + below.furniture.top, below.heading, tint)


def _inside(spot: Placed, sides: tuple[float, float]) -> bool:
    return bool(np.all(np.abs(spot.corners()) <= np.array(sides) / 2 - 0.01))


def _meet(one: Placed, other: Placed) -> bool:
    """Whether two pieces are too near each other: they overlap in height, and their footprints meet."""
    if min(one.z + one.furniture.height, other.z + other.furniture.height) <= max(one.z, other.z) + 1e-6:
        return False
    a, b = one.corners(CLEARANCE / 2), other.corners(CLEARANCE / 2)
    for corners in (a, b):  # two convex shapes are apart if a side of one of them parts them
        for index in range(2):
            axis = corners[index + 1] - corners[index]
            shadow_a, shadow_b = a @ axis, b @ axis
            if shadow_a.max() <= shadow_b.min() or shadow_b.max() <= shadow_a.min():
                return False
    return True


def _near_wall(angle: float, sides: tuple[float, float], margin: float) -> tuple[float, float]:
    """The point in that direction from the middle, `margin` away from the wall."""
    x, y = math.cos(angle), math.sin(angle)
    scale = min(
        (side / 2 - margin) / max(abs(value), 1e-9) for side, value in zip(sides, (x, y), strict=True)
    )
    return x * scale, y * scale


def _blocks(piece: Placed, x: float, y: float) -> bool:
    """Whether a camera at (x, y) would have the piece right before its eye."""
    height = piece.z + piece.furniture.height
    if height < 0.7:
        return False
    turn = math.radians(piece.heading)
    dx, dy = x - piece.x, y - piece.y
    across = abs(dx * math.cos(turn) + dy * math.sin(turn)) - piece.furniture.width / 2
    along = abs(-dx * math.sin(turn) + dy * math.cos(turn)) - piece.furniture.depth / 2
    return math.hypot(max(across, 0), max(along, 0)) < (_NEAR_CAMERA if height > 1.1 else _NEAR_CAMERA / 2)
