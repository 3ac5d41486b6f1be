"""How many requests fit a device at a time, from the published configs alone: the table of docs/serving.md.

    python benchmarks/serving_capacity.py

Keys and values of a request lie in memory until it is answered. What is left for them is nine tenths of the
device less the weights and 3 GB for activations, as vLLM shares it out by default.
"""

from __future__ import annotations

import argparse

from oryx.checkpoints.presets import preset_config
from oryx.processing.costs import ModelSizes, kv_cache_bytes
from oryx.processing.geometry import (
    IMAGE,
    VIDEO,
    ResizeRule,
    frame_view,
    image_views,
    num_visual_tokens,
)
from oryx.processing.weights import weight_bytes
from oryx.sizes import model_sizes

MODELS = {"7B": "oryx-1.5-7b", "32B": "oryx-1.5-32b", "34B": "oryx-34b"}
DEVICES = {"24 GB": 24, "48 GB": 48, "80 GB": 80, "2 x 80 GB": 160, "8 x 80 GB": 640}
SHARE, ACTIVATIONS = 0.9, 3e9
TEXT_TOKENS, ANSWER_TOKENS = 40, 256


def request_tokens() -> dict[str, int]:
    """Positions of typical requests, text and answer included."""
    rule = ResizeRule()
    visuals = {
        f"photo, {ratio}x": num_visual_tokens(IMAGE, image_views(768, 1024, rule, ratio))
        for ratio in (1, 4, 16)
    }
    for frames, ratio in ((64, 16), (64, 4), (256, 16)):
        views = [frame_view(720, 1280, rule, ratio)] * frames
        visuals[f"{frames} frames, {ratio}x"] = num_visual_tokens(VIDEO, views)
    return {name: tokens + TEXT_TOKENS + ANSWER_TOKENS for name, tokens in visuals.items()}


def num_at_a_time(sizes: ModelSizes, gigabytes: int, positions: int) -> int | None:
    """Requests of so many positions on a device; None if the weights do not fit."""
    room = SHARE * gigabytes * 1e9 - weight_bytes(sizes, "bfloat16", None) - ACTIVATIONS
    if room <= 0:
        return None
    return int(room // kv_cache_bytes(positions, sizes))


def rows() -> list[list[str]]:
    """The table with its head."""
    requests = request_tokens()
    table = [["model", "device", *(f"{name} ({count:,})" for name, count in requests.items())]]
    for model, preset in MODELS.items():
        sizes = model_sizes(preset_config(preset), "bfloat16")
        limit = sizes.context_length or 0
        for device, gigabytes in DEVICES.items():
            counts = [num_at_a_time(sizes, gigabytes, positions) for positions in requests.values()]
            if any(counts):
                cells = [
                    "too long" if positions > limit else f"{count:,}"
                    for count, positions in zip(counts, requests.values())
                ]
                table.append([model, device, *cells])
    return table


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    head, *body = rows()
    for row in (head, ["---"] * len(head), *body):
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
