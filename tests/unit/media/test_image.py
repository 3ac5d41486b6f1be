"""Pictures of every kind become upright 8-bit RGB; broken ones become one sentence."""

import io
import struct
import threading
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from oryx.errors import MediaError
from oryx.media.animation import MAX_READS, is_played
from oryx.media.image import MAX_PIXELS, image_size, is_animated, open_image


def save(image: Image.Image, file_format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def png_header(height: int, width: int) -> bytes:
    """A PNG that promises pixels and has none."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


# A picture of one colour in the top left and another everywhere else: each orientation can be told.
CORNER = Image.new("RGB", (64, 32), "blue")
CORNER.paste("red", (0, 0, 16, 16))


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "TGA", "ICO"])
def test_formats_open_as_rgb(file_format: str):
    image = open_image(save(Image.new("RGB", (32, 16), (200, 30, 60)), file_format))
    assert image.mode == "RGB"
    assert np.abs(np.asarray(image).astype(int) - (200, 30, 60)).max() <= 12


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_and_known_from_the_header(file_format: str, orientation: int):
    stored = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    turned = CORNER.transpose(stored[orientation]) if orientation > 1 else CORNER
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = save(turned, file_format, exif=exif)
    image = open_image(data)
    assert image_size(data) == (32, 64) == (image.height, image.width)
    assert np.abs(np.asarray(image).astype(int) - np.asarray(CORNER)).mean() < 8
    assert open_image(image).size == image.size  # not turned a second time


def test_transparency_is_laid_over_white():
    half = Image.new("RGBA", (2, 2), (0, 0, 0, 128))
    half.putpixel((0, 0), (10, 20, 30, 0))
    half.putpixel((1, 1), (10, 20, 30, 255))
    image = open_image(save(half, "PNG"))
    assert image.getpixel((0, 0)) == (255, 255, 255)
    assert image.getpixel((1, 1)) == (10, 20, 30)
    assert abs(image.getpixel((1, 0))[0] - 127) <= 1
    grey = Image.new("LA", (2, 2), (0, 0))
    assert open_image(save(grey, "PNG")).getpixel((0, 0)) == (255, 255, 255)


def test_a_palette_keeps_its_colours_and_its_transparent_entry_is_white():
    palette = Image.new("P", (2, 1))
    palette.putpalette([250, 0, 0, 0, 0, 250])
    palette.putpixel((1, 0), 1)
    assert open_image(save(palette, "PNG")).getpixel((1, 0)) == (0, 0, 250)
    image = open_image(save(palette, "PNG", transparency=0))
    assert [image.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (0, 0, 250)]


@pytest.mark.parametrize(
    "mode", ["1", "L", "P", "LA", "PA", "La", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "I", "F"]
)
def test_every_mode_of_pillow_is_accepted(mode: str):
    image = open_image(Image.new(mode, (3, 2)))
    assert (image.mode, image.size) == ("RGB", (3, 2))


def test_lab_and_cmyk_keep_their_colour():
    lab = ImageCms.profileToProfile(
        Image.new("RGB", (4, 4), (200, 40, 40)),
        ImageCms.createProfile("sRGB"),
        ImageCms.createProfile("LAB"),
        outputMode="LAB",
    )
    assert np.abs(np.asarray(open_image(lab)).astype(int) - (200, 40, 40)).max() < 6
    cmyk = save(Image.new("RGB", (16, 16), (200, 40, 40)).convert("CMYK"), "JPEG", quality=95)
    assert np.abs(np.asarray(open_image(cmyk)).astype(int) - (200, 40, 40)).max() < 12


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_16_bits_are_scaled_not_clipped(file_format: str):
    values = np.array([[0, 256, 32896, 65535]], dtype=np.uint16)
    grey = np.asarray(open_image(save(Image.fromarray(values), file_format)))[0, :, 0]
    assert grey.tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 65535]], dtype=np.int32), [0, 255]),
        (np.array([[0, 2**30]], dtype=np.int32), [0, 255]),
        (np.array([[-5, 5]], dtype=np.int32), [0, 255]),
        (np.array([[0.0, 0.5, 1.0]], dtype=np.float32), [0, 128, 255]),
        (np.array([[0.0, 100.0]], dtype=np.float32), [0, 100]),
        (np.array([[np.nan, 1.0]], dtype=np.float32), [0, 255]),
        (np.array([[-3.0, -3.0]], dtype=np.float32), [0, 0]),
    ],
)
def test_deep_grey_is_scaled_over_its_range(values: np.ndarray, expected: list[int]):
    assert np.asarray(open_image(Image.fromarray(values)))[0, :, 0].tolist() == expected


def test_an_upright_rgb_image_is_returned_as_it_is():
    image = Image.new("RGB", (5, 4))
    assert open_image(image) is image
    assert image_size(image) == (4, 5)


def test_a_given_image_is_not_changed():
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(io.BytesIO(save(CORNER, "JPEG", exif=exif))) as image:
        assert open_image(image).size == (32, 64)
        assert image_size(image) == (64, 32)
        assert image.size == (64, 32)
        assert image.getexif()[0x0112] == 6


def test_an_extreme_shape_opens(tmp_path: Path):
    path = tmp_path / "thin.png"
    Image.new("RGB", (1, 5000)).save(path)
    assert image_size(path) == (5000, 1)
    assert open_image(str(path)).size == (1, 5000)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_an_animation_is_its_first_frame(name: str, make_animation, read_number):
    path = make_animation(name)
    assert is_animated(path)
    assert is_animated(path.read_bytes())
    assert read_number(open_image(path)) == 0
    still = make_animation("still." + name[2:], num_frames=1)
    assert not is_animated(still)
    assert is_played(path.read_bytes())
    assert not is_played(still.read_bytes())
    assert not is_played(path.read_bytes()[:40])


def test_what_is_not_to_be_played_is_not_animated(tmp_path: Path, make_video):
    page = Image.new("L", (4, 4))
    assert not is_animated(save(page, "TIFF", save_all=True, append_images=[page]))
    assert not is_animated(page)
    assert not is_animated(make_video())
    assert not is_played(save(page, "TIFF", save_all=True, append_images=[page]))
    assert not is_played(make_video().read_bytes())
    assert not is_played(b"")
    assert not is_animated(tmp_path / "missing.gif")


@pytest.mark.skipif(not features.check("avif"), reason="needs Pillow with AVIF")
def test_an_animated_avif_is_played(make_animation):
    assert is_played(make_animation("a.avif").read_bytes())
    assert not is_played(save(Image.new("RGB", (16, 16)), "AVIF"))


def test_a_gif_of_countless_blocks_is_given_up_soon():
    head = b"GIF89a\x10\x00\x10\x00\x00\x00\x00" + b"\x2c" + bytes(9) + b"\x08"
    endless = head + b"\x01\x00" * (20 * MAX_READS)
    began = time.process_time()
    assert not is_played(endless)
    assert time.process_time() - began < 1


def sentence(error: pytest.ExceptionInfo[MediaError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("function", [open_image, image_size])
def test_a_file_that_cannot_be_read_is_one_sentence(function, tmp_path: Path):
    empty, text = tmp_path / "empty.png", tmp_path / "text.png"
    empty.write_bytes(b"")
    text.write_text("hello\n" * 100)
    for path, reason in [
        (tmp_path / "missing.png", "does not exist"),
        (tmp_path, "is a folder"),
        (empty, "empty"),
        (text, "not a picture"),
        (Path("/dev/null"), "device"),
        ("nul\0l.png", "does not exist"),
    ]:
        with pytest.raises(MediaError, match=reason) as error:
            function(path)
        assert str(path) in sentence(error)
    with pytest.raises(MediaError, match="given as bytes is empty"):
        function(b"")
    with pytest.raises(MediaError, match="not as int"):
        function(3)


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_a_truncated_file_is_one_sentence(file_format: str, numbered, tmp_path: Path):
    data = save(numbered(77), file_format)
    path = tmp_path / f"cut.{file_format.lower()}"
    for kept in (0.9, 0.5, 0.05):
        path.write_bytes(data[: int(len(data) * kept)])
        with pytest.raises(MediaError) as error:
            open_image(path)
        assert str(path) in sentence(error)


def test_a_video_under_a_wrong_name_is_one_sentence(make_video):
    video = make_video("clip.mp4")
    with pytest.raises(MediaError, match=r"clip\.png' is not a picture"):
        open_image(video.rename(video.with_suffix(".png")))


@pytest.mark.parametrize("side", [30_000, 13_400, 20_000])
def test_too_large_is_refused_from_the_header_and_names_the_limit(side: int):
    data = png_header(side, side)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for function in (open_image, image_size):
            with pytest.raises(MediaError, match=f"{MAX_PIXELS:,} pixels"):
                function(data)


def test_below_the_limit_no_warning_of_pillow_leaks():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert image_size(png_header(13_000, 13_000)) == (13_000, 13_000)


def test_the_limit_can_be_lowered():
    assert open_image(save(Image.new("RGB", (10, 10)), "PNG"), max_pixels=100).size == (10, 10)
    for source in (save(Image.new("RGB", (11, 10)), "PNG"), Image.new("RGB", (11, 10))):
        with pytest.raises(MediaError, match=r"10 x 11 pixels .* at most 100 pixels"):
            open_image(source, max_pixels=100)


def test_many_threads_open_pictures_and_leave_the_warning_filters_alone(numbered):
    data = save(numbered(5), "PNG")
    before = list(warnings.filters)
    threads = [threading.Thread(target=lambda: [open_image(data) for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before
