"""The forecast: tokens equal to the processor's, costs equal to what a counter sees the model do."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from factories import RULE, make_processor
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode
from transformers import DynamicCache

from oryx.config import OryxConfig, OryxVisionConfig
from oryx.errors import CheckpointError, ConfigError, MediaError
from oryx.model.modeling import OryxForConditionalGeneration
from oryx.processing.costs import ModelSizes, kv_cache_bytes, lm_prefill_flops, vision_flops
from oryx.processing.forecast import Forecast, forecast_visual
from oryx.processing.geometry import REGIONS, ResizeRule
from oryx.processing.settings import processor_settings
from oryx.processing.visuals import encode_visual

VISION = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_channels": 3}
TEXT = {
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 99,
}


@pytest.fixture
def sizes() -> ModelSizes:
    return ModelSizes.from_settings(VISION, TEXT, compressor_dim=8, dtype="float32")


@pytest.fixture
def model() -> OryxForConditionalGeneration:
    """A real model of the same sizes, with plain products that a counter can see."""
    config = OryxConfig(
        vision_config=OryxVisionConfig(**VISION, num_attention_heads=4, patch_size=4, position_grid_size=8),
        text_config={**TEXT, "model_type": "qwen2"},
        compressor_dim=8,
        image_token_id=98,
    )
    torch.manual_seed(0)
    return OryxForConditionalGeneration._from_config(config, attn_implementation="eager").eval()


def draw(rng: np.random.Generator) -> Image.Image:
    height, width = (int(side) for side in np.exp(rng.uniform(0, np.log(150), 2)).round())
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("kind", ["image", "video", "views"])
@pytest.mark.parametrize("seed", range(8))
def test_views_and_tokens_are_those_that_are_encoded(processor, tmp_path, kind, seed):
    rng = np.random.default_rng(seed)
    for ratio, published in itertools.product([None, *REGIONS], (False, True)):
        # The published rule makes large views: a few of them tell as much as many.
        if published and seed:
            continue
        rule = ResizeRule() if published else processor.rule
        visual = {"type": kind, "compression": ratio}
        if rng.random() < 0.4:
            visual["max_pixels"] = int(rng.integers(1, 2000))
        if kind == "image":
            visual["detail"] = str(rng.choice(["high", "low"]))
            visual["image"] = draw(rng)
        else:
            visual[kind] = [draw(rng) for _ in range(rng.integers(1, 5))]
            if ratio and rng.random() < 0.5:
                visual["compression"] = [int(r) for r in rng.choice(list(REGIONS), len(visual[kind]))]
        found, true = forecast_visual(visual, rule), encode_visual(visual, rule)
        assert found.views == true.views, visual
        assert (found.layout, found.num_tokens) == (true.kind, true.num_tokens)


def test_files_are_forecast_by_their_headers(processor, tmp_path):
    picture = Image.fromarray(np.zeros((30, 50, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    picture.save(tmp_path / "cat.jpg", exif=exif)
    content = (tmp_path / "cat.jpg").read_bytes()
    visual = {"type": "image", "image": tmp_path / "cat.jpg"}
    true = encode_visual(visual, processor.rule)
    (tmp_path / "cat.jpg").write_bytes(content[: content.index(b"\xff\xda")])  # no pixel left to decode
    found = forecast_visual(visual, processor.rule)
    assert found.views == true.views
    assert (found.name, found.height, found.width) == ("cat.jpg", 50, 30)


@pytest.mark.parametrize("dials", [{}, {"max_frames": 3}, {"fps": 4.0}, {"timestamps": True}])
def test_animations(processor, tmp_path, dials):
    frames = [Image.new("RGB", (30, 20), (40 * number, 0, 0)) for number in range(6)]
    frames[0].save(tmp_path / "wave.gif", save_all=True, append_images=frames[1:], duration=100)
    visual = {"type": "video", "video": str(tmp_path / "wave.gif"), **dials}
    found, true = forecast_visual(visual, processor.rule), encode_visual(visual, processor.rule)
    assert found.views == true.views
    assert found.note == true.note


def test_arrays_and_lists_of_frames(processor):
    visual = {
        "type": "video",
        "video": np.zeros((3, 20, 30, 3), dtype=np.uint8),
        "fps": 2,
        "timestamps": True,
    }
    found, true = forecast_visual(visual, processor.rule), encode_visual(visual, processor.rule)
    assert found.views == true.views
    assert found.note == true.note == "Frames at 0.0 s, 0.5 s, 1.0 s."
    assert found.name == "3 frames"


def test_grids_and_ratios_are_given_once_where_they_agree(processor, picture):
    frames = [picture(), picture(), picture(40, 10)]
    found = forecast_visual({"type": "views", "views": frames}, processor.rule)
    assert len(found.views) == 3
    assert len(found.grids) == 2
    assert found.compression == 4
    mixed = forecast_visual({"type": "views", "views": frames, "compression": [1, 1, 4]}, processor.rule)
    assert mixed.to_dict()["compression"] == [1, 1, 4]


@pytest.mark.parametrize(
    ("visual", "error", "sentence"),
    [
        ({"type": "image", "image": Path("nowhere.png")}, MediaError, "nowhere.png"),
        ({"type": "views", "views": []}, MediaError, "empty"),
        ({"type": "video", "video": []}, MediaError, "empty"),
        (
            {"type": "image", "image": Image.new("RGB", (9, 9)), "compression": 3},
            ConfigError,
            "compression 3",
        ),
        ({"type": "image", "image": Image.new("RGB", (9, 9)), "detail": "odd"}, ConfigError, "detail"),
        ({"type": "song"}, ConfigError, "song"),
    ],
)
def test_errors(processor, visual, error, sentence):
    with pytest.raises(error, match=sentence):
        forecast_visual(visual, processor.rule)


@pytest.mark.parametrize("ratio", REGIONS)
def test_vision_flops_are_what_the_model_does(processor, picture, model, sizes, ratio):
    visual = {"type": "image", "image": picture(24, 40), "compression": ratio}
    encoded = encode_visual(visual, processor.rule)
    grids = torch.tensor([view.grid for view in encoded.views])
    ratios = torch.tensor([view.compression for view in encoded.views])
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.encode_views(torch.from_numpy(encoded.patches), grids, ratios)
    assert vision_flops(encoded.views, sizes) == counter.get_total_flops()


def test_prefill_flops_and_cache_are_what_the_model_needs(model, sizes):
    cache = DynamicCache(config=model.config.text_config)
    ids = torch.arange(50)[None]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=ids, cache=cache, logits_to_keep=1, use_cache=True)
    # Some releases make the rotary angles by a product of positions and frequencies, which is not counted.
    angles = 2 * 50 * (sizes.text.head_dim // 2)
    assert counter.get_total_flops() - lm_prefill_flops(50, sizes.text) in (0, angles)
    assert kv_cache_bytes(50, sizes) == sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)


def test_published_sizes():
    vision = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_channels": 3}
    text = {
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
    }
    text |= {"num_key_value_heads": 4, "vocab_size": 152064}
    sizes = ModelSizes.from_settings(vision, text, compressor_dim=256, dtype="bfloat16")
    assert kv_cache_bytes(1, sizes) == 57_344  # 56 KiB, as is known of Qwen2-7B
    one_token = lm_prefill_flops(1, sizes.text) / 2
    assert one_token == pytest.approx(7.07e9, rel=0.01)  # its parameters without the embedding


def test_nothing_costs_nothing(sizes):
    plan = Forecast((), sizes).to_dict()
    assert plan["visuals"] == []
    assert {plan[key] for key in ("total_tokens", "kv_cache_bytes", "vision_flops", "lm_prefill_flops")} == {
        0
    }


def test_a_prompt_counts_whole(sizes):
    plan = Forecast((), sizes, prompt_tokens=10).to_dict()
    assert plan["kv_cache_bytes"] == kv_cache_bytes(10, sizes)
    assert plan["lm_prefill_flops"] == lm_prefill_flops(10, sizes.text)
    assert plan["prompt_tokens"] == 10


def test_settings_fall_back_on_heads():
    text = {key: value for key, value in TEXT.items() if key != "num_key_value_heads"}
    sizes = ModelSizes.from_settings(VISION, text, 8, "float16").text
    assert (sizes.num_key_value_heads, sizes.head_dim) == (4, 6)


def test_unknown_dtype():
    with pytest.raises(ConfigError, match="bfloat16"):
        ModelSizes.from_settings(VISION, TEXT, 8, "int3")


@pytest.mark.parametrize("value", ["x", None, True, 0, -1, 2.5])
def test_sizes_are_whole_numbers(value):
    for changed in ((VISION | {"hidden_size": value}, TEXT), (VISION, TEXT | {"num_attention_heads": value})):
        with pytest.raises(TypeError, match="must be a whole number of at least 1"):
            ModelSizes.from_settings(*changed, 16, "float32")


def test_settings_of_the_processor_are_those_it_saves(tmp_path):
    make_processor().save_pretrained(tmp_path)
    assert processor_settings(tmp_path)["resize_rule"] == RULE
    (tmp_path / "processor_config.json").write_text('{"prompt_stile": "eval"}')
    with pytest.raises(CheckpointError, match=r"has no setting 'prompt_stile'; did you mean 'prompt_style'"):
        processor_settings(tmp_path)
