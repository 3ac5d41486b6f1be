"""Drawn rooms: ids are exact, depth is in metres, and the record says what is seen."""

import dataclasses

import numpy as np
import pytest
from made_furniture import BOXES, write_catalogue
from PIL import Image, ImageDraw

from oryx.data.rooms.build import build_rooms
from oryx.data.rooms.catalogue import read_furniture
from oryx.data.rooms.render import FAR, Camera, Light, Renderer, Triangles
from oryx.data.rooms.scene import RoomSettings, draw_room, group_by_label
from oryx.data.rooms.store import RoomStore
from oryx.errors import MediaError

pytestmark = pytest.mark.usefixtures("can_draw")

HEIGHT, WIDTH = 48, 64
SETTINGS = RoomSettings(3, (3, 3), (5, 5), HEIGHT, WIDTH, 0, 0.5)


@pytest.fixture(scope="module")
def renderer(can_draw):
    return Renderer(HEIGHT, WIDTH)


def square(x, half, name, color):
    """Two triangles: an upright square across the x axis."""
    a, b, c, d = ((x, y * half, 1.5 + z * half) for y, z in ((-1, -1), (1, -1), (1, 1), (-1, 1)))
    points = np.array([(a, b, c), (a, c, d)], np.float32)
    normals = np.broadcast_to(np.array((-1, 0, 0), np.float32), (2, 3, 3))
    return Triangles(points, normals, np.array([color] * 2, np.uint8), np.array([name] * 2, np.uint8))


def test_ids_and_depth_of_squares_are_exact(renderer):
    camera = Camera((0, 0, 1.5), (1, 0, 1.5), 60.0)
    near, far = square(2.0, 0.4, 3, (200, 0, 0)), square(4.0, 1.5, 250, (0, 0, 200))
    both = Triangles(
        *(
            np.concatenate([getattr(near, field.name), getattr(far, field.name)])
            for field in dataclasses.fields(Triangles)
        )
    )
    (view,) = renderer.draw(both, [Light((0, 0, 2), (1, 1, 1))], [camera])
    assert set(np.unique(view.ids)) == {0, 3, 250}
    for name, square_of, metres in ((3, near, 2.0), (250, far, 4.0)):
        corners = camera.project(square_of.points.reshape(-1, 3), HEIGHT, WIDTH)
        low, high = corners[:, :2].min(0), corners[:, :2].max(0)
        ys, xs = np.nonzero(view.ids == name)
        # Pixels whose middles lie inside, to within one.
        assert np.abs([ys.min() - low[0], xs.min() - low[1]]).max() <= 1
        assert np.abs([ys.max() + 1 - high[0], xs.max() + 1 - high[1]]).max() <= 1
        assert np.allclose(view.depth[view.ids == name], metres, atol=0.02)
    assert (view.depth[view.ids == 0] > FAR * 0.99).all()
    red, blue = (np.asarray(view.image)[view.ids == name].mean(0) for name in (3, 250))
    assert red[0] > 5 * red[2]
    assert blue[2] > 5 * blue[0]


def test_depth_and_edges_are_those_of_the_middles_of_pixels(renderer):
    camera = Camera((0, 0, 1.5), (1, 0, 1.5), 45.0)
    intrinsics = camera.intrinsics(HEIGHT, WIDTH)
    ys, xs = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    right = (xs - intrinsics[0, 2]) / intrinsics[0, 0]
    down = (ys - intrinsics[1, 2]) / intrinsics[1, 1]
    # Walls x = 3.5 + y / 2 and x = 3.5 + z / 2: y points left, z up.
    for axis, along in ((1, -right), (2, -down)):
        wall = square(0.0, 9.0, 7, (200, 200, 200))
        wall.points[..., 0] = 3.5 + (wall.points[..., axis] - (1.5 if axis == 2 else 0.0)) / 2
        (view,) = renderer.draw(wall, [Light((0, 0, 2), (1, 1, 1))], [camera])
        assert (view.ids == 7).all()
        assert np.abs((view.depth - 3.5 / (1 - along / 2)).mean()) < 2e-4
    edges = []
    for shift in np.linspace(-0.04, 0.04, 33):
        box = square(2.0, 0.4, 3, (200, 0, 0))
        box.points[..., 1:] += shift
        (view,) = renderer.draw(box, [Light((0, 0, 2), (1, 1, 1))], [camera])
        low = camera.project(box.points.reshape(-1, 3), HEIGHT, WIDTH)[:, :2].min(0)
        edges.append([found.min() - place for found, place in zip(np.nonzero(view.ids), low)])
    assert np.abs(np.mean(edges, 0)).max() < 0.1  # a pixel whose middle is inside: half the time half outside


