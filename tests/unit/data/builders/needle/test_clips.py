"""Which files, which stretch, which frames: by the seed alone, and no more decoded than needed."""

import io
import random

import numpy as np
import pytest
from PIL import Image

from oryx.data.builders import video_frames
from oryx.data.builders.needle import clips
from oryx.data.builders.needle.clips import UnsuitableError, VideoFolder, choose_clip_frames, read_clip
from oryx.data.builders.needle.settings import NeedleSettings
from oryx.errors import MediaError
from oryx.media.probe import probe_video
from oryx.media.sampling import VideoInfo
from oryx.media.timeline import Timeline
from oryx.media.video import Clip

SETTINGS = NeedleSettings(frames=(20, 30), min_step=0.25)


def info_of(num_frames=1000, fps=10.0, keyframes=None):
    keys = np.arange(0, num_frames, 250) if keyframes is None else np.array(keyframes)
    timeline = Timeline(num_frames, np.arange(num_frames), keys, 1 / fps)
    return VideoInfo(48, 64, num_frames, fps, num_frames / fps, codec="h264", timeline=timeline)


@pytest.mark.parametrize("seed", range(20))
def test_frames_are_spread_evenly_over_a_stretch(seed):
    chosen = choose_clip_frames(info_of(), SETTINGS, random.Random(seed))
    assert 20 <= len(chosen) <= 30
    steps = np.diff(chosen)
    assert steps.min() >= 2  # of 0.25 s at 10 frames a second, rounded
    assert steps.max() - steps.min() <= 1
    assert chosen[0] >= 0
    assert chosen[-1] < 1000


def test_stretches_and_numbers_of_frames_vary():
    drawn = [choose_clip_frames(info_of(), SETTINGS, random.Random(seed)) for seed in range(40)]
    assert len({len(chosen) for chosen in drawn}) > 5
    lengths = [chosen[-1] - chosen[0] for chosen in drawn]
    assert min(lengths) < 300 < 700 < max(lengths)


def test_keyframes_are_taken_where_there_are_enough():
    keyframes = range(0, 1000, 5)
    for seed in range(20):
        chosen = choose_clip_frames(info_of(keyframes=keyframes), SETTINGS, random.Random(seed))
        assert len(chosen) >= 20
        if chosen[-1] - chosen[0] > 200:  # else the wanted frames lie nearer together than keyframes
            assert all(rank % 5 == 0 for rank in chosen)


def test_a_short_video_or_a_slide_show_is_unsuitable():
    with pytest.raises(UnsuitableError, match=r"room for 19 frames 0\.25 s apart \(4\.9 s\); 20 are needed"):
        choose_clip_frames(info_of(num_frames=49), SETTINGS, random.Random(0))
    times = np.arange(25) * 1000
    slides = VideoInfo(48, 64, 25, 0.01, 2500.0, timeline=Timeline(25, times, np.array([0]), 0.1))
    few = NeedleSettings(frames=(25, 25), min_step=1)
    with pytest.raises(UnsuitableError, match="different frames"):
        choose_clip_frames(slides, few, random.Random(0))


def test_read_frames_are_small_jpegs_in_order(film):
    path = film("a.mp4", (20, 30))
    settings = NeedleSettings(frames=(8, 8), max_pixels=32 * 40)
    made = read_clip(path, probe_video(path), [3, 17, 25, 40], settings)
    assert made.times == pytest.approx([3 / 8, 17 / 8, 25 / 8, 5.0])
    pictures = [Image.open(io.BytesIO(jpeg)) for jpeg in made.jpegs]
    assert {picture.format for picture in pictures} == {"JPEG"}
    assert all(picture.height * picture.width <= 32 * 40 for picture in pictures)
    red = [np.asarray(picture).mean(axis=(0, 1)).argmax() for picture in pictures]
    assert red == [0, 0, 1, 1]  # the first scene is red, the second green


def test_only_keyframes_are_decoded_where_only_they_are_wanted(film, monkeypatch):
    path = film("a.mp4", (40, 40))
    info = probe_video(path)
    keyframes = info.timeline.keyframes.tolist()
    assert len(keyframes) >= 5
    made = []

    def remember(*args):
        made.append(args)
        return Clip(*args)

    monkeypatch.setattr(video_frames, "Clip", remember)
    read_clip(path, info, keyframes, SETTINGS)
    read_clip(path, info, [1, 2], SETTINGS)
    assert [args[-1] for args in made] == [True, False]


def test_a_folder_gives_every_file_once_a_round(film):
    for name in ("b.mp4", "a.mp4", "inner/c.mkv"):
        film(name, (30,))
    folder = film("a.mp4", (30,)).parent
    (folder / ".hidden").write_text("x")
    source = VideoFolder(folder, 0)
    assert source.names == ["a.mp4", "b.mp4", "inner/c.mkv"]
    rounds = [[source.draw(3 * turn + place) for place in range(3)] for turn in range(6)]
    assert all(sorted(drawn) == source.names for drawn in rounds)
    assert len({tuple(drawn) for drawn in rounds}) > 1
    assert [VideoFolder(folder, 0).draw(number) for number in range(3)] == rounds[0]


def test_the_same_clip_again(film):
    source, again = (VideoFolder(film().parent, 0) for _ in range(2))
    first, second = source.read(5, SETTINGS), again.read(5, SETTINGS)
    assert first.jpegs == second.jpegs
    assert first.times == second.times
    assert source.read(6, SETTINGS).times != first.times


def test_what_is_no_video_is_opened_once(film, monkeypatch):
    folder = film().parent
    (folder / "a.mp4").write_text("no video")
    source = VideoFolder(folder, 0)
    for number in range(2):
        with pytest.raises(UnsuitableError, match="not a video"):
            source.read(number, SETTINGS)
        monkeypatch.setattr(clips, "probe_exact", None)
    assert list(source.unusable) == ["a.mp4"]


def test_an_animation_is_a_video_too(tmp_path):
    rng = np.random.default_rng(0)
    frames = [Image.fromarray(rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)) for _ in range(30)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:], duration=300)
    made = VideoFolder(tmp_path, 0).read(0, SETTINGS)
    assert len(made.jpegs) == len(made.looks) == len(made.times) >= 20


@pytest.mark.parametrize("problem", ["does not exist", "is not a folder", "is empty"])
def test_folders_that_cannot_be(tmp_path, problem):
    path = tmp_path / "x"
    if problem == "is not a folder":
        path.write_text("")
    if problem == "is empty":
        path.mkdir()
    with pytest.raises(MediaError, match=problem):
        VideoFolder(path, 0)
