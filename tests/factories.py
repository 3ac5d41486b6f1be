"""Tiny real objects for tests: a byte-level tokenizer, processors, and models of every backbone.

Everything is a real class of the package with real (random, seeded) weights; only the sizes are small.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from oryx.config import OryxConfig, OryxVisionConfig
from oryx.model.modeling import OryxForConditionalGeneration
from oryx.processing.processor import OryxProcessor

PATCH = 4
# Areas and multiples scaled down with the patch: pictures of a few dozen pixels have two unlike views.
RULE = {
    "patch_size": PATCH,
    "low_area": 16**2,
    "native_area": 64**2,
    "image_multiple": 8,
    "icon_side": 8,
    "icon_target": 16,
    "video_min_area": 16**2,
    "video_max_area": 32**2,
    "video_multiple": 16,
    "video_multiple_16x": 16,
}
# 256 bytes, the pair of newlines, and four special tokens; the last, the placeholder, is the processor's.
VOCAB_SIZE = 261
IMAGE_TOKEN_ID = 260

_LM: dict[str, dict[str, Any]] = {
    "qwen2": {},
    "llama": {},
    "gemma2": {
        "head_dim": 8,
        "query_pre_attn_scalar": 8,
        "final_logit_softcapping": 2.0,
        "sliding_window": 4096,
    },
    "gpt_neox": {},
}
BACKBONES = tuple(_LM)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Every byte is a token, so every text has ids; two newlines are one token, as in Qwen2's vocabulary."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: index for index, piece in enumerate([*alphabet, "ĊĊ"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("Ċ", "Ċ")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
        clean_up_tokenization_spaces=False,
    )


def make_processor(**settings: Any) -> OryxProcessor:
    return OryxProcessor(make_tokenizer(), **{"resize_rule": RULE, "system_prompt": "", **settings})


def make_text_config(model_type: str = "qwen2", **settings: Any) -> dict[str, Any]:
    sizes = {
        "vocab_size": VOCAB_SIZE,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
        "tie_word_embeddings": False,
    }
    return {"model_type": model_type, **sizes, **_LM[model_type], **settings}


def make_config(model_type: str = "qwen2", vision: dict[str, Any] | None = None, **text: Any) -> OryxConfig:
    """`vision` and keywords change single settings of the tower and of the language model."""
    tower = {
        "hidden_size": 24,
        "intermediate_size": 40,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "patch_size": PATCH,
        "position_grid_size": 8,
        **(vision or {}),
    }
    return OryxConfig(
        vision_config=OryxVisionConfig(**tower),
        text_config=make_text_config(model_type, **text),
        compressor_dim=16,
        image_token_id=IMAGE_TOKEN_ID,
    )


def make_model(config: OryxConfig | None = None, seed: int = 0) -> OryxForConditionalGeneration:
    """A model in eval mode whose weights are large enough that every part of the input changes the logits."""
    torch.manual_seed(seed)
    model = OryxForConditionalGeneration(config or make_config())
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=parameter.shape[-1] ** -0.5)
            else:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def make_picture(height: int = 24, width: int = 40, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def make_visual(kind: str = "image", seed: int = 0, num_frames: int = 3, **dials: Any) -> dict[str, Any]:
    """A visual dict of noise, of "image", "video" or "views"."""
    if kind == "image":
        return {"type": "image", "image": make_picture(24, 40, seed), **dials}
    frames = [make_picture(32, 48, seed * 100 + index) for index in range(num_frames)]
    return {"type": kind, kind: frames, **dials}


def make_conversation(question: str, answer: str | None = None) -> list[dict[str, str | None]]:
    return [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]


def unlike_samples(answer: str | None = "yes") -> list[tuple[list[dict], list[dict]]]:
    """(conversation, visuals) of every kind: text only, one and many images, videos at each ratio, views."""
    return [
        (make_conversation("What?", answer), []),
        (make_conversation("<image>\nWhat colour is it?", answer), [make_visual(seed=1)]),
        (
            make_conversation("First <image>then\n\n<image> and what?", answer),
            [make_visual(seed=2, detail="low"), make_visual(seed=3, compression=4)],
        ),
        *(
            (
                make_conversation("<image>\nAnd then?", answer),
                [make_visual("video", seed=4 + ratio, num_frames=2, compression=ratio)],
            )
            for ratio in (1, 2, 4, 8, 16)
        ),
        (make_conversation("<image>Where?", answer), [make_visual("views", seed=30, compression=4)]),
    ]


def encode(processor: OryxProcessor, samples: list[tuple[list[dict], list[dict]]], **kwargs: Any) -> dict:
    """One padded batch of (conversation, visuals)."""
    conversations, visuals = zip(*samples)
    return processor.encode_conversation(list(conversations), list(visuals), **kwargs)