@pytest.fixture(scope="module")
def scenes(furniture, renderer):
    return [draw_room(index, SETTINGS, group_by_label(furniture), renderer) for index in range(3)]


def test_every_pixel_is_of_a_thing_of_the_record(scenes):
    for scene in scenes:
        known = {entry["id"] for entry in scene.record["objects"]}
        assert len(known) >= 3
        for entry, view in zip(scene.record["views"], scene.views, strict=True):
            shown = set(np.unique(view.ids).tolist()) - {0}
            assert shown <= known
            assert {int(name) for name in entry["seen"]} == shown
            assert (view.depth < FAR * 0.9).all()  # walls all around


def test_the_record_tells_what_the_ids_show(scenes):
    for scene in scenes:
        for entry, view in zip(scene.record["views"], scene.views, strict=True):
            for name, seen in entry["seen"].items():
                mask = view.ids == int(name)
                assert seen["area"] == mask.sum()
                assert mask[int(seen["center"][0]), int(seen["center"][1])]
                assert 0 <= seen["uncovered"] <= 1
                assert seen["nearest"] == pytest.approx(view.depth[mask].min(), abs=1e-3)


def test_boxes_are_where_the_record_says(scenes):
    """The mask of an uncovered box fills the outline of its eight corners, by pose and intrinsics."""
    checked = 0
    for scene in scenes:
        boxes = {str(entry["id"]): entry for entry in scene.record["objects"]}
        for entry, view in zip(scene.record["views"], scene.views, strict=True):
            pose, camera = np.array(entry["pose"]), np.array(entry["intrinsics"])
            for name, seen in entry["seen"].items():
                if seen["uncovered"] < 1:
                    continue
                outline = hull_mask((corners_of(boxes[name]) - pose[:3, 3]) @ pose[:3, :3] @ camera.T)
                mask = view.ids == int(name)
                overlap = (mask & outline).sum() / (mask | outline).sum()
                assert overlap > 0.8, (name, overlap)
                checked += 1
    assert checked >= 3


def corners_of(box):
    turn = np.radians(box["heading"])
    signs = np.array([(x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (0, 1)])
    local = signs * box["size"]
    matrix = np.array(((np.cos(turn), np.sin(turn), 0), (-np.sin(turn), np.cos(turn), 0), (0, 0, 1)))
    return local @ matrix + box["position"]


def hull_mask(projected):
    """(H, W): the convex outline of (8, 3) homogeneous points."""
    points = sorted({(x / z, y / z) for x, y, z in projected})

    def half(ordered):
        chain = []
        for point in ordered:
            while len(chain) > 1 and turn_of(chain[-2], chain[-1], point) <= 0:
                chain.pop()
            chain.append(point)
        return chain[:-1]

    image = Image.new("1", (WIDTH * 8, HEIGHT * 8))
    outline = half(points) + half(points[::-1])
    ImageDraw.Draw(image).polygon([(8 * x, 8 * y) for x, y in outline], fill=1)
    return np.asarray(image)[4::8, 4::8]


def turn_of(a, b, c):
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def test_a_store_of_drawn_rooms_is_the_same_every_time(tmp_path, furniture):
    for name in ("one", "two"):
        assert build_rooms(tmp_path / name, furniture, SETTINGS) == 3
    one, two = (RoomStore(tmp_path / name) for name in ("one", "two"))
    assert len(one) == 3
    for room in range(3):
        assert one[room]["objects"] == two[room]["objects"]
        assert np.array_equal(one.ids(room, 2), two.ids(room, 2))
        assert {entry["label"] for entry in one[room]["objects"]} <= set(one.labels)


def test_a_model_that_cannot_be_read_is_named(tmp_path, renderer):
    furniture = read_furniture([write_catalogue(tmp_path / "Bad.sh3f", BOXES[:1])])
    furniture = [dataclasses.replace(piece, member="boxes/gone.obj") for piece in furniture]
    with pytest.raises(MediaError, match=r"Bad\.sh3f: boxes/gone\.obj cannot be read as a model"):
        draw_room(0, dataclasses.replace(SETTINGS, num_objects=(1, 1)), group_by_label(furniture), renderer)
