"""Exact parity with the reference, in float32 on the CPU, from both published layouts and after `convert`.

Tolerances are the project's targets. What is measured is about a hundred times smaller (1e-6 relative for
norms, 6e-6 for logits): float32 sums in another order.
"""

import pytest
import torch
from reference_cases import NAMES, read_cases, read_visuals

CASES = [case["name"] for case in read_cases(NAMES[0])]


@pytest.fixture(params=CASES)
def case(request, name):
    return next(case for case in read_cases(name) if case["name"] == request.param)


@pytest.fixture
def batch(loaded, name, case):
    return loaded[1].encode_conversation(
        case["conversations"], read_visuals(name, case), supervise="published"
    )


def test_ids_and_labels(loaded, batch, case, tensors):
    _, processor = loaded
    ids = batch["input_ids"][0]
    expected = tensors[f"{case['name']}.input_ids"]
    assert len(ids) == case["sequence_length"]
    assert torch.equal(ids[ids != processor.image_token_id], expected[expected != -200])
    assert torch.equal(batch["labels"][0], tensors[f"{case['name']}.expanded_labels"])


def test_generation_prompt(loaded, name, case, tensors):
    _, processor = loaded
    opened = [case["conversations"][0], {"from": "gpt", "value": None}]
    ids = processor.encode_conversation(opened, read_visuals(name, case), supervise=None)["input_ids"][0]
    expected = tensors[f"{case['name']}.generation_prompt_ids"]
    assert torch.equal(ids[ids != processor.image_token_id], expected[expected != -200])


def test_logits_and_loss(loaded, batch, case, tensors):
    model, _ = loaded
    with torch.no_grad():
        out = model(**batch)
    expected = tensors[f"{case['name']}.logits"]
    actual = out.logits[0, tensors[f"{case['name']}.logit_positions"]]
    torch.testing.assert_close(actual, expected, atol=2e-4, rtol=0)
    assert out.loss.item() == pytest.approx(case["loss"], abs=1e-4)


def test_rows_that_enter_the_language_model(loaded, batch, case, tensors):
    model, _ = loaded
    embeds = None
    if case["num_visuals"]:
        keys = ("patches", "grids", "compressions", "visual_lengths", "visual_kinds")
        embeds, _ = model.get_visual_embeds(**{key: batch[key] for key in keys})
    rows = model.fuse(batch["input_ids"], embeds)[0]
    torch.testing.assert_close(
        rows.norm(dim=-1), tensors[f"{case['name']}.inputs_embeds_row_norms"], rtol=1e-4, atol=0
    )


def test_tower_and_compressor(loaded, batch, case, tensors):
    model, _ = loaded
    if not case["num_visuals"]:
        assert "patches" not in batch
        return
    grids, ratios = batch["grids"].tolist(), batch["compressions"].tolist()
    features = model.vision_tower(batch["patches"], batch["grids"])
    per_view = features.split([h * w for h, w in grids])
    step = batch["visual_lengths"].tolist()
    first = 0
    for visual, length in enumerate(step):
        # Images: the fixture holds the native view, which comes last; videos: the first frame.
        view = first + length - 1 if case["modality"] == "image" else first
        expected = tensors[f"{case['name']}.vit_features.{visual}"][0]
        torch.testing.assert_close(per_view[view], expected, atol=1e-4, rtol=1e-4)
        compressed = model.compressor(per_view[view], [grids[view]], [ratios[view]])
        expected = tensors[f"{case['name']}.compressed.{visual}"][0]
        torch.testing.assert_close(compressed, expected, atol=1e-4, rtol=1e-4)
        first += length
