"""Parts of models on disk: which kinds of folders and files are known, and that configs need no weights."""

import json
import shutil

import pytest
import torch
from reference_cases import REFERENCE
from transformers import SiglipVisionConfig, SiglipVisionModel

import oryx
from oryx.checkpoints.parts import open_language_model, open_part, open_tower
from oryx.errors import CheckpointError, ConfigError

PARTS = ("vision_tower", "compressor", "projector", "language_model")


@pytest.fixture(scope="module")
def native(tmp_path_factory):
    return oryx.convert(REFERENCE / "oryx-tiny-qwen", tmp_path_factory.mktemp("native") / "qwen")


def read(part):
    return {name: tensor[...] for name, tensor in part.weights().items()}


@pytest.mark.parametrize("layout", ["native", "published"])
@pytest.mark.parametrize("name", PARTS)
def test_every_part_is_read_from_either_layout(native, layout, name):
    folder = native if layout == "native" else REFERENCE / "oryx-tiny-qwen"
    part = open_part(folder, name)
    expected = oryx.load(native, dtype="float32", device="cpu")[0].get_submodule(name).state_dict()
    found = read(part)
    assert expected.keys() - found.keys() <= {"lm_head.weight"}  # tied to the embedding
    assert all(torch.equal(tensor, expected[key]) for key, tensor in found.items())
    assert part.folder == (native if layout == "native" else None)


def test_configs_are_read_without_weights(native, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(native, bare)
    (bare / "model.safetensors").unlink()
    assert open_tower(bare).config.to_dict() == open_tower(native).config.to_dict()
    assert open_language_model(bare).config.model_type == "qwen2"
    with pytest.raises(CheckpointError, match=r"holds neither model.safetensors nor"):
        open_tower(bare).weights()


def test_a_siglip_s_tower_needs_its_config_alone(tmp_path):
    sizes = {"hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 1, "num_attention_heads": 2}
    SiglipVisionModel(SiglipVisionConfig(**sizes, image_size=8, patch_size=4)).save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    assert open_tower(tmp_path, {"patch_size": 8}).config.patch_size == 8


def test_a_language_model_of_transformers_is_no_part(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen2"}))
    assert open_language_model(tmp_path) is None
    with pytest.raises(CheckpointError, match="model_type 'qwen2'; allowed: oryx, oryx_qwen, oryx_llama"):
        open_part(tmp_path, "projector")


def test_a_tower_file_tells_its_shapes_and_no_more(tmp_path):
    file = REFERENCE / "oryx-tiny-llama" / "oryx_vit.pth"
    config = open_tower(file, {"num_attention_heads": 1}).config
    assert config.num_attention_heads == 1
    with pytest.raises(ConfigError, match=r"hidden_size is told by the shapes in .*oryx_vit.pth"):
        open_tower(file, {"hidden_size": 4})
    with pytest.raises(ConfigError, match=r"hidden_size 48 is not a multiple of num_attention_heads 7"):
        open_tower(file, {"num_attention_heads": 7})
    with pytest.raises(ConfigError, match="the tower cannot have these settings"):
        open_tower(file, {"layer_norm_eps": "small"})
    torch.save({"patch_embed.proj.bias": torch.zeros(2)}, tmp_path / "broken.pth")
    with pytest.raises(CheckpointError, match=r"broken.pth: the tower lacks patch_embed.proj.weight"):
        open_tower(tmp_path / "broken.pth")
