"""The frames chosen are the frames given: by seeking as by full decoding, in every container and damage."""

import gc
import io
import logging
import os
import re
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, features

from oryx.errors import ConfigError, MediaError
from oryx.media import animation, decode, probe, video
from oryx.media.container import open_container
from oryx.media.rotation import transpose_of
from oryx.media.sampling import VideoInfo, choose_frames
from oryx.media.video import open_clip, probe_video, read_frames

needs_display_matrix = pytest.mark.skipif(
    not hasattr(av.VideoStream, "set_display_rotation"), reason="this PyAV cannot write a display matrix"
)


needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")


def decode_fully(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def count_open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def numbers(frames: Iterator[video.Frame], read_number) -> list[int]:
    return [read_number(frame.image) for frame in frames]


# Name of the file, settings of the encoder. Each is another way to order and find frames.
KINDS = {
    "b_frames.mp4": {},
    "b_frames.mkv": {},
    "b_frames.ts": {},
    "b_frames.mov": {},
    "b_frames.flv": {},
    "b_frames.avi": {},  # no presentation times: frames are counted
    "b_frames.h264": {},  # no times at all
    "open_gop.mp4": {"options": {"g": "12", "bf": "3", "x264-params": "open-gop=1"}},
    "refresh.mp4": {"options": {"g": "12", "x264-params": "intra-refresh=1"}},  # no clean keyframes
    "one_gop.mp4": {"options": {"g": "250", "bf": "3"}},
    "mpeg4.mp4": {"codec": "mpeg4", "options": {"g": "12", "bf": "2"}},
    "mpeg2.mpg": {"codec": "mpeg2video", "options": {"g": "12", "bf": "2"}, "rate": 25},
    "vp8.webm": {"codec": "libvpx"},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"g": "20", "auto-alt-ref": "1", "lag-in-frames": "16"}},
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=12:bframes=3"}},
    "vfr.mkv": {"times_ms": [number * number * 10 for number in range(60)]},
}


@pytest.mark.parametrize("name", KINDS)
def test_chosen_frames_equal_those_of_full_decoding(name: str, make_video, read_number, caplog):
    path = make_video(name, num_frames=60, **KINDS[name])
    expected = decode_fully(path)
    info = probe_video(path)
    assert (info.num_frames, info.height, info.width) == (60, 48, 64)
    for indices in ([0, 14, 29, 44, 59], [37], [58, 59], [11, 12, 13, 30], list(range(60))):
        frames = list(read_frames(path, indices))
        assert [frame.index for frame in frames] == indices
        for frame in frames:
            assert np.array_equal(np.asarray(frame.image), expected[frame.index]), f"frame {frame.index}"
            assert read_number(frame.image) == frame.index
    assert not caplog.records  # a whole file gives no reason to warn


def test_hidden_frames_of_vp8_do_not_count(make_video, read_number, tmp_path: Path):
    with av.open(str(make_video("vp8.webm", codec="libvpx", num_frames=20))) as given:
        packets = [packet for packet in given.demux(video=0) if packet.size]
        with av.open(str(tmp_path / "hidden.webm"), "w") as container:
            stream = container.add_stream_from_template(given.streams.video[0])
            for number, packet in enumerate(packets):
                data = bytearray(bytes(packet))
                data[0] &= 0xFF if number != 7 else ~0x10  # the bit that says that it is shown
                copy = av.Packet(bytes(data))
                copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
                copy.is_keyframe, copy.stream = packet.is_keyframe, stream
                container.mux(copy)
    clip = open_clip(tmp_path / "hidden.webm")
    assert numbers(clip.frames, read_number) == [number for number in range(20) if number != 7]


def test_a_clock_that_starts_anew_midway_is_not_relied_on(make_video, read_number):
    path = make_video("twice.ts", num_frames=40)
    path.write_bytes(path.read_bytes() * 2)
    frames = list(open_clip(path, 5).frames)
    assert [frame.index for frame in frames] == [0, 19, 39, 59, 79]
    assert [read_number(frame.image) for frame in frames] == [0, 19, 39, 19, 39]


