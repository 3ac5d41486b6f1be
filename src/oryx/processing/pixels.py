"""From a decoded picture to packed patches: resized by the published filter, `uint8` all the way."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from PIL import Image

from oryx.media.parallel import limit_threads, num_cores

T = TypeVar("T")

MIN_SHRINK = 2  # a weight of the second direction is then at most a half
MAX_WORKERS = 4  # pictures resized side by side; more only wait for the decoder


def resize(image: Image.Image, height: int, width: int) -> Image.Image:
    """The picture at `height` x `width` pixels, by Pillow's default filter (bicubic), as published."""
    # At equal sizes Pillow would only copy.
    return image if image.size == (width, height) else image.resize((width, height))


def resize_fast(image: Image.Image, height: int, width: int) -> Image.Image:
    """The same filter with 16-bit weights: within one grey level of `resize` in every pixel, in less time.

    Where a side shrinks to more than half it is `resize` itself: the little that there is to gain would come
    with pixels two levels off, as the roundings after either direction add up.
    """
    if image.height < MIN_SHRINK * height or image.width < MIN_SHRINK * width:
        return resize(image, height, width)
    import torch

    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None]  # channels last in memory
    out = torch.nn.functional.interpolate(pixels, (height, width), mode="bicubic", antialias=True)
    return Image.fromarray(out[0].permute(1, 2, 0).contiguous().numpy())


def patchify(image: Image.Image, patch_size: int) -> np.ndarray:
    """(P, 3 * p * p) uint8 of an RGB picture whose sides are multiples of the patch size.

    Rows are patches from left to right and top to bottom; a row is channel-major: (channel, y, x) flattened.
    """
    pixels = np.asarray(image)  # (h * p, w * p, 3)
    height, width = pixels.shape[0] // patch_size, pixels.shape[1] // patch_size
    grid = pixels.reshape(height, patch_size, width, patch_size, 3)
    return grid.transpose(0, 2, 4, 1, 3).reshape(height * width, 3 * patch_size * patch_size)


def region_means(image: Image.Image, rows: int, columns: int) -> np.ndarray:
    """(rows, columns, 3) float32: mean colour of each region; sides must be multiples."""
    pixels = np.asarray(image)
    height, width = pixels.shape[0] // rows, pixels.shape[1] // columns
    return pixels.reshape(rows, height, columns, width, 3).mean((1, 3), dtype=np.float32)


def num_resizers() -> int:
    """Threads that resize pictures side by side."""
    return min(num_cores(), MAX_WORKERS)


def map_ahead(
    function: Callable[[int, Image.Image], T], pictures: Iterator[Image.Image], num_pictures: int
) -> Iterator[T]:
    """Yield `function(place, picture)` in order; a few pictures ahead are worked on by threads.

    Pillow and torch let go of the interpreter while they resize. Memory stays flat: only so many pictures are
    taken as there are threads. An error is raised after the results before it; closing the iterator closes
    `pictures` and ends the threads.
    """
    workers = limit_threads(min(num_resizers(), num_pictures))
    waiting: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(workers)
    error: Exception | None = None
    try:
        places = iter(range(num_pictures))
        while error is None and (place := next(places, None)) is not None:
            try:
                picture = next(pictures, None)
            except Exception as caught:  # raised below, in its turn
                error = caught
                break
            if picture is None:
                break
            waiting.append(pool.submit(function, place, picture))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
        if error is not None:
            raise error
    finally:
        pool.shutdown(cancel_futures=True)
        close = getattr(pictures, "close", None)
        if close is not None:
            close()
