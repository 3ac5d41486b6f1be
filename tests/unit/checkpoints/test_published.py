"""Published folders: where the tower may be, and what is wrong with a folder that does not fit."""

import json
import shutil
import warnings

import pytest
import torch
from reference_cases import REFERENCE
from safetensors.torch import save_file

import oryx
from oryx.checkpoints.keymap import TOWER
from oryx.checkpoints.published import TOWER_FILE, TOWER_HUB_ID, PublishedCheckpoint, expected_shapes
from oryx.errors import CheckpointError


def load(folder, **kwargs):
    return oryx.load(folder, device="cpu", **kwargs)


def tower_of(model):
    return {name: tensor for name, tensor in model.state_dict().items() if name.startswith("vision_tower.")}


def assert_same_tower(model, tower):
    own = tower_of(model)
    assert own.keys() == tower.keys()
    assert all(torch.equal(own[name], tensor) for name, tensor in tower.items())


@pytest.fixture(scope="module")
def llama_tower():
    return tower_of(load(REFERENCE / "oryx-tiny-llama")[0])


def test_config(qwen, llama):
    config = PublishedCheckpoint.open(qwen.folder).config()
    vision = config.vision_config
    assert (vision.hidden_size, vision.intermediate_size, vision.num_hidden_layers) == (48, 179, 2)
    assert (vision.num_attention_heads, vision.patch_size, vision.position_grid_size) == (4, 16, 128)
    assert config.text_config.model_type == "qwen2"
    llama_config = PublishedCheckpoint.open(llama.folder).config()
    assert llama_config.text_config.model_type == "llama"
    assert llama_config.text_config.rope_parameters["rope_theta"] == 5_000_000


def test_a_config_without_heads_means_a_head_size_of_72(qwen):
    settings = json.loads((qwen.folder / "config.json").read_text())
    del settings["mm_vision_heads"]
    (qwen.folder / "config.json").write_text(json.dumps(settings))
    opened = PublishedCheckpoint.open(qwen.folder)
    assert opened.config().vision_config.num_attention_heads == 1  # 48 wide: less than one head of 72
    opened.entries = {
        name: type(entry)(entry.file, (*entry.shape[:-1], 1152), entry.dtype)
        if name == f"{TOWER}pos_embed"
        else entry
        for name, entry in opened.entries.items()
    }
    kernel = opened.entries[f"{TOWER}patch_embed.proj.weight"]
    opened.entries[f"{TOWER}patch_embed.proj.weight"] = type(kernel)(kernel.file, (1152, 3, 16, 16), "F32")
    assert opened.config().vision_config.num_attention_heads == 16


# -- where the tower is ----------------------------------------------------------------------------


def test_the_tower_beside(llama, llama_tower):
    assert_same_tower(load(llama.folder)[0], llama_tower)


def test_the_tower_inside(qwen):
    tensors = qwen.tensors()
    model, _ = load(qwen.folder)
    assert torch.equal(model.vision_tower.pos_embed.weight, tensors[f"{TOWER}pos_embed"][0])


@pytest.mark.parametrize("place", ["absolute", "relative"])
def test_the_tower_where_the_config_points(llama, llama_tower, tmp_path, place):
    target = (
        tmp_path / "elsewhere" / "vit.pth" if place == "absolute" else llama.folder / "towers" / "vit.pth"
    )
    target.parent.mkdir()
    shutil.move(llama.folder / TOWER_FILE, target)
    pointer = str(target) if place == "absolute" else "towers/vit.pth"
    llama.configure(mm_vision_tower=f"oryx_vit:{pointer}")
    assert_same_tower(load(llama.folder)[0], llama_tower)


@pytest.mark.parametrize("form", ["file", "folder", "safetensors", "published names"])
def test_the_tower_as_an_argument(llama, llama_tower, tmp_path, form):
    (tmp_path / "tower").mkdir()
    target = tmp_path / "tower" / TOWER_FILE
    shutil.move(llama.folder / TOWER_FILE, target)
    tensors = torch.load(target, weights_only=True)
    if form == "safetensors":
        target = target.with_suffix(".safetensors")
        save_file(tensors, target)
    if form == "published names":
        torch.save({TOWER + name: tensor for name, tensor in tensors.items()}, target)
    given = target.parent if form == "folder" else target
    assert_same_tower(load(llama.folder, vision_tower=given)[0], llama_tower)


def test_an_argument_comes_before_the_tower_inside(qwen, llama_tower):
    model, _ = load(qwen.folder, vision_tower=REFERENCE / "oryx-tiny-llama" / TOWER_FILE)
    assert_same_tower(model, llama_tower)