def test_bytes_give_the_same_frames_as_the_path(make_video):
    path = make_video()
    of_path, of_bytes = open_clip(path, 5), open_clip(path.read_bytes(), 5)
    assert of_path.info == of_bytes.info
    for one, other in zip(of_path.frames, of_bytes.frames, strict=True):
        assert (one.index, one.time, one.image.tobytes()) == (other.index, other.time, other.image.tobytes())


def test_only_wanted_frames_are_converted_and_far_ones_are_sought(make_video, monkeypatch):
    path = make_video(num_frames=200)
    timeline = probe_video(path).timeline
    fed, converted = [], []
    original = decode._decode
    monkeypatch.setattr(decode, "_decode", lambda packet: fed.append(packet.pts) or original(packet))
    upright = video._upright
    monkeypatch.setattr(video, "_upright", lambda frame: converted.append(frame.pts) or upright(frame))
    assert [frame.index for frame in read_frames(path, [0, 100, 199])] == [0, 100, 199]
    assert converted == [timeline.pts[index] for index in (0, 100, 199)]
    assert len(fed) < 50


def test_times_follow_a_variable_frame_rate(make_video):
    times = [0, 100, 150, 1150, 1200, 3000, 3040, 4000]
    path = make_video("vfr.mkv", num_frames=8, times_ms=times)
    clip = open_clip(path, 8)
    assert [round(frame.time * 1000) for frame in clip.frames] == times
    assert [round(time * 1000) for time in clip.times] == times
    # The frame that is shown at 0, 1, 2, 3, 4 seconds.
    assert choose_frames(clip.info, fps=1) == [0, 2, 4, 5, 7]


def test_times_begin_at_zero_where_the_stream_does_not(make_video):
    clip = open_clip(make_video("late.ts", num_frames=20), 2)
    assert clip.times == pytest.approx([0.0, 1.9])
    assert [frame.time for frame in clip.frames] == pytest.approx([0.0, 1.9])


@needs_display_matrix
@pytest.mark.parametrize(("degrees", "clockwise"), [(0, 0), (90, 270), (180, 180), (-90, 90)])
def test_rotation_is_applied(degrees: int, clockwise: int, make_video, read_number):
    path = make_video("turned.mp4", num_frames=20, rotation=degrees)  # counterclockwise
    info = probe_video(path)
    assert info.rotation == clockwise
    assert (info.height, info.width) == ((48, 64) if clockwise in (0, 180) else (64, 48))
    for frame in open_clip(path, 3).frames:
        assert frame.image.size == (info.width, info.height)
        assert read_number(frame.image.rotate(-degrees, expand=True)) == frame.index


def test_a_mirrored_matrix_is_understood(monkeypatch):
    monkeypatch.setattr("oryx.media.rotation.SideDataContainer", lambda frame: frame.side_data)

    class Stub:
        def __init__(self, *abcd: int):
            a, b, c, d = (value * 65536 for value in abcd)
            matrix = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], dtype=np.int32)
            self.side_data = {"DISPLAYMATRIX": matrix.tobytes()}

    assert transpose_of(Stub(1, 0, 0, 1)) is None
    assert transpose_of(Stub(-1, 0, 0, 1)) is Image.Transpose.FLIP_LEFT_RIGHT
    assert transpose_of(Stub(0, 1, -1, 0)) is Image.Transpose.ROTATE_270
    assert transpose_of(Stub(0, 1, 1, 0)) is Image.Transpose.TRANSPOSE


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", pytest.param("a.avif", marks=needs_avif)])
def test_animated_pictures_are_videos(name: str, make_animation, read_number, caplog):
    path = make_animation(name, num_frames=6, duration=[50, 100, 150, 200, 100, 100])
    clip = open_clip(path, 4)
    assert (clip.height, clip.width, clip.num_frames) == (48, 64, 4)
    assert clip.indices == [0, 1, 3, 5]
    frames = list(clip.frames)
    assert [read_number(frame.image) for frame in frames] == [0, 1, 3, 5]
    assert [frame.time for frame in frames] == clip.times == pytest.approx([0.0, 0.05, 0.3, 0.6])
    assert clip.info.duration == pytest.approx(0.7)
    assert not caplog.records


