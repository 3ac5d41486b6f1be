"""Conversion: every byte survives there and back, and a failure leaves nothing behind."""

import json
from importlib import import_module

import pytest
import torch
from factories import make_config, make_model, make_processor, make_tokenizer
from reference_cases import NAMES, REFERENCE
from safetensors.torch import load_file

import oryx
from oryx.checkpoints.files import INDEX, list_shards
from oryx.checkpoints.keymap import TOWER
from oryx.checkpoints.published import TOWER_FILE
from oryx.errors import CheckpointError, ConfigError
from oryx.json_file import read_json
from oryx.processing.processor import OryxProcessor

convert_module = import_module("oryx.checkpoints.convert")  # the package names the function alike


def read_all(folder):
    return {name: tensor for shard in list_shards(folder) for name, tensor in load_file(shard).items()}


def assert_same_bytes(actual, expected):
    assert actual.keys() == expected.keys()
    for name, tensor in expected.items():
        assert actual[name].dtype == tensor.dtype, name
        assert torch.equal(actual[name].view(torch.uint8), tensor.contiguous().view(torch.uint8)), name


@pytest.mark.parametrize("name", NAMES)
def test_there_and_back_is_equal_byte_for_byte(name, tmp_path):
    source = REFERENCE / name
    native = oryx.convert(source, tmp_path / "native")
    back = oryx.convert(native, tmp_path / "back")
    expected = read_all(source)
    if (source / TOWER_FILE).is_file():
        tower = torch.load(source / TOWER_FILE, weights_only=True)
        expected |= {TOWER + key: tensor for key, tensor in tower.items()}
    assert_same_bytes(read_all(back), expected)
    again = oryx.convert(back, tmp_path / "again")
    assert_same_bytes(read_all(again), read_all(native))
    original, returned = read_json(source / "config.json"), read_json(back / "config.json")
    ours = {key: value for key, value in original.items() if key in returned}
    # A pointer, and a window that `use_sliding_window: false` switches off.
    ignored = {"transformers_version", "mm_vision_tower", "sliding_window"}
    assert {key: returned[key] for key in ours if key not in ignored} == {
        key: value for key, value in ours.items() if key not in ignored
    }
    assert {"hidden_size", "num_attention_heads", "rope_theta", "rms_norm_eps", "model_type"} <= ours.keys()


def test_bfloat16_stays_bfloat16(qwen, tmp_path):
    qwen.edit(lambda tensors: tensors.update({name: t.bfloat16() for name, t in tensors.items()}))
    qwen.configure(torch_dtype="bfloat16")
    native = oryx.convert(qwen.folder, tmp_path / "native")
    assert {tensor.dtype for tensor in read_all(native).values()} == {torch.bfloat16}
    assert read_json(native / "config.json")["dtype"] == "bfloat16"
    back = oryx.convert(native, tmp_path / "back")
    assert_same_bytes(read_all(back), qwen.tensors())
    assert read_json(back / "config.json")["torch_dtype"] == "bfloat16"


def test_shards_are_converted_one_by_one(qwen, tmp_path):
    expected = read_all(oryx.convert(qwen.folder, tmp_path / "whole"))
    seen = []
    native = oryx.convert(qwen.shard(3), tmp_path / "native", report=lambda *args: seen.append(args))
    assert [(number, count) for _, number, count in seen] == [(1, 3), (2, 3), (3, 3)]
    assert_same_bytes(read_all(native), expected)
    index = read_json(native / INDEX)
    assert set(index["weight_map"]) == set(expected)
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in expected.values())
    model, _ = oryx.load(native, device="cpu")
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())
    back = oryx.convert(native, tmp_path / "back")
    assert len(list_shards(back)) == 3
    assert_same_bytes(read_all(back), read_all(qwen.folder))


def test_shards_and_a_tower_beside(llama, tmp_path):
    native = oryx.convert(llama.shard(2), tmp_path / "native")
    assert len(list_shards(native)) == 3
    oryx.load(native, device="cpu")


