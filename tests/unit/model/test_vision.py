"""The tower: packed views equal views one by one, whichever positions and backend."""

import pytest
import torch
import torch.nn.functional as F
from factories import PATCH

from oryx.config import OryxVisionConfig
from oryx.errors import AlignmentError
from oryx.model.vision import OryxVisionModel, PatchEmbed, PositionTable, axial_rotation, rotate

GRIDS = [[3, 5], [2, 2], [5, 3], [2, 2], [1, 9]]


def make_tower(position_embedding="learned", attn="sdpa", dtype=torch.float32):
    torch.manual_seed(0)
    config = OryxVisionConfig(
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=2,
        num_attention_heads=2 if position_embedding == "learned" else 3,
        patch_size=PATCH,
        position_grid_size=8,
        position_embedding=position_embedding,
    )
    tower = OryxVisionModel._from_config(config, attn_implementation=attn)
    with torch.no_grad():
        for parameter in tower.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return tower.to(dtype).eval()


def make_patches(grids=GRIDS, seed=0):
    count = sum(height * width for height, width in grids)
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3 * PATCH**2), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("attn", ["eager", "sdpa"])
@pytest.mark.parametrize("positions", ["learned", "rotary", "both"])
@torch.no_grad()
def test_packed_views_equal_each_alone(positions, attn):
    tower, patches = make_tower(positions, attn), make_patches()
    packed = tower(patches, torch.tensor(GRIDS))
    pieces = patches.split([height * width for height, width in GRIDS])
    alone = torch.cat([tower(piece, [grid]) for piece, grid in zip(pieces, GRIDS)])
    torch.testing.assert_close(packed, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("positions", ["learned", "rotary", "both"])
@torch.no_grad()
def test_eager_equals_sdpa(positions):
    patches = make_patches()
    eager, sdpa = (make_tower(positions, attn)(patches, GRIDS) for attn in ("eager", "sdpa"))
    torch.testing.assert_close(eager, sdpa, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_no_view_sees_another():
    tower, patches = make_tower(), make_patches()
    changed = patches.clone()
    changed[15:19] = 255 - changed[15:19]  # the second view
    before, after = tower(patches, GRIDS), tower(changed, GRIDS)
    same = torch.ones(len(patches), dtype=torch.bool)
    same[15:19] = False
    # the fourth view shares the second's batched attention; a row of a batch may round otherwise
    torch.testing.assert_close(before[same], after[same], atol=1e-6, rtol=1e-6)
    assert not torch.isclose(before[~same], after[~same], atol=1e-3).all(-1).any()


@torch.no_grad()
def test_bfloat16_is_close_to_float32():
    exact, halved = (
        make_tower()(make_patches(), GRIDS),
        make_tower(dtype=torch.bfloat16)(make_patches(), GRIDS),
    )
    assert halved.dtype == torch.bfloat16
    assert F.cosine_similarity(exact, halved.float()).min() > 0.999


@torch.no_grad()
def test_pixels_are_normalised_before_the_cast():
    embed = PatchEmbed(make_tower().config)
    patches = make_patches([[2, 2]])
    expected = embed.proj((patches.double() / 255 * 2 - 1).float())
    torch.testing.assert_close(embed(patches), expected, atol=1e-6, rtol=1e-6)


@torch.no_grad()
def test_the_table_is_resized_to_each_grid():
    config = make_tower().config
    table = PositionTable(config)
    table.weight.normal_()
    square = table.weight.view(8, 8, -1).permute(2, 0, 1)[None]
    expected = [F.interpolate(square, size=grid, mode="bilinear", align_corners=False) for grid in GRIDS]
    expected = torch.cat([grid[0].flatten(1).T for grid in expected])
    torch.testing.assert_close(table(GRIDS), expected)
    torch.testing.assert_close(table([[8, 8]]), table.weight)  # its own size: unchanged


def make_table():
    torch.manual_seed(0)
    table = PositionTable(make_tower().config).eval()
    torch.nn.init.normal_(table.weight)
    return table


@torch.no_grad()
def test_resized_tables_are_kept(monkeypatch):
    table, resized = make_table(), []
    resize = PositionTable._resize
    monkeypatch.setattr(PositionTable, "_resize", lambda *args: resized.append(args[1:3]) or resize(*args))
    first = table([[2, 3], [3, 2], [2, 3]])
    assert torch.equal(table([[2, 3], [3, 2], [2, 3]]), first)
    assert resized == [(2, 3), (3, 2)]
    table([[7, 8], [8, 7]])  # together more than the table's own 64 positions: the oldest go
    assert sum(map(len, table._kept[1].values())) <= 64
    assert (2, 3) not in table._kept[1]


@pytest.mark.parametrize("way", ["write", "replace", "move", "load"])
@torch.no_grad()
def test_kept_tables_follow_the_weight(way):
    table = make_table()
    before = table(GRIDS)
    if way == "write":
        table.weight.mul_(2)
    elif way == "replace":
        table.weight.data = table.weight.data * 2
    elif way == "move":
        table.double().weight.mul_(2)
    else:
        table.load_state_dict({"weight": table.weight * 2})
    expected = (before * 2).to(table.weight.dtype)
    torch.testing.assert_close(table(GRIDS), expected, atol=1e-5, rtol=1e-5)  # before was float32


def test_nothing_is_kept_while_training_or_with_gradients():
    table = make_table()
    for _ in range(2):  # a kept table would have no graph the second time
        table.weight.grad = None
        table(GRIDS).sum().backward()
        assert table.weight.grad.any()
    with torch.no_grad():
        assert not table._kept[1]
        table.train()(GRIDS)
        assert not table._kept[1]
        table.eval()(GRIDS)
        assert table._kept[1]
        table.train()
        table.weight.data.mul_(2)  # leaves no trace that autograd could see
        expected = table(GRIDS)
        assert torch.equal(table.eval()(GRIDS), expected)


def test_tables_of_inference_tensors():
    with torch.inference_mode():
        table = make_table()
        before = table(GRIDS)
        table.weight.mul_(2)
        torch.testing.assert_close(table(GRIDS), before * 2)


@torch.no_grad()
def test_a_bfloat16_table_is_resized_in_float32():
    table = make_table().bfloat16()
    exact = make_table()
    exact.weight.copy_(table.weight.float())
    # One rounding to 8 bits at the end.
    torch.testing.assert_close(table(GRIDS).float(), exact(GRIDS), atol=1e-6, rtol=2**-8)


def test_rotary_positions_are_relative():
    """Products of rotated queries and keys depend on the distance in rows and in columns alone."""
    rotation = axial_rotation([[4, 6]], 8, 100.0, torch.device("cpu"))
    q, k = torch.randn(8), torch.randn(8)
    queries, keys = (rotate(x.expand(24, 1, 8), rotation)[:, 0].view(4, 6, 8) for x in (q, k))
    for y, x in [(0, 0), (1, 2), (2, 3)]:
        product = queries[y, x] @ keys[y + 1, x + 2]
        torch.testing.assert_close(product, queries[0, 0] @ keys[1, 2], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(queries[0, 0], q)
    assert not torch.isclose(queries[0, 1] @ keys[0, 0], queries[0, 0] @ keys[0, 1], atol=1e-3)


def test_grids_that_do_not_hold_the_patches():
    with pytest.raises(AlignmentError, match="hold 4 patches, but 5 were given"):
        make_tower()(torch.zeros(5, 3 * PATCH**2, dtype=torch.uint8), [[2, 2]])


def test_gradient_checkpointing_changes_no_gradient():
    gradients = []
    for checkpointing in (False, True):
        tower = make_tower().train()
        if checkpointing:
            tower.gradient_checkpointing_enable()
        tower(make_patches(), GRIDS).square().mean().backward()
        gradients.append({name: p.grad for name, p in tower.named_parameters()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, msg=name)
