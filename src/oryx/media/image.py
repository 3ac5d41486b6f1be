"""Pictures: what Pillow decodes by itself, as an upright 8-bit RGB image or one clear `MediaError`."""

import io
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeAlias

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError

from oryx.errors import MediaError
from oryx.media.limits import MAX_PIXELS, decoding_limits

ImageSource: TypeAlias = Image.Image | str | Path | bytes

ADDRESS = r"[A-Za-z][A-Za-z0-9+.-]+:/{1,2}[^/]"
LIVE = (
    ": a live stream has no end, so it needs a limit: record a part of it to a file first, "
    "or append its frames to a session"
)

ORIENTATION_TAG = 0x0112
WIDTH_TAG, HEIGHT_TAG = 256, 257  # of a TIFF
TRANSPOSES = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
DEEP_MODES = ("I", "F")  # and every mode that starts with "I;": more than 8 bits in a pixel

# Warning filters belong to the whole process: only one thread at a time may swap them.
_filters_lock = threading.Lock()


def open_image(source: ImageSource, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode a picture (the first frame of an animated one) to upright 8-bit RGB.

    EXIF rotation is applied, transparency is laid over white, and more than 8 bits in a pixel are scaled
    down, not clipped. A picture that is RGB and upright already is returned as it is.

    Args:
        source: a Pillow image, a path, or the bytes of a file.
        max_pixels: height times width above this is refused from the header alone; it can only lower
            the process's limit (see `media.limits`).

    Raises:
        MediaError: the file is missing, empty, truncated, not a picture, or too large.
    """
    if isinstance(source, Image.Image):
        check_size(source, "the picture", max_pixels)
        return to_rgb(source)
    with open_header(source, max_pixels) as image:
        return to_rgb(image, describe(source))


def image_size(source: ImageSource, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """(height, width) in pixels after EXIF rotation, from the header alone.

    Raises:
        MediaError: as `open_image`, as far as the header shows it.
    """
    if isinstance(source, Image.Image):
        check_size(source, "the picture", max_pixels)
        return _upright_size(source)
    with open_header(source, max_pixels) as image:
        return _upright_size(image)


def is_animated(source: ImageSource) -> bool:
    """Whether a picture has more than one frame to be played: animated GIF, WebP, PNG or AVIF.

    A file that is no picture at all (a video, say) is not animated in this sense: False, not an error.
    """
    if isinstance(source, Image.Image):
        return _has_frames(source)
    try:
        with open_header(source) as image:
            return _has_frames(image)
    except MediaError:
        return False


@contextmanager
def open_header(source: str | Path | bytes, max_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Open a picture without decoding it; the file is closed when the block ends.

    Raises:
        MediaError: the file is missing, empty, not a picture, or too large.
    """
    name = describe(source)
    stream = io.BytesIO(source) if isinstance(source, bytes) else open_file(source, "a picture")
    with stream:
        if not stream.read(1):
            raise MediaError(f"{name} is empty (0 bytes); a picture in a format that Pillow reads is needed")
        stream.seek(0)
        try:
            with _filters_lock, warnings.catch_warnings():
                # Judged by our own limit below; a broken EXIF block is no reason to warn either.
                warnings.simplefilter("ignore")
                image = _identify(stream)
        except Image.DecompressionBombError:
            raise MediaError(f"{name} is too large: at most {_max_pixels(max_pixels):,} pixels") from None
        except UnidentifiedImageError:
            raise MediaError(
                f"{name} is not a picture that Pillow reads (such as PNG, JPEG, WebP, GIF or TIFF)"
            ) from None
        except Exception as error:  # Pillow's readers raise all kinds on a broken header
            raise MediaError(f"{name} has a broken header; a whole picture is needed ({error})") from error
        with image:
            check_size(image, name, max_pixels)
            yield image


def to_rgb(image: Image.Image, name: str = "the picture") -> Image.Image:
    """Decode the current frame of a Pillow image to upright 8-bit RGB.

    Raises:
        MediaError: the pixels are truncated or broken.
    """
    try:
        image.load()
        rgb = _flatten(image)
        transpose = TRANSPOSES.get(_orientation(image))  # after load(): Pillow turns a TIFF there itself
        if transpose is not None:
            rgb = rgb.transpose(transpose)
        elif rgb is image and type(image) is not Image.Image:
            rgb = image.copy()  # free of the file, and of what its next frame does to it
        if rgb is not image:
            rgb.info = {}  # what was rotated once must not be rotated again
        return rgb
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, ...
        raise MediaError(f"{name} is truncated or broken: its pixels cannot be decoded ({error})") from error


def describe(source: object) -> str:
    """How an error message names a source."""
    if isinstance(source, str | Path):
        return f"'{source}'"
    return "the file given as bytes" if isinstance(source, bytes) else f"the {type(source).__name__}"


def open_file(path: str | Path, kind: str) -> io.BufferedReader:
    """Open a file for reading bytes.

    Args:
        path: the file.
        kind: what was expected there, for the error message ("a picture").

    Raises:
        MediaError: not a path, nothing there, an address, a folder, a device or a pipe, or no permission.
    """
    if not isinstance(path, str | Path):
        raise MediaError(f"{kind} must be given as a path or as bytes, not as {type(path).__name__}")
    name, needed = path, f"{kind} in an ordinary file is needed{LIVE if kind == 'a video' else ''}"
    try:
        path = Path(path)
        if not path.exists():
            if re.match(ADDRESS, str(name)):
                raise MediaError(f"'{name}' is an address and is not opened; {needed}")
            if str(path) == "-":
                raise MediaError(f"'-' would be what is typed or piped in; {needed}")
            raise MediaError(f"'{path}' does not exist; {kind} is needed there")
        if path.is_dir():
            raise MediaError(f"'{path}' is a folder; {kind} is needed there")
        if not path.is_file():
            raise MediaError(f"'{path}' is a device or a pipe; {needed}")
        return path.open("rb")
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise MediaError(f"'{path}' cannot be opened ({error})") from error


def _identify(stream: IO[bytes]) -> Image.Image:
    """`Image.open` with the formats that this process reads, in Pillow's own order."""
    Image.preinit()
    common = [name for name in Image.ID if name in decoding_limits().formats]
    try:
        return Image.open(stream, formats=common)
    except UnidentifiedImageError:
        Image.init()  # only now: the rest takes a while to import
        others = [name for name in Image.ID if name in decoding_limits().formats and name not in common]
        return Image.open(stream, formats=others)


def _max_pixels(max_pixels: int) -> int:
    return min(max_pixels, decoding_limits().max_pixels)


def check_size(image: Image.Image, name: str, max_pixels: int = MAX_PIXELS) -> None:
    """Raises MediaError for a picture that is empty or has more pixels than are allowed."""
    width, height = image.size
    limit = _max_pixels(max_pixels)
    if height * width > limit:
        raise MediaError(
            f"{name} is {height:,} x {width:,} pixels (height x width): at most {limit:,} pixels"
        )
    if height < 1 or width < 1:
        raise MediaError(f"{name} is {height} x {width} pixels (height x width): at least 1 x 1 is needed")


def _upright_size(image: Image.Image) -> tuple[int, int]:
    tags = getattr(image, "tag_v2", None)
    if tags and WIDTH_TAG in tags and HEIGHT_TAG in tags:
        # Releases of Pillow differ in whether a TIFF's size is already turned; its tags never are.
        width, height = int(tags[WIDTH_TAG]), int(tags[HEIGHT_TAG])
    else:
        width, height = image.size
    return (width, height) if _orientation(image) >= 5 else (height, width)


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8; a broken or missing EXIF block means upright (1)."""
    try:
        orientation = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:
        return 1
    return orientation if orientation in TRANSPOSES else 1


def _has_frames(image: Image.Image) -> bool:
    # Pages of a TIFF, pictures of a phone's MPO and layers of a PSD are not there to be played.
    return image.format in ("GIF", "WEBP", "PNG", "AVIF") and bool(getattr(image, "is_animated", False))


def _flatten(image: Image.Image) -> Image.Image:
    if image.mode in DEEP_MODES or image.mode.startswith("I;"):
        return _scale_to_8_bit(image).convert("RGB")
    if image.mode == "LAB":
        profiles = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, *profiles, outputMode="RGB")
        return converted if converted is not None else image
    if not image.has_transparency_data and image.mode not in ("La", "RGBa"):
        return image.convert("RGB") if image.mode != "RGB" else image
    rgba = image.convert("LA" if image.mode == "La" else "RGBA").convert("RGBA")
    white = Image.new("RGBA", rgba.size, "white")
    return Image.alpha_composite(white, rgba).convert("RGB")


def _scale_to_8_bit(image: Image.Image) -> Image.Image:
    """Grey values of 16 bits, 32 bits or floating point -> mode "L", over the range they are meant in."""
    values = np.asarray(image).astype(np.float64)
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)  # no value: black
    low, high = float(values.min()), float(values.max())
    if low < 0:  # no meaning known: the range that is there
        values, span = values - low, (high - low) or 1.0
    elif image.mode == "F":
        span = 1.0 if high <= 1 else 255.0 if high <= 255 else 65535.0 if high <= 65535 else high
    else:
        span = 65535.0 if high <= 65535 else high
    return Image.fromarray((values * (255.0 / span) + 0.5).astype(np.uint8))
