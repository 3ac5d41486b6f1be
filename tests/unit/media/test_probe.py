"""A video is known from its header: exactly what its packets say, and nothing is decoded for it."""

import re
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from oryx.errors import MediaError
from oryx.media import probe
from oryx.media.container import open_container
from oryx.media.isobmff import read_tracks
from oryx.media.video import open_clip, probe_video

MP4_KINDS = {
    "plain.mp4": {},
    "front.mp4": {"movflags": "faststart"},
    "plain.mov": {},
    "open_gop.mp4": {"options": {"g": "12", "bf": "3", "x264-params": "open-gop=1"}},
    "no_b_frames.mp4": {"options": {"g": "12", "bf": "0"}},
    "mpeg4.mp4": {"codec": "mpeg4", "options": {"g": "12", "bf": "2"}},
    "vfr.mp4": {"times_ms": [number * number * 10 + 40 for number in range(60)]},
}


def same(one, other) -> bool:
    return np.array_equal(one.pts, other.pts) and np.array_equal(one.keyframes, other.keyframes)


@pytest.mark.parametrize("name", MP4_KINDS)
def test_the_table_of_an_mp4_equals_its_packets(name: str, make_video):
    path = make_video(name, num_frames=60, **MP4_KINDS[name])
    with open_container(path, header_only=True) as (container, stream):
        timeline, _, is_known = probe._read_header(path, container, stream)
    scanned = probe.scan_file(path)
    assert is_known
    assert timeline is not None
    assert same(timeline, scanned)
    assert timeline.time_base == scanned.time_base


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.webm"])
def test_nothing_is_decoded(name: str, make_video, monkeypatch):
    path = make_video(name, num_frames=30, codec="libvpx-vp9" if name == "a.webm" else "libx264")
    options = []
    real = av.open
    monkeypatch.setattr("oryx.media.container.av.open", lambda *a, **k: options.append(k) or real(*a, **k))
    monkeypatch.setattr(probe, "decode_all", None)
    info = probe_video(path)
    assert (info.height, info.width, info.num_frames) == (48, 64, 30)
    assert options[0]["options"]["skip_frame"] == "all"  # libav does not either


def test_an_mp4_that_is_played_in_parts_is_left_to_the_packets(make_video):
    path = make_video("fragments.mp4", num_frames=30, movflags="frag_keyframe+empty_moov")
    with path.open("rb") as file:
        (track,) = read_tracks(file)
    assert track.samples(path.stat().st_size) is None
    assert probe_video(path).num_frames == 30


def test_a_table_that_lists_more_than_is_there_is_not_believed(make_video):
    path = make_video("front.mp4", num_frames=60, movflags="faststart")
    size = path.stat().st_size
    with path.open("rb") as file:
        (track,) = read_tracks(file)
    assert track.samples(size) is not None
    assert track.samples(size - 1) is None


@pytest.mark.parametrize("keep", [8, 40, 200, 400])
def test_a_header_cut_or_garbled_anywhere_is_no_crash(keep: int, make_video, tmp_path: Path):
    data = make_video("front.mp4", num_frames=30, movflags="faststart").read_bytes()
    rng = np.random.default_rng(keep)
    for number in range(40):
        broken = bytearray(data)
        for place in rng.integers(0, 1500, 4):
            broken[place] = rng.integers(256)
        path = tmp_path / f"{number}.mp4"
        path.write_bytes(bytes(broken) if number % 2 else data[: keep + number])
        with path.open("rb") as file:
            for track in read_tracks(file):
                track.samples(len(broken))
        with suppress(MediaError):  # any other error fails the test
            probe_video(path)


