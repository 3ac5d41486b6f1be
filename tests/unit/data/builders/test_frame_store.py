"""Frames come back as they were kept, and what a kill left half done is overwritten."""

import pytest

from oryx.data.builders.frame_store import FolderStore, PatchStore, make_store, read_frame
from oryx.errors import ConfigError

CLIPS = [[b"a", b"bb", b"ccc"], [b"dddd", b"e"]]


def test_a_patch_is_the_published_layout(tmp_path):
    store = PatchStore(tmp_path, [])
    places = [store.write(number, frames) for number, frames in enumerate(CLIPS)]
    assert places == [
        {"patch": "patches/patch_00000", "start_num": 0, "size": [1, 2, 3]},
        {"patch": "patches/patch_00000", "start_num": 6, "size": [4, 1]},
    ]
    assert (tmp_path / "patches/patch_00000").read_bytes() == b"abbcccdddde"
    assert [store.read(places[0], index) for index in range(3)] == CLIPS[0]
    assert [store.read(places[1], index) for index in range(2)] == CLIPS[1]


def test_a_full_patch_is_followed_by_another(tmp_path):
    store = PatchStore(tmp_path, [], limit=6)
    places = [store.write(number, CLIPS[0]) for number in range(3)]
    assert [place["patch"][-5:] for place in places] == ["00000", "00001", "00002"]
    later = PatchStore(tmp_path, places, limit=6)
    assert later.write(3, CLIPS[1])["patch"].endswith("00003")


def test_a_torn_clip_is_overwritten(tmp_path):
    store = PatchStore(tmp_path, [])
    place = store.write(0, CLIPS[0])
    store.write(1, CLIPS[1])  # never recorded
    again = PatchStore(tmp_path, [place])
    assert again.write(1, [b"x"]) == {"patch": "patches/patch_00000", "start_num": 6, "size": [1]}
    assert (tmp_path / "patches/patch_00000").read_bytes() == b"abbcccx"


@pytest.mark.parametrize("left", [None, b"abb"])
def test_a_patch_that_is_gone_is_not_filled_up_with_zeros(tmp_path, left):
    place = PatchStore(tmp_path, []).write(0, CLIPS[0])
    patch = tmp_path / place["patch"]
    patch.unlink()
    if left is not None:
        patch.write_bytes(left)
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"frames of an earlier run are gone .*patch_00000"):
            PatchStore(tmp_path, [place]).write(1, CLIPS[1])
    assert (patch.read_bytes() if patch.exists() else None) == left


def test_a_folder_for_each_clip(tmp_path):
    store = FolderStore(tmp_path)
    place = store.write(12, CLIPS[0])
    assert place == "frames/clip_000012"
    assert [path.name for path in sorted((tmp_path / place).iterdir())] == [
        "000000.jpg",
        "000001.jpg",
        "000002.jpg",
    ]
    assert store.read(place, 2) == b"ccc"
    store.write(12, CLIPS[1])
    assert len(list((tmp_path / place).iterdir())) == 2
    assert [path.name for path in (tmp_path / "frames").iterdir()] == ["clip_000012"]


def test_frames_that_are_gone_are_said_to_be(tmp_path):
    store = make_store(tmp_path, "patch")
    place = store.write(0, CLIPS[0])
    (tmp_path / place["patch"]).write_bytes(b"")
    with pytest.raises(ConfigError, match="are gone"):
        read_frame(store, place, 0)
    (tmp_path / place["patch"]).unlink()
    with pytest.raises(ConfigError, match="are gone"):
        read_frame(store, place, 0)
    assert isinstance(make_store(tmp_path, "folder"), FolderStore)