def test_the_native_folder_is_loaded_as_the_published_one(qwen, tmp_path):
    native = oryx.convert(qwen.folder, tmp_path / "native")
    for name in ("config.json", "processor_config.json", "tokenizer_config.json", "generation_config.json"):
        assert (native / name).is_file(), name
    published, its_processor = oryx.load(qwen.folder, device="cpu")
    model, processor = oryx.load(native, device="cpu")
    assert model.config.image_token_id == processor.image_token_id == its_processor.image_token_id
    assert model.generation_config.eos_token_id == published.generation_config.eos_token_id
    assert model.dtype == published.dtype


def test_weights_can_be_read_by_whoever_reads_the_config(qwen, tmp_path):
    native = oryx.convert(qwen.folder, tmp_path / "native")
    back = oryx.convert(native, tmp_path / "back")
    for folder in (native, back):
        assert {path.stat().st_mode for path in folder.iterdir()} == {(folder / "config.json").stat().st_mode}


# -- failures ------------------------------------------------------------------------------------------


def assert_nothing_left(tmp_path, *known):
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(known)


def test_nothing_is_left_when_the_disk_is_full(qwen, tmp_path, monkeypatch):
    qwen.shard(3)
    save_file, calls = convert_module.save_file, []

    def fill_the_disk(tensors, file, **kwargs):
        calls.append(file)
        if len(calls) == 2:
            file.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save_file(tensors, file, **kwargs)

    monkeypatch.setattr(convert_module, "save_file", fill_the_disk)
    with pytest.raises(CheckpointError, match=r"native cannot be written \(.*No space left on device\)"):
        oryx.convert(qwen.folder, tmp_path / "native")
    assert len(calls) == 2
    assert_nothing_left(tmp_path, "qwen")