def test_no_tower_anywhere(llama):
    (llama.folder / TOWER_FILE).unlink()
    with pytest.raises(CheckpointError, match=f"put {TOWER_FILE} of {TOWER_HUB_ID} beside it.*vision_tower"):
        load(llama.folder)
    with pytest.raises(CheckpointError, match=r"the vision tower nowhere\.pth is missing"):
        load(llama.folder, vision_tower="nowhere.pth")


@pytest.mark.parametrize("where", ["inside", "beside"])
def test_what_the_method_does_not_use_is_ignored_with_a_warning(qwen, llama, where):
    extra = {f"{name}.weight": torch.ones(1) for name in ("norm", "fc_norm", "attn_pool.q", "head")}
    if where == "inside":
        folder = qwen.edit(lambda tensors: tensors.update({TOWER + name: t for name, t in extra.items()}))
    else:
        folder = llama.folder
        tensors = torch.load(folder / TOWER_FILE, weights_only=True)
        torch.save(tensors | extra, folder / TOWER_FILE)
    with pytest.warns(UserWarning, match=r"ignored .*'attn_pool', 'fc_norm', 'head', 'norm'"):
        model, _ = load(folder)
    assert not any("head" in name or "pool" in name for name in tower_of(model))


def test_a_clean_folder_warns_of_nothing(qwen):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        PublishedCheckpoint.open(qwen.folder)


# -- what does not fit ---------------------------------------------------------------------------------


def test_unknown_missing_and_misshapen_keys_are_listed(qwen):
    def damage(tensors):
        tensors["model.layers.7.strange.weight"] = torch.ones(1)
        tensors[f"{TOWER}cls_token"] = torch.ones(1)
        del tensors["model.norm.weight"]
        tensors["model.mm_projector.image_end"] = torch.ones(7)

    with pytest.raises(CheckpointError) as caught:
        load(qwen.edit(damage))
    message = str(caught.value)
    unknown, missing, misshapen = message.split(";")
    assert "unknown keys" in unknown
    assert "model.layers.7.strange.weight" in unknown
    assert f"{TOWER}cls_token" in unknown
    assert "missing keys language_model.model.norm.weight" in missing
    assert "misshapen keys model.mm_projector.image_end [7] instead of [48]" in misshapen


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("pos_embed", (1, 10, 48)),
        ("pos_embed", (2, 128 * 128, 48)),
        ("pos_embed", (128 * 128, 48)),
        ("patch_embed.proj.weight", (48, 768)),
        ("patch_embed.proj.weight", (40, 3, 16, 16)),
        ("blocks.0.mlp.fc1.weight", (179,)),
        ("blocks.1.attn.qkv.weight", (144,)),
    ],
)
def test_a_misshapen_tower(qwen, name, shape):
    folder = qwen.edit(lambda tensors: tensors.update({TOWER + name: torch.zeros(shape)}))
    with pytest.raises(CheckpointError, match=r"misshapen keys .* instead of|dimensions are needed"):
        load(folder)


@pytest.mark.parametrize("name", ["pos_embed", "patch_embed.proj.weight", "blocks.0.mlp.fc1.weight"])
def test_a_tower_without_what_tells_its_size(qwen, name):
    with pytest.raises(CheckpointError, match=f"the tower lacks {name}"):
        load(qwen.edit(lambda tensors: tensors.pop(TOWER + name)))


def test_strange_block_names_are_unknown_keys(qwen):
    folder = qwen.edit(lambda tensors: tensors.update({f"{TOWER}blocks.last.x": torch.ones(1)}))
    with pytest.raises(CheckpointError, match=r"unknown keys .*blocks\.last\.x"):
        load(folder)


def test_settings_of_the_wrong_kind(qwen):
    with pytest.raises(CheckpointError, match=r"does not describe a language model \(.*hidden_size"):
        load(qwen.configure(hidden_size="wide"))


def test_a_folder_of_another_type(qwen):
    with pytest.raises(
        CheckpointError, match="has model_type 'llava'; a published Oryx checkpoint has oryx_qwen or"
    ):
        PublishedCheckpoint.open(qwen.configure(model_type="llava"))


def test_a_tied_head_that_is_also_written_out(qwen):
    """Some programs save both; the embedding counts."""
    qwen.configure(tie_word_embeddings=True)
    model, _ = load(qwen.folder)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert torch.equal(model.get_input_embeddings().weight, qwen.tensors()["model.embed_tokens.weight"])
    model, _ = load(qwen.edit(lambda tensors: tensors.pop("lm_head.weight")))
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_opening_reads_no_weights(qwen, monkeypatch):
    monkeypatch.setattr("oryx.checkpoints.published.read_tensors", None)
    opened = PublishedCheckpoint.open(qwen.folder)
    opened.check(expected_shapes(opened.config()))


def test_buffers_of_old_checkpoints_are_ignored(llama):
    key = "model.layers.0.self_attn.rotary_emb.inv_freq"
    load(llama.edit(lambda tensors: tensors.update({key: torch.ones(6)})))
