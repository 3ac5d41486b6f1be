"""Checking a real checkpoint: contents, tokenizer, a forward pass and questions with known answers."""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw

import oryx
from oryx.checkpoints.files import Entry, list_shards, read_headers
from oryx.checkpoints.published import PUBLISHED_TYPES, PublishedCheckpoint
from oryx.errors import CheckpointError
from oryx.evaluation.peak_memory import PeakMemory
from oryx.json_file import read_json
from oryx.loading import load, resolve_tower
from oryx.model.modeling import OryxForConditionalGeneration
from oryx.model.quantized import QuantizedLinear
from oryx.processing.processor import OryxProcessor

SIDE = 96  # pixels: small enough for nano, and enlarged by the published rule
Draw = Callable[[ImageDraw.ImageDraw], None]
CENTER = (SIDE // 4, SIDE // 4, 3 * SIDE // 4, 3 * SIDE // 4)


def _circle(pen: ImageDraw.ImageDraw) -> None:
    pen.ellipse(CENTER, fill=(220, 20, 20))


def _square(pen: ImageDraw.ImageDraw) -> None:
    pen.rectangle(CENTER, fill=(20, 60, 220))


def _three(pen: ImageDraw.ImageDraw) -> None:
    for x, y in ((8, 8), (62, 10), (36, 62)):
        pen.ellipse((x, y, x + 24, y + 24), fill=(20, 160, 40))


KNOWN: tuple[tuple[str, Draw, str, str], ...] = (
    ("a red circle on grey", _circle, "What color is the object?", "red"),
    ("a red circle on grey", _circle, "What shape is the object?", "circle"),
    ("a blue square on grey", _square, "What color is the object?", "blue"),
    ("a blue square on grey", _square, "What shape is the object?", "square"),
    ("three green circles on grey", _three, "How many objects are there?", "3"),
)
"""(picture in words, drawing, question, expected answer)"""


def verify(
    folder: Path,
    vision_tower: Path | None = None,
    dtype: str = "auto",
    device: str = "auto",
    quantize: str | None = None,
) -> dict[str, Any]:
    """Check `folder` and report, as plain JSON values.

    Answers to the known questions are reported beside what is expected, not judged: not every model has
    learned them.

    Raises:
        CheckpointError: keys, shapes, tokenizer or logits are not what the config and the method call for.
    """
    began = time.perf_counter()
    settings = read_json(folder / "config.json")
    is_published = settings.get("model_type") in PUBLISHED_TYPES
    if is_published:
        entries = PublishedCheckpoint.open(folder, resolve_tower(vision_tower)).entries
    else:
        entries = read_headers(list_shards(folder))
    # Loading compares every key and shape with what the config calls for.
    model, processor = load(folder, dtype=dtype, device=device, vision_tower=vision_tower, quantize=quantize)
    loaded = time.perf_counter()
    picture = draw(_circle)
    return {
        "folder": str(folder),
        "layout": "published" if is_published else "native",
        "model_type": settings.get("model_type"),
        "language_model": model.config.text_config.model_type,
        "sizes": _sizes(model),
        "files": {
            file.name: file.stat().st_size for file in sorted({entry.file for entry in entries.values()})
        },
        "tensors": _tensors(entries),
        "parameters": count_parameters(model),
        "tokenizer": _tokenizer(model, processor),
        "forward": _forward(folder, model, processor, picture),
        "answers": [_ask(model, processor, *known) for known in KNOWN],
        "device": str(model.device),
        "dtype": str(model.dtype).removeprefix("torch."),
        "quantize": quantize or "no",
        "versions": _versions(),
        "machine": f"{platform.system()} {platform.machine()}",
        "seconds": {"load": round(loaded - began, 2), "all": round(time.perf_counter() - began, 2)},
        "peak_memory_bytes": PeakMemory(model.device).read() or None,
    }


def draw(shape: Draw) -> Image.Image:
    """One of the pictures that questions are asked about, `SIDE` pixels wide and high."""
    picture = Image.new("RGB", (SIDE, SIDE), (200, 200, 200))
    shape(ImageDraw.Draw(picture))
    return picture


def count_parameters(model: OryxForConditionalGeneration) -> dict[str, int]:
    """Parameters of each part, and in all."""
    counts: Counter[str] = Counter()
    for name, parameter in model.named_parameters():
        counts[name.partition(".")[0]] += parameter.numel()
    for name, module in model.named_modules():
        if isinstance(module, QuantizedLinear):  # its packed weight is no parameter any more
            counts[name.partition(".")[0]] += module.out_features * module.in_features
    return {**counts, "total": sum(counts.values())}


def _sizes(model: OryxForConditionalGeneration) -> dict[str, Any]:
    vision, text = model.config.vision_config, model.config.text_config
    return {
        "tower": f"{vision.num_hidden_layers} blocks of width {vision.hidden_size}, "
        f"{vision.num_attention_heads} heads, patch {vision.patch_size}, "
        f"{vision.position_embedding} positions",
        "language_model": f"{text.num_hidden_layers} layers of width {text.hidden_size}, "
        f"{text.num_attention_heads} heads, {text.vocab_size} tokens",
    }


def _tensors(entries: Mapping[str, Entry]) -> dict[str, Any]:
    """How many tensors there are, of how many shapes, and of which dtypes as their files spell them."""
    dtypes = Counter(entry.dtype for entry in entries.values())
    shapes = {entry.shape for entry in entries.values()}
    return {"count": len(entries), "shapes": len(shapes), "dtypes": dict(sorted(dtypes.items()))}


def _tokenizer(model: OryxForConditionalGeneration, processor: OryxProcessor) -> dict[str, Any]:
    tokenizer = processor.tokenizer
    marks = {mark: tokenizer.convert_tokens_to_ids(mark) for mark in ("<|im_start|>", "<|im_end|>")}
    return {
        "class": type(tokenizer).__name__,
        "tokens": len(tokenizer),
        "vocabulary": model.config.text_config.vocab_size,
        **marks,
        "newline": tokenizer("\n", add_special_tokens=False).input_ids,
        "two_newlines": tokenizer("\n\n", add_special_tokens=False).input_ids,
        "end": tokenizer.eos_token_id,
        "image_token": processor.image_token_id,
        "prompt_style": processor.prompt_style,
    }


@torch.no_grad()
def _forward(
    folder: Path, model: OryxForConditionalGeneration, processor: OryxProcessor, picture: Image.Image
) -> dict[str, Any]:
    began = time.perf_counter()
    batch = _prompt(processor, picture, "Describe the image.")
    # A few positions tell as much as all, whose logits over a large vocabulary take gigabytes.
    logits = model(**batch.to(model.device), logits_to_keep=8).logits.float()
    if not bool(torch.isfinite(logits).all()):
        raise CheckpointError(f"{folder} gives logits that are not finite in {model.dtype}.")
    return {
        "prompt_tokens": batch["input_ids"].shape[1],
        "visual_tokens": int((batch["input_ids"] == processor.image_token_id).sum()),
        "patches": len(batch["patches"]),
        "logits_mean": round(float(logits.mean()), 4),
        "logits_std": round(float(logits.std()), 4),
        "next_token": processor.tokenizer.decode([int(logits[0, -1].argmax())]),
        "seconds": round(time.perf_counter() - began, 3),
    }


def _ask(
    model: OryxForConditionalGeneration,
    processor: OryxProcessor,
    words: str,
    shape: Draw,
    question: str,
    expected: str,
) -> dict[str, Any]:
    batch = _prompt(processor, draw(shape), question).to(model.device)
    output = model.generate(**batch, max_new_tokens=12, do_sample=False)
    answer = processor.tokenizer.decode(output[0, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    return {
        "picture": words,
        "question": question,
        "expected": expected,
        "answer": answer.strip(),
        "as_expected": expected in answer.lower(),
    }


def _prompt(processor: OryxProcessor, picture: Image.Image, question: str) -> Any:
    turns = [{"from": "human", "value": f"<image>\n{question}"}, {"from": "gpt", "value": None}]
    return processor.encode_conversation(turns, [{"type": "image", "image": picture}], supervise=None)


def _versions() -> dict[str, str]:
    found = {"oryx": oryx.__version__, "python": platform.python_version()}
    for name in ("torch", "transformers", "safetensors", "pillow", "av"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # a copy that is not installed as a package
            found[name] = "unknown"
    return found
