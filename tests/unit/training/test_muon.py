"""Muon's step is an orthogonal matrix, for matrices of its groups alone, and goes on to the bit."""

import copy
import io

import pytest
import torch
from ranks import run_ranks
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from oryx.errors import ConfigError
from oryx.training.distributed import join_world
from oryx.training.muon import RMS, MuonAdamW, orthogonalize
from oryx.training.running import train

RATE, DECAY = 0.01, 0.1


def make_weights():
    """Matrices of two shapes for Muon, then a matrix and a vector for AdamW."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(8, 32), (8, 32), (32, 8), (16, 16), (16,)]
    return [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]


def make_optimizer(weights, kind=MuonAdamW):
    groups = [
        {"params": weights[:3], "lr": RATE, "weight_decay": DECAY, "muon": True},
        {"params": weights[3:], "lr": RATE, "weight_decay": DECAY},
    ]
    return kind(groups, betas=(0.9, 0.95), eps=1e-8)


def take_step(optimizer, weights, seed):
    generator = torch.Generator().manual_seed(seed)
    for weight in weights:
        weight.grad = torch.randn(weight.shape, generator=generator)
    optimizer.step()


@pytest.mark.parametrize("shape", [(16, 64), (64, 16), (32, 32), (1, 8)])
def test_singular_values_come_close_to_one(shape):
    matrices = torch.randn(4, *shape, generator=torch.Generator().manual_seed(1)) * 100
    values = torch.linalg.svdvals(orthogonalize(matrices))
    # Five rounds of the steep quintic leave what is not tiny between 0.7 and 1.2. A square matrix of noise
    # has singular values of nearly 0 as well, and they are still on their way.
    if shape[0] != shape[1]:
        assert values.min() > 0.65
    assert values.median() > 0.65
    assert values.max() < 1.25


def test_directions_stay_those_of_the_matrix():
    matrix = torch.randn(1, 8, 32, generator=torch.Generator().manual_seed(2))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    nearest = left @ right
    made = orthogonalize(matrix)
    assert torch.nn.functional.cosine_similarity(made.flatten(), nearest.flatten(), dim=0) > 0.97


def test_muon_s_groups_take_its_step_and_the_others_adamw_s():
    weights, plain = make_weights(), make_weights()
    before = copy.deepcopy(weights)
    take_step(make_optimizer(weights), weights, seed=3)
    take_step(make_optimizer(plain, torch.optim.AdamW), plain, seed=3)
    for weight, expected in zip(weights[3:], plain[3:]):
        assert torch.equal(weight, expected)
    for weight, start, other in zip(weights[:3], before, plain):
        step = (start * (1 - RATE * DECAY) - weight) / (RATE * RMS * max(weight.shape) ** 0.5)
        values = torch.linalg.svdvals(step)
        assert 0.65 < values.min() <= values.max() < 1.25
        assert not torch.allclose(weight, other, atol=RATE / 10)


def test_a_step_is_as_large_as_adamw_s():
    weights = make_weights()
    before = copy.deepcopy(weights)
    take_step(make_optimizer(weights), weights, seed=3)
    for weight, start in zip(weights[:3], before):
        size = (weight - start * (1 - RATE * DECAY)).square().mean().sqrt().item() / RATE
        assert size == pytest.approx(RMS, rel=0.3)


def test_weights_without_a_gradient_stay():
    weights = make_weights()
    before = copy.deepcopy(weights)
    optimizer = make_optimizer(weights)
    optimizer.step()
    for weight, start in zip(weights, before):
        assert torch.equal(weight, start)
    assert not optimizer.state


def test_a_saved_state_goes_on_to_the_bit():
    weights = make_weights()
    optimizer = make_optimizer(weights)
    for seed in (4, 5):
        take_step(optimizer, weights, seed)
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    resumed = [weight.detach().clone().requires_grad_() for weight in weights]
    other = make_optimizer(resumed)
    other.load_state_dict(torch.load(file, weights_only=True))
    for seed in (6, 7):
        take_step(optimizer, weights, seed)
        take_step(other, resumed, seed)
    for weight, same in zip(weights, resumed):
        assert torch.equal(weight, same)


def step_in_shares():
    """Three steps on weights that two processes share, one of them too small for both."""
    join_world()
    mesh = init_device_mesh("cpu", (2,))
    weights = [*make_weights(), torch.ones(1, 4, requires_grad=True)]
    shares = [distribute_tensor(weight.detach(), mesh, [Shard(0)]).requires_grad_() for weight in weights]
    optimizers = [
        MuonAdamW([{"params": [*some[:3], some[5]], "muon": True}, {"params": some[3:5]}], lr=RATE)
        for some in (weights, shares)
    ]
    for seed in range(3):
        take_step(optimizers[0], weights, seed)
        for share, weight in zip(shares, weights, strict=True):
            share.grad = distribute_tensor(weight.grad, mesh, [Shard(0)])
        optimizers[1].step()
    for share, weight in zip(shares, weights, strict=True):
        torch.testing.assert_close(share.full_tensor(), weight)
    return [share.to_local().shape[0] for share in shares]


def test_shared_weights_take_the_same_step():
    assert run_ranks(2, step_in_shares) == [[4, 4, 16, 8, 8, 1], [4, 4, 16, 8, 8, 0]]


def test_deepspeed_is_refused(recipe_file, tmp_path, silent):
    """It hands an optimiser one flat piece of all weights, which no iteration makes orthogonal."""
    changes = ["optim.optimizer=muon", "parallel={strategy: deepspeed, deepspeed_config: zero3.json}"]
    with pytest.raises(ConfigError, match=r"muon, which needs whole matrices, and"):
        train(recipe_file, tmp_path / "run", changes, console=silent)
