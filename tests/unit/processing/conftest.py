"""Tiny real objects: a byte-level tokenizer with a token for two newlines, and pictures of any size."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from oryx.processing.processor import OryxProcessor


def make_tokenizer() -> PreTrainedTokenizerFast:
    """One token per byte, and one more for two newlines: text must not merge across a visual's newline."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*alphabet, "ĊĊ"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("Ċ", "Ċ")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
    )


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
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
        return Image.fromarray(pixels)

    return draw