@pytest.mark.parametrize("rate", [10, 25, 30])
def test_a_large_matroska_of_constant_rate_is_counted_from_its_index(rate: int, make_video, monkeypatch):
    path = make_video("even.mkv", num_frames=100, rate=rate)
    scanned = probe.scan_file(path)
    monkeypatch.setattr(probe, "SCAN_BYTES", 0)
    monkeypatch.setattr(probe, "scan_file", None)
    info = probe_video(path)
    assert info.timeline.is_predicted
    assert info.num_frames == 100
    assert np.abs(info.timeline.pts - scanned.pts).max() <= 1
    assert np.array_equal(info.timeline.keyframes, scanned.keyframes)
    assert np.array_equal(info.timeline.pts[scanned.keyframes], scanned.pts[scanned.keyframes])


def test_a_matroska_of_variable_rate_or_cut_off_is_read_through(make_video, monkeypatch, caplog):
    monkeypatch.setattr(probe, "SCAN_BYTES", 0)
    uneven = make_video("vfr.mkv", num_frames=60, times_ms=[number * number * 10 for number in range(60)])
    assert not probe_video(uneven).timeline.is_predicted
    cut = make_video("cut.mkv", num_frames=100)
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    assert not probe_video(cut).timeline.is_predicted
    assert "it may be cut off" in caplog.text


def test_a_matroska_counted_from_its_index_gives_exact_frames(make_video, read_number, monkeypatch):
    monkeypatch.setattr(probe, "SCAN_BYTES", 0)
    clip = open_clip(make_video("even.mkv", num_frames=100), 9)
    assert clip.info.timeline.is_predicted
    assert [read_number(frame.image) for frame in clip.frames] == clip.indices


@pytest.mark.parametrize("name", ["turned.mp4", "turned.mkv"])
@pytest.mark.parametrize("degrees", [90, 180, -90])
def test_a_turn_is_known_without_decoding(name: str, degrees: int, make_video, read_number, monkeypatch):
    if not hasattr(av.VideoStream, "set_display_rotation"):
        pytest.skip("this PyAV cannot write a display matrix")
    path = make_video(name, num_frames=12, rotation=degrees)  # counterclockwise
    monkeypatch.setattr(probe, "decode_all", None)
    info = probe_video(path)
    assert info.rotation == -degrees % 360
    for frame in open_clip(path, 3).frames:
        assert frame.image.size == (info.width, info.height)
        assert read_number(frame.image.rotate(-degrees, expand=True)) == frame.index


# A message of H.264 that says: turn by 90 degrees counterclockwise, until further notice.
TURN = b"\0\0\0\1\x06\x2f\x03\x08\x00\x09\x80"


@pytest.mark.parametrize("name", ["message.h264", "message.mkv", "message.ts"])
def test_a_turn_in_the_codecs_own_data_is_found_by_decoding_one_frame(name: str, make_video, tmp_path):
    data = make_video("given.h264", num_frames=6, options={"g": "3", "bf": "0"}).read_bytes()
    raw, path = tmp_path / "raw.h264", tmp_path / name
    raw.write_bytes(re.sub(rb"\x00{2,3}\x01(?=[\x65\x41\x61])", lambda start: TURN + start[0], data))
    with av.open(str(raw)) as given, av.open(str(path), "w") as container:
        stream = container.add_stream_from_template(given.streams.video[0])
        for number, packet in enumerate(packet for packet in given.demux(video=0) if packet.size):
            packet.stream, packet.time_base = stream, Fraction(1, 10)
            packet.pts = packet.dts = number
            container.mux(packet)
    info = probe_video(path)
    assert (info.height, info.width) == (64, 48)
    assert [frame.image.size for frame in open_clip(path).frames] == [(48, 64)] * 6


def test_a_sound_header_over_garbage_is_found_out_when_frames_are_read(make_video):
    path = make_video("garbage.mp4", num_frames=20)
    data = bytearray(path.read_bytes())
    begin = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4
    data[begin:end] = np.random.default_rng(0).bytes(end - begin)
    path.write_bytes(data)
    clip = open_clip(path, 4)  # planned from the header
    assert clip.num_frames == 4
    with pytest.raises(MediaError, match=r"garbage\.mp4' is damaged: 0 of 4 frames can be decoded"):
        list(clip.frames)