def test_nothing_is_left_when_it_is_interrupted(qwen, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(convert_module, "save_file", interrupt)
    with pytest.raises(KeyboardInterrupt):
        oryx.convert(qwen.folder, tmp_path / "native")
    assert_nothing_left(tmp_path, "qwen")


def test_nothing_is_left_of_a_folder_without_a_tokenizer(qwen, tmp_path):
    (qwen.folder / "vocab.json").unlink()
    (qwen.folder / "tokenizer_config.json").unlink()
    (qwen.folder / "merges.txt").unlink()
    with pytest.raises(CheckpointError, match="tokenizer"):
        oryx.convert(qwen.folder, tmp_path / "native")
    assert_nothing_left(tmp_path, "qwen")


def test_nothing_is_left_of_a_source_that_does_not_fit(qwen, tmp_path):
    qwen.edit(lambda tensors: tensors.pop("model.norm.weight"))
    with pytest.raises(CheckpointError, match=r"missing keys language_model\.model\.norm\.weight"):
        oryx.convert(qwen.folder, tmp_path / "native")
    assert_nothing_left(tmp_path, "qwen")


def test_a_native_source_is_checked_too(qwen, tmp_path):
    native = oryx.convert(qwen.folder, tmp_path / "native")
    tensors = load_file(native / "model.safetensors")
    del tensors["projector.end"]
    tensors["projector.middle"] = torch.ones(1)
    convert_module.save_file(tensors, native / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"unknown keys projector\.middle; missing keys projector\.end"):
        oryx.convert(native, tmp_path / "back")
    assert_nothing_left(tmp_path, "qwen", "native")


@pytest.mark.parametrize("kind", ["full folder", "file"])
def test_a_destination_that_exists(qwen, tmp_path, kind):
    target = tmp_path / "target"
    content = target
    if kind == "full folder":
        target.mkdir()
        content = target / "mine.txt"
    content.write_text("mine")
    with pytest.raises(CheckpointError, match="target already exists and is not an empty folder"):
        oryx.convert(qwen.folder, target)
    assert content.read_text() == "mine"


def test_an_empty_folder_and_new_parents_may_be_the_destination(qwen, tmp_path):
    (tmp_path / "empty").mkdir()
    oryx.convert(qwen.folder, tmp_path / "empty")
    oryx.convert(qwen.folder, tmp_path / "new" / "deep")
    assert_same_bytes(read_all(tmp_path / "empty"), read_all(tmp_path / "new" / "deep"))


def test_a_destination_below_a_file(qwen, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be written"):
        oryx.convert(qwen.folder, tmp_path / "file" / "native")


def test_a_folder_of_another_type(qwen, tmp_path):
    with pytest.raises(CheckpointError, match="model_type 'bert'; allowed: oryx, oryx_qwen, oryx_llama"):
        oryx.convert(qwen.configure(model_type="bert"), tmp_path / "native")


def test_a_missing_source(tmp_path):
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        oryx.convert(tmp_path / "nowhere", tmp_path / "native")


@pytest.mark.parametrize(
    "config",
    [make_config("gpt_neox"), make_config(vision={"position_embedding": "rotary", "num_attention_heads": 3})],
    ids=["another language model", "rotary positions"],
)
def test_what_the_published_layout_cannot_hold(config, tmp_path):
    make_model(config).save_pretrained(tmp_path / "native")
    make_processor().save_pretrained(tmp_path / "native")
    with pytest.raises(CheckpointError, match="cannot be written in the published layout"):
        oryx.convert(tmp_path / "native", tmp_path / "back")
    assert_nothing_left(tmp_path, "native")


@pytest.mark.parametrize(
    ("vision", "settings", "keys"),
    [
        ({"layer_norm_eps": 1e-5}, {}, r"vision_config\.layer_norm_eps"),
        ({"hidden_act": "relu"}, {}, r"vision_config\.hidden_act"),
        ({}, {"prompt_style": "eval"}, r"processor_config\.prompt_style"),
        ({}, {"system_prompt": ""}, r"processor_config\.system_prompt"),
        ({}, {"image_token": "<|vision|>"}, r"processor_config\.image_token"),
        (
            {"hidden_act": "relu"},
            {"resize_rule": {"low_area": 256**2, "video_min_area": 256**2}, "system_prompt": ""},
            r"processor_config\.resize_rule\.low_area, processor_config\.resize_rule\.video_min_area, "
            r"processor_config\.system_prompt, vision_config\.hidden_act",
        ),
    ],
)
def test_settings_that_the_published_layout_cannot_hold(vision, settings, keys, tmp_path):
    make_model(make_config(vision=vision)).save_pretrained(tmp_path / "native")
    OryxProcessor(make_tokenizer(), **settings).save_pretrained(tmp_path / "native")
    with pytest.raises(
        CheckpointError, match=rf"native sets what the published layout has no place for: {keys}\.$"
    ):
        oryx.convert(tmp_path / "native", tmp_path / "back")
    assert_nothing_left(tmp_path, "native")


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_broken_generation_config_is_not_handed_on(qwen, content, tmp_path):
    native = oryx.convert(qwen.folder, tmp_path / "native")
    (native / "generation_config.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"generation_config\.json"):
        oryx.convert(native, tmp_path / "back")
    assert_nothing_left(tmp_path, "qwen", "native")


def test_a_tied_model_there_and_back(tmp_path):
    model = make_model(make_config(tie_word_embeddings=True))
    model.save_pretrained(tmp_path / "native")
    OryxProcessor(make_tokenizer()).save_pretrained(tmp_path / "native")
    back = oryx.convert(tmp_path / "native", tmp_path / "back")
    assert json.loads((back / "config.json").read_text())["tie_word_embeddings"] is True
    assert "lm_head.weight" not in read_all(back)
    again = oryx.convert(back, tmp_path / "again")
    assert_same_bytes(read_all(again), read_all(tmp_path / "native"))


def test_a_tower_for_a_source_that_needs_none(qwen, tmp_path):
    native = oryx.convert(qwen.folder, tmp_path / "native")
    with pytest.raises(ConfigError, match="holds its tower"):
        oryx.convert(native, tmp_path / "back", vision_tower=REFERENCE / "oryx-tiny-llama" / TOWER_FILE)
    assert_nothing_left(tmp_path, "qwen", "native")


def test_the_tower_may_be_given(llama, tmp_path):
    tower = (llama.folder / TOWER_FILE).rename(tmp_path / "vit.pth")
    native = oryx.convert(llama.folder, tmp_path / "native", vision_tower=tower)
    expected = torch.load(tower, weights_only=True)["pos_embed"][0]
    assert torch.equal(read_all(native)["vision_tower.pos_embed.weight"], expected)