def test_an_avif_is_left_to_libav_where_pillow_reads_none(monkeypatch):
    monkeypatch.setattr(animation.features, "check", lambda name: False)
    head = b"\0\0\0\x20ftypavis"
    assert not animation.is_animation(head)
    monkeypatch.setattr(animation.features, "check", lambda name: True)
    assert animation.is_animation(head)
    assert not animation.is_animation(b"\0\0\0\x20ftypisom")


@pytest.mark.parametrize(("name", "promise"), [("cut.gif", "the first"), ("cut.png", "of its 10 frames")])
@pytest.mark.parametrize("part", [0.5, 0.6])
def test_an_animation_cut_in_the_middle_gives_the_frames_before_the_cut(
    name, promise, part, make_animation, read_number, caplog
):
    path = make_animation(name, num_frames=10)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    clip = open_clip(path)
    assert 4 <= clip.num_frames <= 6
    assert numbers(clip.frames, read_number)[:4] == [0, 1, 2, 3]
    (record,) = caplog.records
    assert f"{name}' is cut off: only" in record.message
    assert promise in record.message


def test_an_animation_cut_in_its_first_frame(make_animation):
    path = make_animation("cut.gif", num_frames=10)
    path.write_bytes(path.read_bytes()[:900])  # inside the first frame
    with pytest.raises(MediaError, match="truncated or broken"):
        open_clip(path)


def test_a_gif_of_one_frame_is_a_clip_and_a_still_png_is_not(make_animation, tmp_path: Path):
    assert open_clip(make_animation("one.gif", num_frames=1)).num_frames == 1
    for name in ("one.png", "one.webp", "one.jpg"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
        with pytest.raises(MediaError, match=f"{name}.* is a still picture .* give it as an image"):
            open_clip(tmp_path / name)


def test_uniform_choice_follows_the_published_rule():
    info = VideoInfo(48, 64, num_frames=100, fps=10.0, duration=10.0)
    assert choose_frames(info, 7) == np.linspace(0, 99, 7, dtype=int).tolist()
    assert choose_frames(info, 1) == [0]
    assert choose_frames(info, 500) == list(range(100))


def test_choice_by_rate_is_capped():
    info = VideoInfo(48, 64, num_frames=100, fps=10.0, duration=10.0)
    assert choose_frames(info, 64, fps=1) == list(range(0, 100, 10))
    assert choose_frames(info, 64, fps=0.25) == [0, 40, 80]
    assert choose_frames(info, 64, fps=0.001) == [0]
    assert choose_frames(info, 5, fps=1) == choose_frames(info, 5)
    assert choose_frames(info, 200, fps=1000) == list(range(100))
    assert choose_frames(info, 64, fps=1e300) == choose_frames(info, 64)


@pytest.mark.parametrize("max_frames", [0, -1, 2.5, True, None, "4"])
def test_a_senseless_number_of_frames_is_refused(max_frames, make_video):
    with pytest.raises(ConfigError, match=r"max_frames is .* at least 1"):
        open_clip([Image.new("RGB", (4, 4))], max_frames)


@pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf"), "1", True])
def test_a_senseless_rate_is_refused(fps):
    with pytest.raises(ConfigError, match=r"fps is .* above 0"):
        choose_frames(VideoInfo(4, 4, 10, 1.0, 10.0), fps=fps)


@pytest.mark.parametrize("indices", [[], [-1, 2], [3, 1]])
def test_senseless_indices_are_refused(indices: list[int], make_video):
    with pytest.raises(ConfigError, match="frame indices"):
        read_frames(make_video(num_frames=4), indices)


def test_an_index_past_the_end_gives_the_last_frame(make_video, read_number, caplog):
    with caplog.at_level(logging.WARNING):
        frames = list(read_frames(make_video(num_frames=10), [4, 9, 30]))
    assert [frame.index for frame in frames] == [4, 9, 9]
    assert [read_number(frame.image) for frame in frames] == [4, 9, 9]
    assert "ends at frame 9" in caplog.text


@pytest.mark.parametrize(("name", "movflags"), [("cut.mp4", "faststart"), ("cut.ts", ""), ("cut.mkv", "")])
def test_a_video_cut_in_the_middle_gives_the_frames_before_the_cut(
    name: str, movflags: str, make_video, read_number, capfd, caplog
):
    path = make_video(name, num_frames=100, movflags=movflags)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2 + 1])  # + 1: not between two packets of MPEG-TS
    clip = open_clip(path, 8)
    assert 30 < clip.info.num_frames < 70
    frames = list(clip.frames)
    assert len(frames) == 8 == clip.num_frames
    assert [read_number(frame.image) for frame in frames[:-1]] == clip.indices[:-1]
    assert abs(read_number(frames[-1].image) - clip.indices[-1]) <= 4  # the cut may go through its packet
    assert capfd.readouterr().err == ""
    assert len(caplog.records) == 1
    assert "cut off" in caplog.text


