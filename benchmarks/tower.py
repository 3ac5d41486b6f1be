"""The vision tower at full size (431M, random weights, bfloat16): how near to the machine's products it runs.

FLOP/s count 2 for every multiply-add of linear layers and attention, over the time of the whole tower, and
stand beside the bfloat16 peak measured in the same run. By default fewer than the 27 layers run, each with
weights of its own; `--layers 27` runs all.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch
from common import Report, median_ratio, parser, peak_cases, time_in_turns

from oryx.config import OryxVisionConfig
from oryx.errors import ConfigError
from oryx.model.attention import attend_sdpa, choose_attention
from oryx.model.int8 import quantize_tower
from oryx.model.layout import pack_by_length
from oryx.model.vision import OryxVisionModel

Grids = list[list[int]]

# (height, width) in patches of 16 x 16 pixels.
LARGE = [48, 64]  # 1024 x 768
EIGHT = [[16, 16], [24, 24], [24, 32], [32, 32], [30, 40], [36, 48], [42, 56], LARGE]
EQUAL = [[24, 24]] * 8  # 384 x 384
# Ten sizes whose patches see 576 others on average, as many as in EQUAL.
MIXED = [[12, 14], [12, 16], [14, 18], [14, 20], [18, 24], [20, 28], [22, 26], [24, 28], [26, 26], [24, 36]]
FULL_DEPTH = 27


def make_tower(layers: int) -> OryxVisionModel:
    torch.manual_seed(0)
    config = OryxVisionConfig(num_hidden_layers=layers)
    return OryxVisionModel._from_config(config, dtype=torch.bfloat16).eval()


def make_patches(grids: Grids) -> torch.Tensor:
    count = sum(height * width for height, width in grids)
    return torch.randint(0, 256, (count, 768), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def linear_flops(grids: Grids, layers: int) -> float:
    config = OryxVisionConfig()
    width, inner = config.hidden_size, config.intermediate_size
    per_patch = layers * (4 * width**2 + 2 * width * inner) + 768 * width
    return 2.0 * per_patch * sum(height * width for height, width in grids)


def attention_flops(grids: Grids, layers: int) -> float:
    return (
        4.0 * layers * OryxVisionConfig().hidden_size * sum((height * width) ** 2 for height, width in grids)
    )


def component_cases(tower: OryxVisionModel, grids: Grids) -> dict[str, Callable[[], Any]]:
    """The linear layers of one block alone, and its attention alone."""
    packing = pack_by_length([height * width for height, width in grids])
    block = tower.blocks[0]
    x_PD = torch.randn(sum(packing.lengths), tower.config.hidden_size).to(torch.bfloat16)
    heads = (3, tower.config.num_attention_heads, tower.config.head_dim)

    def linear() -> None:
        block.attn.qkv(x_PD)
        block.attn.proj(x_PD)
        block.mlp.fc2(block.mlp.fc1(x_PD))

    q, k, v = block.attn.qkv(x_PD).unflatten(-1, heads).unbind(1)
    attend = choose_attention(None, q)
    return {
        "linear": linear,
        "attention": lambda: attend(q, k, v, packing),
        "sdpa": lambda: attend_sdpa(q, k, v, packing),
    }


def with_sdpa(run: Callable[[], Any]) -> Any:
    with patch("oryx.model.vision.choose_attention", lambda *_: attend_sdpa):
        return run()


@torch.no_grad()
def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--layers", type=int, default=4, help=f"blocks of the tower; it has {FULL_DEPTH}")
    options = arguments.parse_args()
    layers = options.layers
    tower = make_tower(layers)
    try:
        quantized = quantize_tower(make_tower(layers))
    except ConfigError as error:
        print(f"No figures for int8: {error}")
        quantized = None

    visuals: dict[str, Grids] = {"eight": EIGHT, "equal": EQUAL, "mixed": MIXED, "large": [LARGE]}
    patches = {name: make_patches(grids) for name, grids in visuals.items()}
    cases: dict[str, Callable[[], Any]] = {
        name: lambda name=name: tower(patches[name], visuals[name]) for name in visuals
    }
    cases["large with sdpa"] = lambda: with_sdpa(cases["large"])
    for name in ("equal", "large") if quantized is not None else ():
        cases[f"{name}, int8"] = lambda name=name: quantized(patches[name], visuals[name])
    for name in ("equal", "large"):
        parts = component_cases(tower, visuals[name])
        cases |= {f"{name}, {part}": run for part, run in parts.items()}
    products = peak_cases(torch.bfloat16)
    seconds = time_in_turns(cases | {name: run for name, (run, _) in products.items()}, options.repeats)
    peak = max(flops / statistics.median(seconds[name]) for name, (_, flops) in products.items())

    report = Report("tower", peaks={"bfloat16": peak})
    rates = {
        name: [(linear_flops(grids, layers) + attention_flops(grids, layers)) / s for s in seconds[name]]
        for name, grids in visuals.items()
    }

    def add(figure: str, value: float, unit: str, target: str = "", **more: Any) -> None:
        report.add(f"{figure} ({layers} of {FULL_DEPTH} layers)", value, unit, target, layers=layers, **more)

    titles = {
        "eight": "eight pictures, 256x256 to 1024x768, packed",
        "equal": "eight pictures of 384x384",
        "mixed": "ten sizes with the span of 384x384, packed",
        "large": "one picture of 1024x768",
    }
    for name, title in titles.items():
        target = "at least 0.68" if name == "eight" else ""
        add(title, statistics.median(rates[name]) / peak, "of peak", target, seconds=seconds[name])
    for name in ("eight", "mixed"):
        ratio = median_ratio(rates[name], rates["equal"])
        add(f"FLOP/s: {titles[name]}, against equal 384x384", ratio, "ratio", "at least 0.95")
    tokens = {name: sum(h * w for h, w in visuals[name]) for name in ("mixed", "equal")}
    ratio = median_ratio(seconds["equal"], seconds["mixed"]) * tokens["mixed"] / tokens["equal"]
    add(f"tokens/s: {titles['mixed']}, against equal 384x384", ratio, "ratio", "at least 0.95")
    ratio = median_ratio(seconds["large with sdpa"], seconds["large"])
    add("1024x768, against scaled_dot_product_attention", ratio, "times as fast", "at least 1.15")
    for name in ("equal", "large"):
        parts = {"linear": linear_flops(visuals[name], 1) - linear_flops(visuals[name], 0)}
        parts["attention"] = parts["sdpa"] = attention_flops(visuals[name], 1)
        for part, flops in parts.items():
            rate = flops / statistics.median(seconds[f"{name}, {part}"])
            report.add(f"{titles[name]}: {part} alone", rate / 1e9, "GFLOP/s", share_of_peak=rate / peak)
    if quantized is not None:
        for name in ("equal", "large"):
            ratio = median_ratio(seconds[name], seconds[f"{name}, int8"])
            add(f"{titles[name]}: int8 against bfloat16", ratio, "times as fast", "at least 1.2")
        exact, rounded = (model(patches["equal"], EQUAL).float() for model in (tower, quantized))
        error = (rounded - exact).norm() / exact.norm()
        add("int8 features, relative L2 error", error.item(), "", "at most 0.02")
    report.finish(options.output)


if __name__ == "__main__":
    main()
