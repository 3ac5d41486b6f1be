"""What goes wrong with videos: no hang, no thread or file left behind, and a sentence that says why."""

import gc
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from oryx.errors import MediaError
from oryx.media import parallel, probe
from oryx.media.video import open_clip, probe_video
from oryx.processing.geometry import ResizeRule
from oryx.processing.visuals import open_visual

LIVE = "a live stream has no end, so it needs a limit: record a part of it to a file first"


@pytest.fixture(autouse=True)
def nothing_is_left():
    gc.freeze()  # what other tests left stays, and is not looked through again: that takes a second
    files, threads = set(os.listdir("/proc/self/fd")), set(threading.enumerate())
    yield
    gc.collect()
    gc.unfreeze()
    assert len(os.listdir("/proc/self/fd")) == len(files)
    assert set(threading.enumerate()) <= threads


@pytest.fixture(params=[1, 3])
def workers(request, monkeypatch) -> int:
    monkeypatch.setattr("oryx.media.video.num_workers", lambda num_stretches: request.param)
    return request.param


@pytest.mark.parametrize(
    "source",
    ["rtsp://camera/1", "udp://239.0.0.1:1234", "http://host/live.m3u8", "-", "/dev/zero", "fifo"],
)
def test_a_live_stream_is_refused_at_once(source: str, tmp_path: Path):
    if source == "fifo":
        source = str(tmp_path / "fifo")
        os.mkfifo(source)  # to open it would wait for a writer
    for function in (probe_video, open_clip, lambda path: open_visual({"video": path}, ResizeRule())):
        with pytest.raises(MediaError) as error:
            function(source)
        assert LIVE in str(error.value)
        assert source in str(error.value)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a.gif"])
@pytest.mark.parametrize("keyframes", [False, True])
@pytest.mark.parametrize("taken", [0, 1, 3])
def test_an_iterator_closed_early_leaves_nothing(name, keyframes, taken, workers, make_video, make_animation):
    if name == "a.gif" and keyframes:
        pytest.skip("an animation has no keyframes")
    path = make_animation(name, 30) if name == "a.gif" else make_video(name, num_frames=100)
    frames = open_clip(path, 5, keyframes=keyframes).frames
    for _ in range(taken):
        next(frames)
    frames.close()
    visual = {"video": str(path), "keyframes": keyframes, "max_frames": 5}
    views = open_visual(visual, ResizeRule()).views
    for _ in range(taken):
        next(views)
    views.close()


def test_an_error_in_the_middle_leaves_nothing(workers, make_video, monkeypatch):
    path = make_video(num_frames=100)
    real = parallel.decode_stretch

    def fail(container, stream, timeline, start, ranks):
        if start > 40:
            raise RuntimeError("in the middle")
        yield from real(container, stream, timeline, start, ranks)

    monkeypatch.setattr(parallel, "decode_stretch", fail)
    monkeypatch.setattr("oryx.media.decode.decode_stretch", fail)
    seen = []
    with pytest.raises(RuntimeError, match="in the middle"):
        seen.extend(frame.index for frame in open_clip(path, 5).frames)
    assert seen == [0, 24]


@pytest.mark.parametrize("keyframes", [False, True])
def test_a_file_that_goes_away_is_one_sentence(keyframes, workers, make_video):
    path = make_video(num_frames=100)
    clip = open_clip(path, 5, keyframes=keyframes)
    path.unlink()
    with pytest.raises(MediaError, match="does not exist"):
        list(clip.frames)


@pytest.mark.parametrize("name", ["hole.mp4", "hole.mkv", "hole.ts"])
@pytest.mark.parametrize("keyframes", [False, True])
def test_a_corrupt_stretch_keeps_the_number_of_frames(name, keyframes, workers, make_video, read_number):
    path = make_video(name, num_frames=100)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = np.random.default_rng(0).bytes(3000)
    path.write_bytes(data)
    clip = open_clip(path, 10, keyframes=keyframes)
    frames = list(clip.frames)
    assert len(frames) == clip.num_frames
    # A container may lose whole packets in the hole: the frames behind it keep their times.
    for frame in (frames[0], frames[-1]):
        assert read_number(frame.image) == round(10 * frame.time)


@pytest.mark.parametrize("name", ["grows.ts", "grows.mkv", "grows.h264"])
def test_a_file_that_grows_gives_what_was_there_when_it_was_opened(name, workers, make_video, read_number):
    path = make_video(name, num_frames=100)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    clip = open_clip(path, 6)
    with path.open("ab") as file:
        file.write(data[len(data) // 2 :])
    frames = list(clip.frames)
    assert [frame.index for frame in frames] == clip.indices
    assert [read_number(frame.image) for frame in frames[:-1]] == clip.indices[:-1]


def patch_duration(path: Path, tag: bytes, factor: float) -> None:
    """Multiply the durations in an MP4's headers (version 0) by a factor."""
    data = bytearray(path.read_bytes())
    place = data.index(tag) + 4 + {b"mvhd": 16, b"mdhd": 16, b"tkhd": 20}[tag]
    value = int.from_bytes(data[place : place + 4], "big")
    data[place : place + 4] = int(value * factor).to_bytes(4, "big")
    path.write_bytes(data)


@pytest.mark.parametrize("factor", [0.3, 5.0])
def test_a_duration_that_lies_changes_no_frame(factor, workers, make_video, read_number):
    path = make_video("lies.mp4", num_frames=60)
    for tag in (b"mvhd", b"mdhd", b"tkhd"):
        patch_duration(path, tag, factor)
    info = probe_video(path)
    assert (info.num_frames, info.fps) == (60, 10.0)
    assert [read_number(frame.image) for frame in open_clip(path, 5).frames] == [0, 14, 29, 44, 59]


def test_a_large_variable_rate_has_its_own_times(make_video, monkeypatch):
    monkeypatch.setattr(probe, "SCAN_BYTES", 0)
    times = [number * number * 10 for number in range(30)]
    clip = open_clip(make_video("vfr.mp4", num_frames=30, times_ms=times), 30)
    assert [round(1000 * time) for time in clip.times] == times
    assert [round(1000 * frame.time) for frame in clip.frames] == times
