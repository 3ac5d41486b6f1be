"""Nearest-keyframe mode: known before decoding, equal to full decoding, and little is decoded."""

import av
import numpy as np
import pytest
from PIL import Image

from oryx.errors import ConfigError
from oryx.media import decode, probe
from oryx.media.timeline import Timeline
from oryx.media.video import open_clip


def decode_fully(path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("a.mp4", {}),
        ("a.mkv", {}),
        ("a.ts", {}),
        ("a.flv", {}),
        ("open_gop.mp4", {"options": {"g": "12", "bf": "3", "x264-params": "open-gop=1"}}),
        ("open_gop.ts", {"options": {"g": "12", "bf": "3", "x264-params": "open-gop=1"}}),
        ("refresh.ts", {"options": {"g": "12", "x264-params": "intra-refresh=1"}}),  # keyframes in parts
        ("vp9.webm", {"codec": "libvpx-vp9", "options": {"g": "20"}}),
        ("all.mp4", {"options": {"g": "1"}}),
        ("vfr.mkv", {"times_ms": [number * number * 10 for number in range(60)]}),
    ],
)
@pytest.mark.parametrize("max_frames", [3, 64])
def test_they_are_true_keyframes_with_their_own_times(name, settings, max_frames, make_video):
    path = make_video(name, num_frames=60, **settings)
    clip = open_clip(path, max_frames, keyframes=True)
    timeline = probe.scan_file(path)
    assert clip.keyframes
    assert 1 <= clip.num_frames <= max_frames
    assert set(clip.indices) <= set(timeline.keyframes.tolist())
    frames, expected = list(clip.frames), decode_fully(path)
    assert [frame.index for frame in frames] == clip.indices
    assert [frame.time for frame in frames] == pytest.approx(clip.times)
    assert clip.times == pytest.approx(timeline.times[clip.indices])
    for frame in frames:
        assert np.array_equal(np.asarray(frame.image), expected[frame.index])


def test_a_packet_for_each_is_all_that_is_decoded(make_video, monkeypatch):
    path = make_video(num_frames=200)
    fed = []
    real = decode._decode
    monkeypatch.setattr(decode, "_decode", lambda packet: fed.append(packet.pts) or real(packet))
    clip = open_clip(path, 8, keyframes=True)
    assert not fed
    assert len(list(clip.frames)) == clip.num_frames == len(fed)


def test_from_the_index_of_a_large_matroska_no_packet_is_scanned(make_video, read_number, monkeypatch):
    monkeypatch.setattr(probe, "SCAN_BYTES", 0)
    path = make_video("even.mkv", num_frames=100)
    monkeypatch.setattr(probe, "scan_file", None)
    monkeypatch.setattr("oryx.media.video.scan_file", None)
    clip = open_clip(path, 5, keyframes=True)
    assert [read_number(frame.image) for frame in clip.frames] == clip.indices


def test_the_nearest_is_taken_once():
    timeline = Timeline(10, np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 100]), np.array([0, 4, 9]))
    assert timeline.nearest_keyframes([0, 1, 2, 3]) == [0, 4]  # the tie of 2 goes to the earlier
    assert timeline.nearest_keyframes([2]) == [0]
    assert timeline.nearest_keyframes([8]) == [4]
    assert timeline.nearest_keyframes([9, 9]) == [9]


def test_without_times_the_exact_frames_are_read_and_that_is_said(make_video, read_number, caplog):
    clip = open_clip(make_video("a.avi", num_frames=30), 4, keyframes=True)
    assert not clip.keyframes
    assert [read_number(frame.image) for frame in clip.frames] == clip.indices == [0, 9, 19, 29]
    assert "keeps no times" in caplog.text


def test_what_has_no_keyframes_is_refused(make_animation, numbered, tmp_path):
    numbered(1).save(tmp_path / "one.png")
    for source in ([Image.new("RGB", (8, 8))], tmp_path, make_animation("a.gif")):
        with pytest.raises(ConfigError, match="keyframes=True needs a video file"):
            open_clip(source, keyframes=True)
