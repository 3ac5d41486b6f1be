"""Configs: published defaults, round trips, and settings that cannot be."""

import json

import pytest
from factories import make_config, make_text_config
from transformers import AutoConfig, LlamaConfig, Qwen2Config

from oryx.config import INVALID_SETTINGS, OryxConfig, OryxLlamaConfig, OryxQwenConfig, OryxVisionConfig
from oryx.errors import ConfigError


def test_defaults_are_the_published_tower():
    config = OryxVisionConfig()
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads) == (1152, 27, 16)
    assert (config.intermediate_size, config.patch_size, config.position_grid_size) == (4304, 16, 128)
    assert (config.head_dim, config.layer_norm_eps, config.position_embedding) == (72, 1e-6, "learned")
    assert OryxConfig().compressor_dim == 256


@pytest.mark.parametrize(
    "text",
    [LlamaConfig(hidden_size=64), {"model_type": "llama", "hidden_size": 64}, {"hidden_size": 64}, None],
    ids=["config", "dict", "dict of the default type", "nothing"],
)
def test_the_language_model_is_given_as_config_or_dict(text):
    config = OryxConfig(text_config=text)
    named = text.get("model_type") if isinstance(text, dict) else getattr(text, "model_type", None)
    assert config.text_config.model_type == (named or "qwen2")
    if text is not None:
        assert config.text_config.hidden_size == 64


def test_tying_is_the_language_models_rule():
    assert make_config(tie_word_embeddings=True).tie_word_embeddings is True
    assert make_config(tie_word_embeddings=False).tie_word_embeddings is False
    assert OryxConfig(text_config=make_text_config(), tie_word_embeddings=True).tie_word_embeddings is False


def settings_of(config):
    bookkeeping = ("transformers_version", "_name_or_path", "architectures", "dtype")
    return {key: value for key, value in config.to_dict().items() if key not in bookkeeping}


@pytest.mark.parametrize("model_type", ["qwen2", "llama", "gemma2"])
def test_there_and_back(model_type, tmp_path):
    config = make_config(model_type, vision={"position_embedding": "rotary", "num_attention_heads": 3})
    config.save_pretrained(tmp_path)
    for back in (OryxConfig.from_pretrained(tmp_path), AutoConfig.from_pretrained(tmp_path)):
        assert type(back) is OryxConfig
        assert type(back.text_config) is type(config.text_config)
        assert (back.compressor_dim, back.image_token_id) == (config.compressor_dim, config.image_token_id)
        assert settings_of(back.vision_config) == settings_of(config.vision_config)
        assert settings_of(back.text_config) == settings_of(config.text_config)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["model_type"] == "oryx"
    assert saved["vision_config"]["position_embedding"] == "rotary"
    assert saved["text_config"]["model_type"] == model_type


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"num_attention_heads": 7}, "vision hidden_size 1152 is not a multiple of num_attention_heads 7"),
        (
            {"position_embedding": "sine"},
            "position_embedding 'sine' is unknown; allowed: learned, rotary, both",
        ),
        (
            {"position_embedding": "rotary", "hidden_size": 1152, "num_attention_heads": 64},
            "rotary positions need a head size divisible by 4, not 18",
        ),
    ],
)
def test_towers_that_cannot_be(settings, sentence):
    with pytest.raises(ConfigError, match=sentence):
        OryxVisionConfig(**settings)
    with pytest.raises(ConfigError, match=sentence):
        OryxConfig(vision_config=settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"vision_config": {"hidden_size": "wide"}},
        {"text_config": {"model_type": "abacus"}},
        {"compressor_dim": "x"},
    ],
)
def test_settings_of_the_wrong_kind_are_of_a_known_kind_of_error(settings):
    with pytest.raises(INVALID_SETTINGS):
        OryxConfig(**settings)


def test_published_configs_are_language_model_configs():
    settings = {"hidden_size": 64, "mm_vision_tower": "oryx_vit:x.pth", "mm_hidden_size": 1152}
    for published, base in ((OryxQwenConfig, Qwen2Config), (OryxLlamaConfig, LlamaConfig)):
        config = published(**settings)
        assert isinstance(config, base)
        assert config.mm_vision_tower == "oryx_vit:x.pth"
        assert type(AutoConfig.for_model(published.model_type)) is published
