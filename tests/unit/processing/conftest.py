"""Tiny real objects: a byte-level tokenizer with a token for two newlines, and pictures of any size."""

from collections.abc import Callable

import pytest
from factories import make_picture, make_tokenizer
from PIL import Image
from transformers import PreTrainedTokenizerFast

from oryx.processing.processor import OryxProcessor


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    return make_tokenizer()


@pytest.fixture
def processor(tokenizer: PreTrainedTokenizerFast) -> OryxProcessor:
    """A rule ten times smaller than the published one, so that visuals take a handful of tokens."""
    rule = {
        "patch_size": 4,
        "low_area": 16**2,
        "native_area": 32**2,
        "image_multiple": 8,
        "icon_side": 8,
        "icon_target": 16,
        "video_min_area": 8**2,
        "video_max_area": 16**2,
        "video_multiple": 8,
        "video_multiple_16x": 16,
    }
    return OryxProcessor(tokenizer, resize_rule=rule, system_prompt="")


@pytest.fixture
def picture() -> Callable[..., Image.Image]:
    def draw(height: int = 16, width: int = 24, seed: int = 0) -> Image.Image:
        return make_picture(height, width, seed)

    return draw
