"""Host memory at the peak of one answer, before anything is decoded.

The constants were read off runs of the real engine; what they count stands beside each. How close the
forecast comes is in docs/performance.md.
"""

from collections.abc import Iterable

from oryx.processing.costs import DTYPE_BYTES, ModelSizes, kv_cache_bytes
from oryx.processing.geometry import View
from oryx.processing.weights import weight_bytes

CHUNK_PATCHES = 8192
"""Patches that the tower sees at once (at least one view): large products, yet little memory."""

PROGRAM_BYTES = 400_000_000
"""Python with torch, transformers and PyAV imported, and the tokenizer."""
DECODER_FRAMES = 24
"""Frames that a decoder keeps for reference and for its threads, and those on their way to the resize."""


def peak_memory_bytes(
    views: Iterable[View],
    num_visual_tokens: int,
    num_positions: int,
    source_pixels: int,
    sizes: ModelSizes,
) -> int:
    """Bytes of the process at its peak: while it encodes, or while it reads the prompt.

    Args:
        views: all views of the request.
        num_visual_tokens: positions of the visuals.
        num_positions: positions of the whole prompt.
        source_pixels: pixels of the largest frame or picture, as decoded.
    """
    width = DTYPE_BYTES[sizes.dtype]
    held = (
        PROGRAM_BYTES
        + weight_bytes(sizes, sizes.dtype, sizes.quantize)
        + num_visual_tokens * sizes.text.hidden_size * width
    )
    vision = _vision_bytes(list(views), sizes) + source_pixels * 3 * 2
    return held + max(vision, _prefill_bytes(num_positions, sizes))


def _vision_bytes(views: list[View], sizes: ModelSizes) -> int:
    """Activations of the tower over one chunk, and the chunk's patches as `uint8` and as floats."""
    if not views:
        return 0
    total, largest = sum(view.num_patches for view in views), max(view.num_patches for view in views)
    patches = min(total, max(CHUNK_PATCHES, largest))
    vision, width = sizes.vision, DTYPE_BYTES[sizes.dtype]
    view = views[0]
    values = vision.num_channels * (view.height // view.grid[0]) * (view.width // view.grid[1])
    # Residual, norm and the MLP's two halves; or residual, norm, q, k, v, their copies and what is attended.
    mlp = 2 * vision.hidden_size + 2 * vision.intermediate_size
    attention = 9 * vision.hidden_size
    pixels = values * (2 + 2 * 4)
    return patches * (values + max(pixels, width * max(mlp, attention)))


def _prefill_bytes(num_positions: int, sizes: ModelSizes) -> int:
    """The cache, and activations of one layer over the whole prompt."""
    text, width = sizes.text, DTYPE_BYTES[sizes.dtype]
    activations = num_positions * width * (6 * text.hidden_size + 3 * text.intermediate_size)
    return kv_cache_bytes(num_positions, sizes) + activations
