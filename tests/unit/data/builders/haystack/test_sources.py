"""Frames of every kind of haystack: as many as asked for, of one size, and not kept."""

import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from oryx.data.builders.haystack.sources import open_haystack
from oryx.errors import ConfigError, MediaError


def grays(frames):
    return [round(float(np.asarray(frame).mean())) for frame in frames]


def test_drawn_frames_come_as_they_are_drawn(stand_in):
    stack = open_haystack("drawn", 0, 32, 48)
    frames = stack.frames(100_000_000)
    assert isinstance(frames, types.GeneratorType)
    first = [next(frames) for _ in range(3)]
    assert {frame.size for frame in first} == {(48, 32)}
    assert grays(first) == grays(open_haystack("drawn", 0, 32, 48).frames(3))
    assert grays(first) != grays(open_haystack("drawn", 1, 32, 48).frames(3))
    assert stack.name == "drawn 32x48, seed 0"
    stack.check(10**9)


def test_drawn_sizes_that_cannot_be():
    with pytest.raises(ConfigError, match="sides from 16 to 4096"):
        open_haystack("drawn", 0, 8, 32)


def test_frames_of_a_video_are_spread_evenly(graded):
    stack = open_haystack(str(graded()), 0, 0, 0)
    assert (stack.height, stack.width) == (32, 32)
    some = grays(stack.frames(20))
    assert len(some) == 20
    assert some == sorted(some)
    assert some[0] <= 25
    assert some[-1] >= 205
    assert len(set(grays(stack.frames(40)))) == 40
    with pytest.raises(MediaError, match="has 40 frames; 41 are needed"):
        stack.check(41)


def test_keyframes_will_do_where_there_are_enough(graded, monkeypatch):
    from oryx.data.builders import video_frames

    opened = []

    def remember(*args):
        opened.append(args)
        return Clip(*args)

    Clip = video_frames.Clip
    monkeypatch.setattr(video_frames, "Clip", remember)
    stack = open_haystack(str(graded()), 0, 0, 0)
    assert len(list(stack.frames(5))) == 5
    assert len(list(stack.frames(25))) == 25
    assert [args[-1] for args in opened] == [True, False]
    assert set(opened[0][3]) <= set(opened[0][5].timeline.keyframes.tolist())


def test_videos_of_a_folder_stand_one_after_the_other(graded, tmp_path):
    graded("films/b.mkv", 20, first=120, side=48)
    folder = graded("films/a.mp4", 20, first=20).parent
    (folder / "notes.txt").write_text("x")
    stack = open_haystack(str(folder), 0, 0, 0)
    frames = list(stack.frames(30))
    assert len(frames) == 30
    assert {frame.size for frame in frames} == {(32, 32)}  # of the first
    assert grays(frames) == sorted(grays(frames))
    assert len(list(stack.frames(40))) == 40


def test_a_folder_of_pictures(tmp_path):
    for number in range(12):
        size = (20, 30) if number else (30, 20)
        Image.new("RGB", size, (20 * number,) * 3).save(tmp_path / f"view{number}.png")
    stack = open_haystack(str(tmp_path), 0, 0, 0)
    frames = list(stack.frames(6))
    assert grays(frames) == [0, 40, 80, 120, 160, 220]
    assert {frame.size for frame in frames} == {(30, 20)}
    with pytest.raises(MediaError, match="has 12 frames"):
        list(stack.frames(13))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: None, "does not exist; allowed: drawn, a video, or a folder"),
        (lambda path: path.write_text("x"), "not a video"),
        (lambda path: path.mkdir(), "neither pictures nor videos"),
    ],
    ids=["missing", "text", "empty"],
)
def test_haystacks_that_cannot_be(tmp_path, make, sentence):
    make(tmp_path / "x")
    with pytest.raises(MediaError, match=sentence):
        open_haystack(str(tmp_path / "x"), 0, 0, 0)


def test_a_path_that_may_not_be_looked_at(tmp_path, monkeypatch):
    with pytest.raises(MediaError, match="File name too long"):
        open_haystack(str(tmp_path / ("x" * 300)), 0, 0, 0)

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)  # root may read everything
    with pytest.raises(MediaError, match="cannot be read"):
        open_haystack(str(tmp_path), 0, 0, 0)
