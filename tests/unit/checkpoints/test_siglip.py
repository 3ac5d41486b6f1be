"""SigLIP's weights in the tower: every tensor in its place, equal blocks, patches and positions resized."""

import json
import math
import re

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from transformers import SiglipConfig, SiglipModel, SiglipVisionConfig, SiglipVisionModel

from oryx.checkpoints.siglip import resize_kernel, resize_table, siglip_config, siglip_weights
from oryx.config import OryxVisionConfig
from oryx.errors import CheckpointError, ConfigError
from oryx.model.vision import OryxVisionModel

SIZES = {
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 20,
    "patch_size": 4,
}
EQUAL = {"patch_size": 4, "position_grid_size": 5, "hidden_act": "gelu_pytorch_tanh"}


def randomise(model):
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model.eval()


@pytest.fixture
def siglip():
    return randomise(SiglipVisionModel(SiglipVisionConfig(**SIZES)))


@pytest.fixture
def folder(siglip, tmp_path):
    siglip.save_pretrained(tmp_path / "siglip")
    return tmp_path / "siglip"


def make_tower(folder, settings):
    config = siglip_config(folder, settings)
    with pytest.warns(UserWarning, match=r"left out .*head.*post_layernorm"):
        weights = siglip_weights(folder, config)
    tower = OryxVisionModel(config)
    tower.load_state_dict(weights)
    return tower.eval()


def test_every_tensor_lands_in_its_place(siglip, folder):
    tower = make_tower(folder, EQUAL)
    theirs, ours = siglip.state_dict(), tower.state_dict()
    theirs = {name.removeprefix("vision_model."): tensor for name, tensor in theirs.items()}
    assert torch.equal(
        ours["patch_embed.proj.weight"].view(24, 3, 4, 4), theirs["embeddings.patch_embedding.weight"]
    )
    assert torch.equal(ours["patch_embed.proj.bias"], theirs["embeddings.patch_embedding.bias"])
    assert torch.equal(ours["pos_embed.weight"], theirs["embeddings.position_embedding.weight"])
    for layer in range(2):
        block = f"encoder.layers.{layer}."
        for kind in ("weight", "bias"):
            qkv = ours[f"blocks.{layer}.attn.qkv.{kind}"].split(24)
            for part, name in zip(qkv, "qkv", strict=True):
                assert torch.equal(part, theirs[f"{block}self_attn.{name}_proj.{kind}"])
            for mine, name in {
                "attn.proj": "self_attn.out_proj",
                "norm1": "layer_norm1",
                "norm2": "layer_norm2",
                "mlp.fc1": "mlp.fc1",
                "mlp.fc2": "mlp.fc2",
            }.items():
                assert torch.equal(ours[f"blocks.{layer}.{mine}.{kind}"], theirs[f"{block}{name}.{kind}"])
    assert len(ours) == 3 + 2 * 12


def test_hidden_states_agree_block_by_block(siglip, folder):
    """With SigLIP's patches, positions and activation; float32 sums in another order."""
    tower = make_tower(folder, EQUAL)
    pixels = torch.randint(0, 256, (1, 3, 20, 20), dtype=torch.uint8)
    patches = pixels[0].unflatten(1, (5, 4)).unflatten(3, (5, 4)).permute(1, 3, 0, 2, 4).reshape(25, -1)
    seen = []
    for block in tower.blocks:
        block.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
        block.register_forward_hook(lambda _, args, out: seen.append(out))
    theirs = []
    for layer in [module for name, module in siglip.named_modules() if re.search(r"layers\.\d+$", name)]:
        layer.register_forward_pre_hook(
            lambda _, args, kwargs: theirs.append((*args, *kwargs.values())[0]), with_kwargs=True
        )
        layer.register_forward_hook(
            lambda _, args, out: theirs.append(out[0] if isinstance(out, tuple) else out)
        )
    with torch.no_grad():
        tower(patches, [[5, 5]])
        siglip(pixels.float().div(255).sub(0.5).div(0.5))
    assert len(seen) == len(theirs) == 4
    for mine, other in zip(seen, theirs, strict=True):
        torch.testing.assert_close(mine, other.view(25, 24), rtol=1e-4, atol=1e-4)


def test_a_whole_siglip_gives_the_same_tower(siglip, folder, tmp_path):
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = SiglipConfig(vision_config=SIZES, text_config={**text, "vocab_size": 50})
    whole = SiglipModel(config)
    whole.vision_model.load_state_dict(
        {name.removeprefix("vision_model."): tensor for name, tensor in siglip.state_dict().items()}
    )
    whole.save_pretrained(tmp_path / "whole")
    ours, other = make_tower(folder, EQUAL), make_tower(tmp_path / "whole", EQUAL)
    assert all(torch.equal(tensor, other.state_dict()[name]) for name, tensor in ours.state_dict().items())


def test_the_published_sizes_are_the_default(folder):
    config = siglip_config(folder)
    assert (config.patch_size, config.position_grid_size, config.hidden_act) == (16, 128, "gelu")
    assert (config.hidden_size, config.num_attention_heads, config.num_hidden_layers) == (24, 2, 2)
    defaults = OryxVisionConfig()
    so400m = SiglipVisionConfig(
        hidden_size=1152, intermediate_size=4304, num_hidden_layers=27, num_attention_heads=16
    )
    for name in (
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "layer_norm_eps",
    ):
        assert getattr(so400m, name) == getattr(defaults, name)


