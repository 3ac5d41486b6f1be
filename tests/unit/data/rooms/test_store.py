"""Shards of rooms: any view is fetched out of them, and what is broken is named."""

import tarfile

import numpy as np
import pytest
from made_rooms import HEIGHT, WIDTH, make_room, random_room, write_rooms
from PIL import Image

from oryx.data.rooms.store import RoomStore, missing_shards, write_shard
from oryx.errors import ConfigError, MediaError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_rooms(tmp_path_factory.mktemp("rooms"), [random_room(number, 3) for number in range(4)])


def test_views_and_ids_come_back(folder):
    store = RoomStore(folder)
    assert len(store) == 4
    assert store.labels == sorted(store.labels)
    record = store[2]
    assert record["room"] == 2
    for view in range(3):
        picture, ids = store.view(2, view), store.ids(2, view)
        assert (picture.size, picture.mode) == ((WIDTH, HEIGHT), "RGB")
        assert {str(name) for name in np.unique(ids)} - {"0"} == set(record["views"][view]["seen"])


def test_shards_are_plain_tars_of_whole_rooms(folder):
    with tarfile.open(folder / "rooms-00000.tar") as tar:
        names = tar.getnames()
    assert names[:3] == ["000000000.json", "000000000.0.jpg", "000000000.0.ids.png"]
    assert {name.split(".")[0] for name in names} == {f"{number:09d}" for number in range(4)}


def test_depth_is_in_millimetres(folder):
    with tarfile.open(folder / "rooms-00000.tar") as tar:
        depth = np.asarray(Image.open(tar.extractfile("000000000.1.depth.png")))
    assert set(np.unique(depth)) == {2000}


def test_a_shard_that_fails_leaves_nothing(tmp_path):
    def rooms():
        yield random_room(0, 1)
        raise RuntimeError("cut")

    with pytest.raises(RuntimeError, match="cut"):
        write_shard(tmp_path, 0, rooms())
    assert list(tmp_path.iterdir()) == []
    assert missing_shards(tmp_path, 101) == [0, 1]
    write_shard(tmp_path, 1, iter([random_room(100, 1)]))
    assert missing_shards(tmp_path, 101) == [0]


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigError, match="holds no rooms; make them with: oryx data rooms"):
        RoomStore(tmp_path)
    record, files = make_room(0, ["chair"], [{1: (1, 1, 9, 9)}])
    files = [(name, data) for name, data in files if "depth" not in name]
    store = RoomStore(write_rooms(tmp_path / "a", [(record, [("0.jpg", b"no picture"), *files[1:]])]))
    with pytest.raises(MediaError, match=r"room 0 was stored without 0\.depth\.png"):
        store.read(0, "0.depth.png")
    with pytest.raises(MediaError, match=r"0\.jpg of room 0 is broken"):
        store.view(0, 0)
    (tmp_path / "a" / "rooms-00000.tar").unlink()
    with pytest.raises(MediaError, match="cannot be read"):
        store.ids(0, 0)
    (tmp_path / "a" / "settings.json").write_text("{")
    with pytest.raises(ConfigError, match="holds no readable rooms"):
        RoomStore(tmp_path / "a")
