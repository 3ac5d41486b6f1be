"""Pictures and turns that tests of data make records of."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image


def png(seed: int, height: int = 24, width: int = 40) -> bytes:
    """A picture file of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def turns(question: str = "What?", answer: str = "It.") -> list[dict[str, str]]:
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
