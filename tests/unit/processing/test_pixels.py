"""Resized pixels are Pillow's, or within one level of them; work done ahead changes nothing else."""

import threading

import av
import numpy as np
import pytest
from PIL import Image

from oryx.processing.geometry import ResizeRule
from oryx.processing.pixels import MIN_SHRINK, map_ahead, resize, resize_fast
from oryx.processing.visuals import encode_visual

SIZES = [
    ((1080, 1920), (320, 640)),
    ((720, 1280), (320, 640)),
    ((480, 640), (416, 544)),
    ((96, 64), (320, 224)),
    ((333, 517), (64, 512)),
    ((96, 1300), (96, 320)),
]


def noise(height: int, width: int, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def difference(one: Image.Image, other: Image.Image) -> np.ndarray:
    return np.abs(np.asarray(one).astype(int) - np.asarray(other))


@pytest.mark.parametrize(("before", "after"), SIZES)
@pytest.mark.parametrize("kind", ["noise", "black and white", "smooth"])
def test_fast_is_within_one_level_of_pillow(before, after, kind):
    image = noise(*before)
    if kind == "black and white":  # overshoots are clipped
        image = image.convert("1").convert("RGB")
    elif kind == "smooth":
        image = noise(before[0] // 8, before[1] // 8).resize(image.size)
    apart = difference(resize_fast(image, *after), resize(image, *after))
    assert apart.max() <= 1
    shrinks = all(old >= MIN_SHRINK * new for old, new in zip(before, after))
    assert (apart.max() > 0) == shrinks  # else it is Pillow's own resize


def test_fast_is_within_one_level_on_frames_of_a_video(make_video_of_noise):
    with av.open(make_video_of_noise) as container:
        for frame in container.decode(video=0):
            image = frame.to_image()
            assert difference(resize_fast(image, 64, 96), resize(image, 64, 96)).max() <= 1


@pytest.fixture
def make_video_of_noise(tmp_path) -> str:
    path = str(tmp_path / "noise.mp4")
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 240, 320, "yuv420p"
        for seed in range(4):
            container.mux(stream.encode(av.VideoFrame.from_image(noise(60, 80, seed).resize((320, 240)))))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    "visual",
    [
        {"type": "image", "image": noise(900, 1333), "max_pixels": 10**5},
        {"type": "views", "views": [noise(1000, 1333), noise(980, 1300, 1)]},
        {"type": "video", "video": [noise(1000, 1333)]},
    ],
)
def test_the_dial_reaches_the_patches(visual):
    exact = encode_visual(visual, ResizeRule())
    fast = encode_visual({**visual, "fast_resize": True}, ResizeRule())
    assert exact.views == fast.views
    apart = np.abs(exact.patches.astype(int) - fast.patches)
    assert apart.max() == 1


def test_results_come_in_order_and_few_pictures_are_taken_ahead():
    taken = []

    def pictures():
        for number in range(50):
            taken.append(number)
            yield number

    results = map_ahead(lambda place, picture: (place, picture), pictures(), 50)
    assert next(results) == (0, 0)
    assert len(taken) <= 6
    assert list(results) == [(number, number) for number in range(1, 50)]


def test_an_error_comes_after_the_results_before_it():
    def pictures():
        yield from range(3)
        raise ValueError("the fourth")

    seen = []
    with pytest.raises(ValueError, match="the fourth"):
        seen.extend(map_ahead(lambda place, picture: picture, pictures(), 9))
    assert seen == [0, 1, 2]

    def fail(place, picture):
        if place == 2:
            raise ValueError("the third")
        return picture

    seen.clear()
    with pytest.raises(ValueError, match="the third"):
        seen.extend(map_ahead(fail, iter(range(9)), 9))
    assert seen == [0, 1]


def test_closing_it_closes_the_source_and_ends_the_threads():
    is_closed = []

    def pictures():
        try:
            while True:
                yield 1
        finally:
            is_closed.append(True)

    before = threading.active_count()
    results = map_ahead(lambda place, picture: picture, pictures(), 1000)
    next(results)
    results.close()
    assert is_closed
    assert threading.active_count() == before
