"""What vLLM measures its memory with is as large as requests can be."""

import pytest
import torch
from vllm.config import ModelConfig
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm_requests import opened

import oryx
from oryx.loading import load_processor, resolve_folder
from oryx.processing.geometry import ResizeRule, image_views
from oryx.processing.memory import CHUNK_PATCHES
from oryx.serving.vllm import register
from oryx.serving.vllm.dummy import largest_visual

RULE = ResizeRule()


@pytest.mark.parametrize("num_positions", [64, 512, 1024, 4096, 32768])
def test_it_fills_the_context(num_positions):
    visual = largest_visual(num_positions, RULE)
    width = max(view.token_grid[1] for view in visual.views) + 1
    assert num_positions - 2 * width < visual.num_tokens <= num_positions
    assert len(visual.patches) == sum(view.num_patches for view in visual.views)


def test_it_has_the_largest_view_and_a_full_chunk():
    visual = largest_visual(32768, RULE)
    largest = max(view.num_patches for ratio in (1, 16) for view in image_views(5000, 5000, RULE, ratio))
    assert max(view.num_patches for view in visual.views) >= largest
    assert sum(view.num_patches for view in visual.views if view.compression == 1) > 2 * CHUNK_PATCHES


def test_vllm_gets_it_as_one_item_on_the_cpu():
    register()
    config = ModelConfig(str(resolve_folder("nano")), max_model_len=2048)
    processor = MULTIMODAL_REGISTRY.create_processor(config)
    made = processor.get_dummy_mm_inputs({"video": 1})
    (place,) = made["mm_placeholders"]["video"]
    assert 2048 - 100 < place.length <= 2048
    (item,) = made["mm_kwargs"]["video"]
    assert all(element.field.keep_on_cpu for element in item.values())

    visual = largest_visual(2048, processor.info.processor.rule)
    model, _ = oryx.load("nano", dtype="float32")
    with torch.no_grad():
        embeds, spans = model.get_visual_embeds(
            item["video_patches"].data,
            item["video_grids"].data,
            item["video_compressions"].data,
            torch.tensor([len(visual.views)]),
            item["video_kind"].data[None],
            chunk_patches=CHUNK_PATCHES,
        )
    assert spans == [place.length] == [len(embeds)]


def test_vllm_measures_with_it(settings, monkeypatch):
    """On a CPU it does so only before it compiles; so it is told to."""
    monkeypatch.setenv("VLLM_ALLOW_INSECURE_SERIALIZATION", "1")

    def measure(worker):
        seen = []
        encode = worker.model_runner.model.embed_multimodal

        def embed(**inputs):
            seen.append([str(inputs["video_patches"][0].device), inputs["video_patches"][0].shape[0]])
            outputs = encode(**inputs)
            seen.append([len(output) for output in outputs])
            return outputs

        worker.model_runner.model.embed_multimodal = embed
        worker.model_runner.profile_run()
        return seen

    with opened(resolve_folder("nano"), **settings) as llm:
        ((patches, positions),) = llm.collective_rpc(measure)
    visual = largest_visual(settings["max_model_len"], load_processor(resolve_folder("nano")).rule)
    assert patches == ["cpu", len(visual.patches)]
    assert positions == [visual.num_tokens]
