"""From a decoded picture to packed patches: resized by the published filter, `uint8` all the way."""

import numpy as np
from PIL import Image


def resize(image: Image.Image, height: int, width: int) -> Image.Image:
    """The picture at `height` x `width` pixels, by Pillow's default filter (bicubic), as published."""
    # At equal sizes Pillow would only copy.
    return image if image.size == (width, height) else image.resize((width, height))


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
