"""How many requests fit a machine at a time, from the published configs alone: the table of docs/serving.md.

    python benchmarks/serving_capacity.py

Keys and values of a request lie in memory until it is answered. What is left for them on each device is nine
tenths of its memory, as vLLM takes it by default, less the weights and 3 GB for activations. Tensor
parallelism shares out the language model, but not the tower. It needs a divisor of the attention heads;
devices beyond the largest that fits hold further copies of the model.
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
from oryx.processing.weights import part_bytes
from oryx.sizes import model_sizes

MODELS = {"7B": "oryx-1.5-7b", "32B": "oryx-1.5-32b", "34B": "oryx-34b"}
DEVICES = {"24 GB": (1, 24), "48 GB": (1, 48), "80 GB": (1, 80), "2 x 80 GB": (2, 80), "8 x 80 GB": (8, 80)}
"""Number, and gigabytes of each."""
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


def parallel_size(sizes: ModelSizes, num_devices: int) -> int:
    """Devices that one copy of the language model is shared out to: the most that divide its heads."""
    text = sizes.text
    return max(
        number
        for number in range(1, num_devices + 1)
        if text.num_attention_heads % number == 0
        and (text.num_key_value_heads % number == 0 or number % text.num_key_value_heads == 0)
    )


def num_at_a_time(sizes: ModelSizes, num_devices: int, gigabytes: int, positions: int) -> int | None:
    """Requests of so many positions on these devices; None if the weights do not fit."""
    parallel = parallel_size(sizes, num_devices)
    parts = part_bytes(sizes, "bfloat16")
    shared = parts.pop("language_model")
    room = SHARE * gigabytes * 1e9 - shared / parallel - sum(parts.values()) - ACTIVATIONS
    if room <= 0:
        return None
    # Fewer heads of keys and values than devices: each device has a whole one.
    fraction = max(1, sizes.text.num_key_value_heads // parallel) / sizes.text.num_key_value_heads
    return num_devices // parallel * int(room // (kv_cache_bytes(positions, sizes) * fraction))


def rows() -> list[list[str]]:
    """The table with its head."""
    requests = request_tokens()
    table = [["model", "device", *(f"{name} ({count:,})" for name, count in requests.items())]]
    for model, preset in MODELS.items():
        sizes = model_sizes(preset_config(preset), "bfloat16")
        limit = sizes.context_length or 0
        for name, (num_devices, gigabytes) in DEVICES.items():
            counts = [
                num_at_a_time(sizes, num_devices, gigabytes, positions) for positions in requests.values()
            ]
            if any(counts):
                cells = [
                    "too long" if positions > limit else f"{count:,}"
                    for count, positions in zip(counts, requests.values())
                ]
                copies = num_devices // parallel_size(sizes, num_devices)
                device = f"{name}, {copies} copies" if copies > 1 else name
                table.append([model, device, *cells])
    return table


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    head, *body = rows()
    for row in (head, ["---"] * len(head), *body):
        print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
