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
CHUNK_VIEWS = 40
"""Views at once, where they are small: more would only keep the tower waiting for the decoder."""

PROGRAM_BYTES = 400_000_000
"""Python with torch, transformers and PyAV imported, and the tokenizer."""
DECODER_FRAMES = 16
"""Frames in 4:2:0 that a video decoder keeps: those that others refer to, and those on their way out."""
AHEAD_FRAMES = 3
"""Pictures in RGB on their way from the decoder to the threads that resize them."""


def peak_memory_bytes(
    views: Iterable[View],
    num_visual_tokens: int,
    num_positions: int,
    decoding_bytes: int,
    sizes: ModelSizes,
) -> int:
    """Bytes of the process at its peak: while it encodes, or while it reads the prompt.

    Args:
        views: all views of the request.
        num_visual_tokens: positions of the visuals.
        num_positions: positions of the whole prompt.
        decoding_bytes: the most that decoding one of the visuals takes.
    """
    width = DTYPE_BYTES[sizes.dtype]
    weights = weight_bytes(sizes, sizes.dtype, sizes.quantize)
    held = PROGRAM_BYTES + weights + num_visual_tokens * sizes.text.hidden_size * width
    vision = _vision_bytes(list(views), sizes) + decoding_bytes
    return held + max(vision, _prefill_bytes(num_positions, sizes))


def video_bytes(height: int, width: int, num_decoders: int, num_resizers: int) -> int:
    """Bytes that decoding frames of `height` x `width` pixels takes."""
    stored = num_decoders * DECODER_FRAMES * 3 // 2
    return height * width * (stored + 3 * (num_resizers + AHEAD_FRAMES))


def picture_bytes(height: int, width: int) -> int:
    """Bytes that decoding a picture file takes: the decoder's pixels, the RGB ones, and a copy."""
    return height * width * (4 + 3 + 3)


def _vision_bytes(views: list[View], sizes: ModelSizes) -> int:
    """Activations of the tower over one chunk, and its patches as `uint8`, twice, and as floats."""
    if not views:
        return 0
    total, largest = sum(view.num_patches for view in views), max(view.num_patches for view in views)
    patches = min(total, max(largest, min(CHUNK_PATCHES, CHUNK_VIEWS * largest)))
    vision, width = sizes.vision, DTYPE_BYTES[sizes.dtype]
    values = vision.num_channels * vision.patch_size**2
    # Residual, norm and the MLP's two halves; or residual, norm, q, k, v, their copies and what is attended.
    mlp = 2 * vision.hidden_size + 2 * vision.intermediate_size
    attention = 9 * vision.hidden_size
    return patches * (2 * values + max(2 * 4 * values, width * max(mlp, attention)))


def _prefill_bytes(num_positions: int, sizes: ModelSizes) -> int:
    """The cache, and activations of one layer over the whole prompt."""
    text, width = sizes.text, DTYPE_BYTES[sizes.dtype]
    activations = num_positions * width * (6 * text.hidden_size + 3 * text.intermediate_size)
    return kv_cache_bytes(num_positions, sizes) + activations
