"""Parity with the reference: ids, labels and resized pixels of every case of both checkpoints."""

import json
from typing import Any

import pytest
import torch
from reference_cases import REFERENCE
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoProcessor, Qwen2Tokenizer

from oryx.processing.collate import EncodedSample
from oryx.processing.processor import OryxProcessor

CHECKPOINTS = ["oryx-tiny-qwen", "oryx-tiny-llama"]
NAMES = ["image_landscape", "two_images", "icon", "video", "video_long", "text"]
RATIOS = {"image": 1, "video": 4, "video_long": 16}


class Case:
    """One case of one checkpoint: the conversation, its visuals and what the reference computed."""

    def __init__(self, checkpoint: str, name: str) -> None:
        folder = REFERENCE / checkpoint
        cases = json.loads((folder / "cases.json").read_text())
        case = next(case for case in cases if case["name"] == name)
        self.name = name
        self.is_image = case["modality"] == "image"
        self.conversation: list[dict[str, Any]] = case["conversations"]
        self.sequence_length: int = case["sequence_length"]
        self.tensors = load_file(folder / "cases.safetensors")
        self.processor = OryxProcessor(Qwen2Tokenizer.from_pretrained(folder))
        self.visuals = []
        for index in range(case["num_visuals"]):
            frames = sorted((folder / "visuals").glob(f"{name}.{index}.*.png"))
            source = {"image": frames[0]} if self.is_image else {"video": frames}
            kind = "image" if self.is_image else "video"
            self.visuals.append({"type": kind, **source, "compression": RATIOS[case["modality"]]})

    def __getitem__(self, key: str) -> Tensor:
        return self.tensors[f"{self.name}.{key}"]


@pytest.fixture(params=[(checkpoint, name) for checkpoint in CHECKPOINTS for name in NAMES], ids="/".join)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(*request.param)


def collapsed(sample: EncodedSample) -> list[int]:
    """Ids with one -200 for each visual, as the reference writes them before it puts the features in."""
    ids: list[int] = []
    last = 0
    for start, stop in sample.spans:
        ids += [*sample.ids[last:start].tolist(), -200]
        last = stop
    return ids + sample.ids[last:].tolist()


def test_ids_and_labels(case: Case) -> None:
    sample = case.processor.encode_sample(case.conversation, case.visuals, supervise="published")
    assert collapsed(sample) == case["input_ids"].tolist()
    assert sample.labels is not None
    assert sample.labels.tolist() == case["expanded_labels"].tolist()
    assert len(sample) == case.sequence_length


def test_generation_prompt(case: Case) -> None:
    conversation = [case.conversation[0], {"from": "gpt", "value": None}]
    sample = case.processor.encode_sample(conversation, case.visuals)
    assert collapsed(sample) == case["generation_prompt_ids"].tolist()


@pytest.mark.parametrize("checkpoint", CHECKPOINTS)
def test_published_folders_have_this_processor(checkpoint: str) -> None:
    assert REFERENCE is not None
    assert isinstance(AutoProcessor.from_pretrained(REFERENCE / checkpoint), OryxProcessor)


def test_pixels(case: Case) -> None:
    batch = case.processor.encode_conversation(case.conversation, case.visuals)
    if not case.visuals:
        assert "patches" not in batch
        return
    sizes = batch["grids"].prod(1).tolist()
    views = iter(zip(batch["grids"].tolist(), batch["patches"].split(sizes)))
    for index, num_views in enumerate(batch["visual_lengths"].tolist()):
        pixels = []
        for (height, width), patches in (next(views) for _ in range(num_views)):
            blocks = patches.view(height, width, 3, 16, 16).permute(2, 0, 3, 1, 4)
            pixels.append((blocks.reshape(3, height * 16, width * 16) / 255 - 0.5) / 0.5)
        if case.is_image:
            assert [1, *pixels.pop(0).shape] == case[f"pixels.{index}.low_res_shape"].tolist()
        native = torch.stack(pixels)
        assert list(native.shape) == case[f"pixels.{index}.native_shape"].tolist()
        # The pixels are equal as bytes; what is left is the order of a float32 sum over a thousand values.
        means = native.mean((1, 3))
        torch.testing.assert_close(means, case[f"pixels.{index}.native_row_means"], rtol=0, atol=1e-6)
