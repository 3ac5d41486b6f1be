"""The key table covers every tensor of every published model, both ways, at its real size, without memory."""

import pytest
import torch

from oryx.checkpoints.keymap import RULES, TOWER, UNUSED, reshape_in, reshape_out, to_native, to_published
from oryx.checkpoints.presets import list_presets, preset_config, preset_settings
from oryx.checkpoints.published import PUBLISHED_TYPES, expected_shapes
from oryx.errors import ConfigError
from oryx.model.modeling import OryxForConditionalGeneration

# (parameters of the language model, width) of Qwen2-7B, Yi-1.5-34B, Qwen2.5-7B and Qwen2.5-32B, as published.
SIZES = {
    "oryx-7b": (7_615_616_512, 3584),
    "oryx-34b": (34_388_917_248, 7168),
    "oryx-1.5-7b": (7_615_616_512, 3584),
    "oryx-1.5-32b": (32_763_876_352, 5120),
}


def test_presets():
    assert set(list_presets()) == set(SIZES)
    with pytest.raises(ConfigError, match=r"no preset 'oryx-8b'; allowed: oryx-1.5-32b, "):
        preset_config("oryx-8b")


@pytest.mark.parametrize("name", SIZES)
def test_a_preset_has_the_published_size(name):
    with torch.device("meta"):
        model = OryxForConditionalGeneration(preset_config(name))
    num_parameters, width = SIZES[name]
    assert sum(p.numel() for p in model.language_model.parameters()) == num_parameters
    assert model.projector.fc1.weight.shape == (width, 1152)
    assert model.vision_tower.blocks[0].attn.config.head_dim == 72
    assert preset_settings(name)["model_type"] in PUBLISHED_TYPES


@pytest.mark.parametrize("name", SIZES)
def test_the_table_covers_every_key_both_ways(name):
    config = preset_config(name)
    expected = expected_shapes(config)
    patch_size = config.vision_config.patch_size
    published = {}
    for native, shape in expected.items():
        key, rule = to_published(native)
        published[key] = rule.shape_out(shape, patch_size)
        back, rule_back = to_native(key)
        assert back == native
        assert rule_back is rule
        assert rule.shape_in(published[key]) == shape
    assert len(published) == len(expected)
    assert published[f"{TOWER}patch_embed.proj.weight"] == (1152, 3, 16, 16)
    assert published[f"{TOWER}pos_embed"] == (1, 128 * 128, 1152)
    assert published[f"{TOWER}blocks.26.mlp.fc1.weight"] == (4304, 1152)
    assert published["model.vision_resampler.vlm_query_projector.weight"] == (256, 1152)
    assert published["lm_head.weight"] == published["model.embed_tokens.weight"]
    assert not any(UNUSED.fullmatch(key) for key in published)


def test_every_rule_is_used():
    native = set(expected_shapes(preset_config("oryx-7b")))
    for _, target, _ in RULES:
        prefix, star, _ = target.partition("*")
        assert any(name.startswith(prefix) if star else name == prefix for name in native), target


@pytest.mark.parametrize(
    "key", ["model.vision_tower.blocks.0.x", "lm_headless.weight", "pos_embed", f"{TOWER}cls_token", ""]
)
def test_unknown_keys_have_no_place(key):
    assert to_native(key) is None
    assert to_published(key) is None


@pytest.mark.parametrize("name", ["norm.weight", "fc_norm.bias", "attn_pool.q.weight", "head.fc.weight"])
def test_what_the_method_does_not_use(name):
    assert UNUSED.fullmatch(TOWER + name)
    assert not UNUSED.fullmatch(f"model.{name}")
    assert not UNUSED.fullmatch(f"{TOWER}blocks.0.{name}")


def test_reshaping_there_and_back_moves_no_value():
    for key, shape in ((f"{TOWER}patch_embed.proj.weight", (5, 3, 4, 4)), (f"{TOWER}pos_embed", (1, 9, 5))):
        tensor = torch.randn(shape)
        _, rule = to_native(key)
        native = reshape_in(tensor, rule)
        assert torch.equal(reshape_out(native, rule, 4), tensor)
        assert torch.equal(native.flatten(), tensor.flatten())
