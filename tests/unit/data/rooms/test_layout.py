"""Furnished rooms: nothing overlaps, nothing sticks out, and cameras see into the room."""

import itertools
import math
import random

import numpy as np
import pytest

from oryx.data.rooms.catalogue import labels
from oryx.data.rooms.layout import ROOM_HEIGHT, furnish, place_cameras
from oryx.data.rooms.scene import group_by_label

SEEDS = range(60)


@pytest.fixture(scope="module")
def rooms(furniture):
    groups = group_by_label(furniture)
    return [furnish(random.Random(seed), groups, (4, 8), 0.5) for seed in SEEDS]


def points_of(piece):
    """(N, 2): a grid of points all over the footprint."""
    turn = math.radians(piece.heading)
    x, y = np.meshgrid(
        np.linspace(-0.5, 0.5, 15) * piece.furniture.width,
        np.linspace(-0.5, 0.5, 15) * piece.furniture.depth,
    )
    east = piece.x + x * math.cos(turn) - y * math.sin(turn)
    north = piece.y + x * math.sin(turn) + y * math.cos(turn)
    return np.stack((east.ravel(), north.ravel()), 1)


def holds(piece, points):
    """Which of the points lie on the footprint."""
    turn = math.radians(piece.heading)
    dx, dy = points[:, 0] - piece.x, points[:, 1] - piece.y
    across = np.abs(dx * math.cos(turn) + dy * math.sin(turn))
    along = np.abs(dy * math.cos(turn) - dx * math.sin(turn))
    return (across < piece.furniture.width / 2) & (along < piece.furniture.depth / 2)


def test_no_two_pieces_are_in_one_place(rooms):
    pairs = 0
    for room in rooms:
        for one, other in itertools.permutations(room.placed, 2):
            level = max(one.z, other.z) < min(one.z + one.furniture.height, other.z + other.furniture.height)
            if level - 1e-6 > 0:
                pairs += 1
                assert not holds(one, points_of(other)).any(), (one, other)
    assert pairs > 500


def test_all_stands_inside_of_the_room(rooms):
    for room in rooms:
        assert room.placed
        for piece in room.placed:
            assert (np.abs(points_of(piece)) <= np.array(room.sides) / 2).all()
            assert 0 <= piece.z <= piece.z + piece.furniture.height < ROOM_HEIGHT


def test_rooms_hold_several_of_a_name_and_no_two_names_that_are_mistaken(rooms):
    several = 0
    for room in rooms:
        names = [piece.furniture.label for piece in room.placed]
        groups = [labels()[name].like for name in set(names) if labels()[name].like]
        assert len(groups) == len(set(groups))
        several += len(names) > len(set(names))
        for name in set(names):
            assert names.count(name) == 1 or labels()[name].many
    assert several > len(rooms) / 2


def test_lamps_stand_on_tables_or_on_the_floor(rooms):
    heights = {round(p.z, 3) for room in rooms for p in room.placed if p.furniture.label == "lamp"}
    assert 0.72 in heights
    assert heights <= {0.0, 0.72}
    for room in rooms:
        tables = [p for p in room.placed if p.furniture.label == "table"]
        for lamp in (p for p in room.placed if p.furniture.label == "lamp" and p.z > 0):
            assert any(holds(table, np.array([[lamp.x, lamp.y]])).all() for table in tables)


def test_wardrobes_have_their_backs_to_a_wall(rooms):
    found = 0
    for room in rooms:
        for piece in (p for p in room.placed if p.furniture.label == "wardrobe"):
            found += 1
            back = piece.x - piece.front[0] * piece.furniture.depth / 2
            behind = piece.y - piece.front[1] * piece.furniture.depth / 2
            gap = min(room.sides[0] / 2 - abs(back), room.sides[1] / 2 - abs(behind))
            assert 0 <= gap < 0.05
    assert found > 10


def test_cameras_stand_in_the_room_beside_the_furniture_and_look_across_it(rooms):
    for seed, room in enumerate(rooms):
        cameras = place_cameras(random.Random(seed), room, 6)
        assert len(cameras) == 6
        for camera in cameras:
            x, y, z = camera.position
            assert abs(x) < room.sides[0] / 2
            assert abs(y) < room.sides[1] / 2
            assert 1.3 < z < 2.0
            right, down, forward = camera.axes()
            assert np.allclose(camera.axes() @ camera.axes().T, np.eye(3))
            assert abs(right[2]) < 1e-9  # level
            assert down[2] < 0
            assert forward[2] < 0


def test_the_same_seed_furnishes_the_same_room(furniture):
    groups = group_by_label(furniture)
    one, same, other = (furnish(random.Random(seed), groups, (4, 8), 0.5) for seed in (1, 1, 2))
    assert one == same != other
