"""Pictures and turns that tests of data make records of."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from PIL import Image


def png(seed: int, height: int = 24, width: int = 40) -> bytes:
    """A picture file of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def turns(question: str = "What?", answer: str = "It.") -> list[dict[str, str]]:
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]


def assert_same_batch(first: dict[str, Any], second: dict[str, Any], names: bool = True) -> None:
    """Equal to the bit; with `names`, of the same records."""
    assert first.keys() == second.keys()
    for key in first.keys() - {"stats"}:
        assert torch.equal(first[key], second[key]), key
    if names:
        assert first["stats"] == second["stats"]