def test_patches_and_positions_are_resized(siglip, folder):
    tower = make_tower(folder, {"patch_size": 6, "position_grid_size": 12, "position_embedding": "both"})
    assert tower.patch_embed.proj.weight.shape == (24, 3 * 36)
    assert tower.pos_embed.weight.shape == (144, 24)
    kernel = dict(siglip.named_parameters(remove_duplicate=False))
    kernel = next(value for name, value in kernel.items() if name.endswith("patch_embedding.weight"))
    assert torch.equal(tower.patch_embed.proj.weight, resize_kernel(kernel.data, 6).flatten(1))
    rotary = siglip_config(folder, {"position_embedding": "rotary"})
    with pytest.warns(UserWarning, match="left out"):
        assert "pos_embed.weight" not in siglip_weights(folder, rotary)


@pytest.mark.parametrize(("old", "new"), [((14, 14), 16), ((4, 4), 9), ((3, 5), 7)])
def test_a_resized_kernel_says_of_an_enlarged_patch_what_it_said_before(old, new):
    torch.manual_seed(0)
    kernel, patch = torch.randn(6, 3, *old), torch.randn(10, 3, *old)
    enlarged = F.interpolate(patch, size=(new, new), mode="bilinear", align_corners=False)
    said = torch.einsum("ncij,dcij->nd", patch, kernel)
    says = torch.einsum("ncij,dcij->nd", enlarged, resize_kernel(kernel, new))
    torch.testing.assert_close(says, said, rtol=1e-4, atol=1e-4)
    # Interpolating the kernel would not do: the patch has more pixels than before.
    naive = F.interpolate(kernel, size=(new, new), mode="bilinear", align_corners=False)
    assert (torch.einsum("ncij,dcij->nd", enlarged, naive) - said).norm() > 0.1 * said.norm()


def test_a_kernel_of_its_own_size_is_kept():
    kernel = torch.randn(2, 3, 4, 4)
    assert resize_kernel(kernel, 4) is kernel


def smooth_table(side, half_waves, width=8):
    """(side side, width): random sums of cosines, as smooth tables of positions are."""
    generator = torch.Generator().manual_seed(0)
    places = (torch.arange(side) + 0.5) / side * math.pi
    waves = torch.stack([torch.cos(k * places) for k in range(half_waves + 1)])
    weights = torch.randn(width, half_waves + 1, half_waves + 1, generator=generator)
    weights /= 1 + torch.arange(half_waves + 1)[:, None] + torch.arange(half_waves + 1)
    return torch.einsum("dab,ai,bj->ijd", weights, waves, waves).reshape(side * side, width)


@pytest.mark.parametrize("half_waves", [4, 26])
def test_the_tower_reads_siglip_s_own_positions_back(half_waves):
    """Through the tower's own bilinear resize, at SigLIP-so400m's grid."""
    table = smooth_table(27, half_waves)

    def lost(large):
        back = F.interpolate(
            large.view(128, 128, -1).permute(2, 0, 1)[None],
            size=(27, 27),
            mode="bilinear",
            align_corners=False,
        )
        return ((back[0].flatten(1).T - table).norm() / table.norm()).item()

    plane = table.view(27, 27, -1).permute(2, 0, 1)[None]
    bilinear = F.interpolate(plane, size=(128, 128), mode="bilinear", align_corners=False)[0].flatten(1).T
    bicubic = lost(resize_table(table, (27, 27), 128))
    assert bicubic < (0.001 if half_waves == 4 else 0.015)
    assert bicubic < lost(bilinear) / 3


def test_a_table_of_another_shape_than_square_is_read_row_by_row():
    table = torch.arange(12.0)[:, None].expand(12, 2)  # 3 rows of 4: grows by 4 a row and by 1 a column
    resized = resize_table(table, (3, 4), 12).view(12, 12, 2)
    assert (resized[-1] - resized[0]).mean() > 3 * (resized[:, -1] - resized[:, 0]).mean() / 2
    assert resize_table(table, (3, 4), 12).shape == (144, 2)


def damage(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def name_of(folder, ending):
    return next(name for name in load_file(folder / "model.safetensors") if name.endswith(ending))


@pytest.mark.parametrize(
    ("ending", "value", "said"),
    [
        ("layers.1.self_attn.k_proj.weight", None, "missing keys encoder.layers.1.self_attn.k_proj.weight"),
        ("position_embedding.weight", None, "missing keys embeddings.position_embedding.weight"),
        (
            "position_embedding.weight",
            torch.zeros(9, 24),
            r"misshapen keys embeddings.position_embedding.weight \[9, 24\] instead of \[25, 24\]",
        ),
        ("mlp.fc1.extra", torch.zeros(1), "unknown keys mlp.fc1.extra"),
    ],
)
def test_keys_that_do_not_fit_are_listed(folder, ending, value, said):
    key = ending if ending.endswith("extra") else name_of(folder, ending)
    damage(folder, lambda tensors: tensors.pop(key, None) if value is None else tensors.update({key: value}))
    with pytest.raises(CheckpointError, match=said):
        siglip_weights(folder, siglip_config(folder))


def test_settings_that_are_siglip_s_own_are_refused(folder):
    with pytest.raises(
        ConfigError, match="hidden_size is SigLIP's own and cannot be set; allowed: patch_size"
    ):
        siglip_config(folder, {"hidden_size": 8})
    with pytest.raises(ConfigError, match="the tower cannot have these settings"):
        siglip_config(folder, {"position_grid_size": "large"})


def test_a_damaged_config_is_refused(folder):
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, "hidden_size": "wide"}))
    with pytest.raises(CheckpointError, match="is not a valid SigLIP config"):
        siglip_config(folder)