@pytest.mark.parametrize(
    ("name", "settings", "sentence"),
    [
        ("cut.mkv", {}, r"shows no frame after \d\.\d of the 10\.0 seconds that its header promises"),
        ("cut.webm", {"codec": "libvpx"}, "seconds that its header promises"),
        ("cut.flv", {}, "its last packet is incomplete"),
        ("cut.ts", {}, "its last packet is incomplete"),
        ("cut.mxf", {"codec": "mpeg2video", "options": {"g": "12"}, "rate": 25}, "its header promises"),
        ("cut.h264", {}, "its last frame is damaged"),
    ],
)
def test_a_cut_is_told_where_no_number_of_frames_was_promised(
    name: str, settings, sentence, make_video, caplog, monkeypatch
):
    # With several threads libav now and then forgets to mark a damaged frame.
    monkeypatch.setattr(video, "open_container", lambda source, threads=False: open_container(source, False))
    path = make_video(name, num_frames=100, **settings)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2 + 1])
    list(open_clip(path, 8).frames)
    (record,) = caplog.records
    assert re.search(sentence, record.message)
    assert str(path) in record.message


def test_a_damaged_middle_keeps_the_number_of_frames(make_video, read_number, capfd):
    path = make_video("damaged.ts", num_frames=100)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4000] = bytes(4000)
    path.write_bytes(data)
    clip = open_clip(path, 64)
    frames = list(clip.frames)
    assert len(frames) == 64
    assert read_number(frames[0].image) == 0
    assert read_number(frames[-1].image) == 99
    assert capfd.readouterr().err == ""


def test_a_sound_header_is_believed_and_a_lying_one_is_not(make_video, monkeypatch):
    monkeypatch.setattr(probe, "SCAN_BYTES", 0)
    monkeypatch.setattr(probe, "tabled", lambda *given: None)
    path = make_video("sound.mp4", num_frames=100, movflags="faststart")
    info = probe_video(path)
    assert info.timeline is None
    assert (info.num_frames, info.fps, info.duration) == (100, 10.0, 10.0)
    expected = decode_fully(path)
    for frame in open_clip(path, 9).frames:
        assert np.array_equal(np.asarray(frame.image), expected[frame.index])
    path.write_bytes(path.read_bytes()[:-4000])
    assert probe_video(path).num_frames < 100
    uneven = make_video("uneven.mp4", num_frames=20, times_ms=[number**2 * 10 for number in range(20)])
    assert probe_video(uneven).timeline is not None


