"""Visual dicts: patches hold the resized pixels, frames stream, and wrong dicts get one sentence."""

import base64
import io
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from oryx.errors import ConfigError, MediaError
from oryx.processing.forecast import forecast_visual
from oryx.processing.geometry import IMAGE, VIDEO, ResizeRule
from oryx.processing.visuals import encode_visual, open_visual, patchify, visual_type, with_dials

RULE = ResizeRule()
Picture = Callable[..., Image.Image]


def unpatchify(rows: np.ndarray, grid: tuple[int, int], size: int) -> np.ndarray:
    blocks = rows.reshape(*grid, 3, size, size)
    return blocks.transpose(0, 3, 1, 4, 2).reshape(grid[0] * size, grid[1] * size, 3)


def test_patchify_is_channel_major_and_row_major(picture: Picture) -> None:
    image = picture(8, 12)
    rows = patchify(image, 4)
    assert rows.shape == (6, 48)
    assert rows.dtype == np.uint8
    pixels = np.asarray(image)
    assert np.array_equal(rows[4].reshape(3, 4, 4), pixels[4:8, 4:8].transpose(2, 0, 1))


class Drawn(Sequence):
    """Frames that are made as they are read."""

    def __init__(self, draw: Picture) -> None:
        self.draw = draw

    def __len__(self) -> int:
        return 3

    def __getitem__(self, place: int) -> Image.Image:
        if place >= 3:
            raise IndexError
        return self.draw(64, 96, place)


def test_frames_that_are_made_as_they_are_read_are_those_of_a_list(picture: Picture) -> None:
    drawn, listed = ({"type": "video", "video": frames} for frames in (Drawn(picture), list(Drawn(picture))))
    assert np.array_equal(encode_visual(drawn, RULE).patches, encode_visual(listed, RULE).patches)
    assert forecast_visual(drawn, RULE).views == encode_visual(listed, RULE).views


@pytest.mark.parametrize("name", [["image"], {}, "", 0])
def test_a_type_that_is_no_text_is_refused(picture: Picture, name: object) -> None:
    with pytest.raises(ConfigError, match="a visual's type cannot be"):
        visual_type({"type": name, "image": picture()})


def test_image_views_hold_the_resized_pixels(picture: Picture) -> None:
    image = picture(200, 333)
    encoded = encode_visual({"type": "image", "image": image}, RULE)
    low, native = encoded.views
    assert encoded.kind == IMAGE
    assert encoded.patches is not None
    expected = image.resize((320, 192))
    rows = encoded.patches[low.num_patches :]
    assert np.array_equal(unpatchify(rows, native.grid, 16), np.asarray(expected))
    # the low view is made from the resized native view, not from the picture
    low_pixels = unpatchify(encoded.patches[: low.num_patches], low.grid, 16)
    assert np.array_equal(low_pixels, np.asarray(expected.resize((low.width, low.height))))


def test_detail_low_is_the_low_view_of_both(picture: Picture) -> None:
    visual = {"type": "image", "image": picture(200, 333)}
    both, low = encode_visual(visual, RULE), encode_visual({**visual, "detail": "low"}, RULE)
    assert both.patches is not None
    assert low.patches is not None
    assert low.views == both.views[:1]
    assert np.array_equal(low.patches, both.patches[: len(low.patches)])


def test_icons_are_enlarged_first(picture: Picture) -> None:
    icon = picture(12, 20)
    encoded = encode_visual({"type": "image", "image": icon}, RULE)
    assert encoded.patches is not None
    expected = np.asarray(icon.resize((106, 64)).resize((96, 64)))
    rows = encoded.patches[encoded.views[0].num_patches :]
    assert np.array_equal(unpatchify(rows, (4, 6), 16), expected)


def test_frames_are_resized_each_by_its_own_size(picture: Picture) -> None:
    frames = [picture(240, 426), picture(480, 320)]
    encoded = encode_visual({"type": "video", "video": frames}, RULE)
    assert encoded.kind == VIDEO
    assert [(view.height, view.width) for view in encoded.views] == [(192, 384), (448, 320)]
    assert all(view.compression == 4 for view in encoded.views)


def test_default_ratio_follows_the_number_of_frames(picture: Picture) -> None:
    short = open_visual({"type": "video", "video": [picture()] * 64}, RULE)
    long = open_visual({"type": "views", "views": [picture()] * 65}, RULE)
    assert next(short.views)[0].compression == 4
    assert next(long.views)[0].compression == 16
    assert long.num_views == 65


def test_one_ratio_per_frame(picture: Picture) -> None:
    visual = {"type": "video", "video": [picture()] * 3, "compression": [1, 4, 16]}
    assert [view.compression for view in encode_visual(visual, RULE).views] == [1, 4, 16]
    with pytest.raises(ConfigError, match=r"2 ratios for 3 frames"):
        open_visual({**visual, "compression": [1, 4]}, RULE)
    with pytest.raises(ConfigError, match="1, 2, 4, 8, 16"):
        open_visual({**visual, "compression": [1, 4, 5]}, RULE)


def test_frames_are_opened_one_at_a_time(picture: Picture, tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    picture().save(good)
    stream = open_visual({"type": "video", "video": [good, tmp_path / "missing.png"]}, RULE)
    view, patches = next(stream.views)  # the second frame is not touched yet
    assert len(patches) == view.num_patches
    with pytest.raises(MediaError, match=r"missing\.png"):
        next(stream.views)


def test_sources(picture: Picture, tmp_path: Path) -> None:
    image = picture(64, 64)
    path = tmp_path / "a.png"
    image.save(path)
    buffer = io.BytesIO()
    image.save(buffer, "png")
    text = base64.b64encode(buffer.getvalue()).decode()
    visuals = [
        {"type": "image", "image": image},
        {"image": image},
        {"type": "image", "path": str(path)},
        {"type": "image", "url": f"file://{path}"},
        {"type": "image", "base64": text},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{text}"}},
    ]
    first, *others = (encode_visual(visual, RULE) for visual in visuals)
    for other in others:
        assert np.array_equal(other.patches, first.patches)


def test_a_folder_of_views(picture: Picture, tmp_path: Path) -> None:
    for index in (10, 2):
        picture(64, 64, seed=index).save(tmp_path / f"view{index}.png")
    encoded = encode_visual({"type": "views", "views": tmp_path}, RULE)
    in_order = encode_visual({"type": "views", "views": [picture(64, 64, 2), picture(64, 64, 10)]}, RULE)
    assert np.array_equal(encoded.patches, in_order.patches)


def test_notes(picture: Picture) -> None:
    visual = {
        "type": "video",
        "video": [picture()] * 3,
        "fps": 2.0,
        "timestamps": True,
        "subtitles": ["Hello.", "Good bye."],
    }
    stream = open_visual(visual, RULE)
    assert stream.note == "Frames at 0.0 s, 0.5 s, 1.0 s.\nSubtitles:\nHello.\nGood bye."
    assert open_visual({"type": "video", "video": [picture()]}, RULE).note == ""
    with pytest.raises(ConfigError, match="timestamps"):
        open_visual({"type": "video", "video": [picture()], "timestamps": True}, RULE)
    with pytest.raises(MediaError, match=r"\.srt"):
        open_visual({"type": "video", "video": [picture()], "subtitles": True}, RULE)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """28 frames, 10 a second, with subtitles beside it."""
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for index in range(28):
            frame = av.VideoFrame.from_ndarray(
                np.full((120, 160, 3), index * 8, dtype=np.uint8), format="rgb24"
            )
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    path.with_suffix(".srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nHello.\n")
    return path


def test_a_video_file(clip: Path) -> None:
    visual = {"type": "video", "video": str(clip), "max_frames": 4, "timestamps": True, "subtitles": True}
    encoded = encode_visual(visual, RULE)
    assert [(view.height, view.width) for view in encoded.views] == [(192, 320)] * 4
    assert encoded.note == "Frames at 0.0 s, 0.9 s, 1.8 s, 2.7 s.\nSubtitles:\n[1.0 s] Hello."
    assert encoded.patches is not None
    brightness = encoded.patches.reshape(4, -1).mean(1)
    assert np.allclose(
        brightness, [0, 72, 144, 216], atol=8
    )  # the frames' own greys, less what the codec loses
    with pytest.raises(ConfigError, match="2 ratios for 4 frames"):
        encode_visual({**visual, "compression": [1, 4]}, RULE)


def test_dials_fill_in_what_a_visual_leaves_open(picture: Picture) -> None:
    image = {"type": "image", "image": picture(), "compression": 2}
    assert with_dials(image, {"compression": 4, "max_frames": 8, "detail": "low"}) == {
        **image,
        "detail": "low",
    }


@pytest.mark.parametrize(
    ("visual", "message"),
    [
        ({"type": "image", "image": "x.png", "compresion": 4}, "did you mean 'compression'"),
        ({"type": "image", "image": "x.png", "fps": 4}, "no key 'fps'"),
        ({"type": "images", "image": "x.png"}, "did you mean 'image'"),
        ({"type": "audio", "audio": "x.wav"}, "image, video, views"),
        ({"type": "image"}, "exactly one of the keys"),
        ({"type": "image", "image": "x.png", "path": "y.png"}, "exactly one of the keys"),
        ("x.png", "must be a dict"),
        ({"type": "video", "video": ["x.png"], "max_frames": 0}, "max_frames"),
        ({"type": "video", "video": ["x.png"], "max_frames": 2.5}, "max_frames"),
        ({"type": "video", "video": ["x.png"], "fps": 0}, "fps"),
        ({"type": "video", "video": ["x.png"], "compression": 5}, "1, 2, 4, 8, 16"),
    ],
)
def test_wrong_visuals(visual: object, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        encode_visual(visual, RULE)


@pytest.mark.parametrize(
    ("visual", "message"),
    [
        ({"type": "video", "video": []}, "empty"),
        ({"type": "views", "views": []}, "empty"),
        ({"type": "image", "image": "nowhere.png"}, r"nowhere\.png"),
        ({"type": "image", "url": "https://example.org/a.png"}, "not fetched"),
        ({"type": "image", "base64": "%%%"}, "base64"),
    ],
)
def test_unreadable_visuals(visual: dict[str, object], message: str) -> None:
    with pytest.raises(MediaError, match=message):
        encode_visual(visual, RULE)


def test_images_take_one_ratio(picture: Picture) -> None:
    with pytest.raises(ConfigError, match="1, 2, 4, 8, 16"):
        encode_visual({"type": "image", "image": picture(), "compression": [4, 4]}, RULE)


def test_types_are_told_by_their_keys() -> None:
    assert visual_type({"views": ["a.png"]}) == "views"
    assert visual_type({"type": "video_url", "video_url": {"url": "a.mp4"}}) == "video"


def make_clip(path: Path, num_frames: int = 40) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"g": "12"})
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        for number in range(num_frames):
            pixels = np.full((64, 96, 3), 5 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_keyframes_are_forecast_and_read(tmp_path: Path) -> None:
    visual = {
        "type": "video",
        "video": str(make_clip(tmp_path / "a.mp4")),
        "keyframes": True,
        "timestamps": True,
    }
    planned, encoded = forecast_visual(visual, RULE), encode_visual(visual, RULE)
    assert len(encoded.views) == 4
    assert planned.views == encoded.views
    assert planned.note == encoded.note == "Frames at 0.0 s, 1.2 s, 2.4 s, 3.6 s."


@pytest.mark.parametrize("function", [encode_visual, forecast_visual])
def test_keyframes_of_pictures_and_switches_that_are_none_are_refused(function, picture: Picture) -> None:
    with pytest.raises(ConfigError, match="keyframes need a video file"):
        function({"type": "video", "video": [picture()], "keyframes": True}, RULE)
    with pytest.raises(ConfigError, match="keyframes must be true or false, not 'yes'"):
        function({"type": "video", "video": "a.mp4", "keyframes": "yes"}, RULE)
    with pytest.raises(ConfigError, match="no key 'keyframes'"):
        function({"type": "views", "views": [picture()], "keyframes": True}, RULE)


def test_an_undecodable_video_is_found_out_when_it_is_read(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "garbage.mp4")
    data = bytearray(path.read_bytes())
    begin, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    data[begin:end] = bytes(end - begin)
    path.write_bytes(data)
    stream = open_visual({"type": "video", "video": str(path)}, RULE)
    with pytest.raises(MediaError, match=r"garbage\.mp4' is damaged: 0 of 40 frames"):
        next(stream.views)