def write_sound_only(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_a_file_without_frames_is_one_sentence(tmp_path: Path, make_video, capfd):
    files = {
        "empty.mp4": b"",
        "text.mp4": b"this is a text, not a video\n" * 50,
        "subtitles.mp4": b"1\n00:00:01,000 --> 00:00:02,000\nHello\n",
        "playlist.mp4": b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:1/a.ts\n#EXT-X-ENDLIST\n",
        "noise.mp4": np.random.default_rng(0).bytes(5000),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    write_sound_only(tmp_path / "sound.mp4")
    no_frames = make_video("header.mp4", num_frames=0)
    no_index = make_video("no_index.mp4", num_frames=50)
    no_index.write_bytes(no_index.read_bytes()[:-3000])  # its index stands at the end
    paths = [*(tmp_path / name for name in files), tmp_path / "sound.mp4", no_frames, no_index]
    reasons = {
        "empty.mp4": r"0 bytes",
        "sound.mp4": "sound but no picture",
        "header.mp4": "no (frame|picture)",
    }
    for path in [*paths, tmp_path / "missing.mp4"]:
        for function in (probe_video, open_clip):
            with pytest.raises(MediaError, match=reasons.get(path.name)) as error:
                function(path)
            assert str(path) in str(error.value)
            assert "\n" not in str(error.value)
    with pytest.raises(MediaError, match="a video must be given as a path"):
        probe_video(3)
    with pytest.raises(MediaError, match="views must be a folder"):
        open_clip(3)
    assert capfd.readouterr().err == ""


def test_a_list_is_used_as_it_is(numbered, read_number, tmp_path: Path):
    numbered(2).save(tmp_path / "two.png")
    clip = open_clip([numbered(1), tmp_path / "two.png", numbered(3)], max_frames=1, fps=1)
    assert (clip.height, clip.width, clip.num_frames, clip.times) == (48, 64, 3, None)
    frames = list(clip.frames)
    assert [(frame.index, frame.time) for frame in frames] == [(0, None), (1, None), (2, None)]
    assert numbers(clip.frames, read_number) == [1, 2, 3]


def test_frames_of_unlike_sizes_get_the_size_of_the_first():
    clip = open_clip([Image.new("RGB", (8, 6)), Image.new("RGB", (20, 10))])
    assert [frame.image.size for frame in clip.frames] == [(8, 6), (8, 6)]


def test_a_folder_of_frames_is_sampled(tmp_path: Path, numbered, read_number):
    for number in range(12):
        numbered(number).save(tmp_path / f"frame{number}.png")
    clip = open_clip(tmp_path, max_frames=4)
    assert clip.indices == [0, 3, 7, 11]
    assert numbers(clip.frames, read_number) == [0, 3, 7, 11]
    with pytest.raises(ConfigError, match=r"fps=2 needs a video"):
        open_clip(str(tmp_path), fps=2)


def test_nothing_is_decoded_before_frames_are_read_and_reading_twice_works(make_video, monkeypatch):
    clip = open_clip(make_video(), 4)
    first = [frame.image.tobytes() for frame in clip.frames]
    assert [frame.image.tobytes() for frame in clip.frames] == first
    monkeypatch.setattr(video, "open_container", None)
    assert iter(clip.frames) is not None


@pytest.mark.parametrize("name", ["clip.mp4", "clip.gif"])
def test_no_file_stays_open(name: str, make_video, make_animation):
    path = make_animation(name) if name.endswith(".gif") else make_video(name)
    gc.collect()
    before = count_open_files()
    clip = open_clip(path, 5)
    assert count_open_files() == before
    list(clip.frames)
    assert count_open_files() == before
    abandoned = clip.frames
    next(abandoned)
    assert count_open_files() > before
    abandoned.close()
    assert count_open_files() == before
    broken = path.with_name("broken.mp4")
    broken.write_bytes(b"not a video")
    with pytest.raises(MediaError):
        open_clip(broken)
    assert count_open_files() == before


def test_a_file_given_as_bytes_is_named_so():
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4)).save(buffer, "JPEG")
    with pytest.raises(MediaError, match="the file given as bytes is a still picture"):
        open_clip(buffer.getvalue())
