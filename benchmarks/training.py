"""Training steps on packed rows with logits at supervised positions, against padded samples with full logits.

    python benchmarks/training.py

Both train the same model from the same weights on the same samples, with the same optimiser and one step of
it for the same samples; only the layout of the text and the positions of the logits differ. The tower sees
all visuals of a forward pass in one packed sequence in both. Padded samples run in forward passes of several
sizes, and the fastest counts; memory is compared where both put all samples of a step into one pass. Batches
are made beforehand, so that no data loading is in the times, and the losses of both layouts are compared.

nano's vocabulary has about 500 tokens, so that there the logits hardly count; the large one is Qwen2's, as in
the published models, behind the same layers.

Every case runs in a process of its own, whose peak memory is what the operating system counted (`VmHWM`).
Growth is the peak above the process with its weights, gradients and optimiser state in memory.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import Report, parser

# Words, pictures of one and of several things, and short videos, with one question or with a few.
SKILLS: dict[str, dict[str, Any]] = {
    "words": {"weight": 6, "fonts": ["default"], "letters": [2, 6], "compression": [1, 1, 1, 2, 4]},
    "object": {"weight": 0.7, "canvas": [32, 112], "compression": [1, 2, 4, 16], "turns": [3, 5]},
    "scene": {"weight": 2, "canvas": [40, 112], "turns": [3, 6], "compression": [1, 1, 2, 4]},
    "video_order": {
        "weight": 0.5,
        "canvas": [32, 80],
        "num_frames": [4, 24],
        "turns": [3, 5],
        "compression": [4],
    },
    "video_direction": {"weight": 0.6, "canvas": [32, 80], "num_frames": [3, 16], "compression": [4]},
}
ROW_LENGTH = 512
LARGE_VOCABULARY = 152_064  # Qwen2's
SEED = 11
# Samples of one forward pass, 0 for all of a step: with nano's vocabulary, and with the large one.
PADDED_PASSES = {False: (4, 16, 0), True: (4, 0)}


def child(layout: str, size: int, vocabulary: int, positions: int, steps: int) -> dict[str, Any]:
    """Train for `steps`, after one that warms up: how long each took, and how much memory all needed."""
    import torch

    torch.manual_seed(SEED)
    torch.set_flush_denormal(True)
    model, processor = make_model(vocabulary)
    passes, counts = [], []
    for step in range(steps + 1):
        samples = draw_samples(processor, positions, step)
        counts.append(len(samples))
        passes.append(make_passes(samples, processor, layout, size))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    floor = memory("VmRSS")
    optimizer.zero_grad()
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    # Nothing is dropped out, so that modes differ in this alone: `eval` makes logits at all positions.
    model.train(layout == "packed")
    seconds, losses = [], []
    for batches in passes:
        began = time.perf_counter()
        items = sum(int((batch["labels"][:, 1:] != -100).sum()) for batch in batches)
        total = 0.0
        for batch in batches:
            loss = model(**batch, num_items_in_batch=items, use_cache=False).loss
            loss.backward()
            total += loss.item()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - began)
        losses.append(total)
    cells = sum(batch["input_ids"].numel() for batches in passes[1:] for batch in batches)
    used = sum(
        int((batch["input_ids"] != processor.tokenizer.pad_token_id).sum()) for b in passes[1:] for batch in b
    )
    return {
        "seconds": seconds[1:],
        "samples": sum(counts[1:]) / steps,
        "losses": losses,
        "fill": used / cells,
        "floor": floor,
        "peak": memory("VmHWM"),
    }


def make_model(vocabulary: int) -> tuple[Any, Any]:
    """nano's architecture with random weights, and `vocabulary` tokens (0: its own number)."""
    import torch

    import oryx
    from oryx.model.modeling import OryxForConditionalGeneration
    from oryx.model.packed import settle_attention

    nano, processor = oryx.load("nano", device="cpu", dtype="float32")
    config = nano.config
    if vocabulary:
        config.text_config.vocab_size = vocabulary
    model = OryxForConditionalGeneration._from_config(config, dtype=torch.float32)
    settle_attention(model.language_model)  # as the trainer does; it changes nothing for padded samples
    return model, processor


def draw_samples(processor: Any, positions: int, step: int) -> list[Any]:
    """Samples that fill rows of `positions` together, chosen as the trainer does."""
    from oryx.data.synthetic import make_source
    from oryx.training.packing import choose_full

    source = make_source(SKILLS, SEED)
    samples: list[Any] = []
    while sum(map(len, samples)) < 1.3 * positions:
        sample = source[step * 10_000 + len(samples)]
        samples.append(processor.encode_sample(sample.conversations, sample.visuals, supervise="assistant"))
    rooms = [ROW_LENGTH] * (positions // ROW_LENGTH)
    return [samples[index] for index in sorted(choose_full([*map(len, samples)], rooms))]


def make_passes(samples: Sequence[Any], processor: Any, layout: str, size: int) -> list[Any]:
    """The inputs of a step's forward passes."""
    from oryx.processing.collate import pack_rows, pad_batch

    pad = processor.tokenizer.pad_token_id
    if layout == "packed":
        return [pack_rows(sorted(samples, key=len, reverse=True), ROW_LENGTH, pad)]
    size = size or len(samples)
    return [pad_batch(samples[first : first + size], pad) for first in range(0, len(samples), size)]


def memory(name: str) -> int:
    """Bytes of a line of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def run_child(*arguments: Any) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"case {arguments} ended with {done.returncode}. {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument(
        "--positions", type=int, default=3072, help="text positions of a step, nano's vocabulary"
    )
    arguments.add_argument(
        "--large-positions", type=int, default=2048, help="the same with the large vocabulary"
    )
    arguments.add_argument(
        "--child", help="arguments of one case, as JSON; for the processes that this starts"
    )
    options = arguments.parse_args()
    if options.child:
        print(json.dumps(child(*json.loads(options.child))))
        return
    report = Report("training")
    for title, vocabulary, positions in (
        ("nano's vocabulary", 0, options.positions),
        (f"{LARGE_VOCABULARY:,} tokens", LARGE_VOCABULARY, options.large_positions),
    ):
        packed = run_child("packed", 0, vocabulary, positions, options.repeats)
        padded = {
            size: run_child("padded", size, vocabulary, positions, options.repeats)
            for size in PADDED_PASSES[bool(vocabulary)]
        }
        for case in padded.values():
            check_same(packed["losses"], case["losses"])
        add(report, title, packed, padded, is_large=bool(vocabulary))
    report.finish(options.output)


def check_same(first: Sequence[float], second: Sequence[float]) -> None:
    """Both layouts must compute the same losses, or they are not the same training."""
    for a, b in zip(first, second, strict=True):
        if abs(a - b) > 1e-3 * abs(a):
            raise SystemExit(f"the layouts train differently: losses {first} and {second}")


def add(report: Report, title: str, packed: Any, padded: dict[int, Any], is_large: bool) -> None:
    def rate(case: Any) -> float:
        return case["samples"] / statistics.median(case["seconds"])

    names = {size: f"padded, {size} a pass" if size else "padded, one pass" for size in padded}
    for name, case in [("packed, one pass", packed), *((names[size], padded[size]) for size in padded)]:
        report.add(f"{title}: {name}", rate(case), "samples/s", seconds=case["seconds"])
        report.add(f"{title}: {name}: positions in use", case["fill"], "share")
        report.add(f"{title}: {name}: peak memory", case["peak"] / 2**20, "MiB", floor=case["floor"])
        growth = case["peak"] - case["floor"]
        report.add(f"{title}: {name}: above weights, gradients, optimiser", growth / 2**20, "MiB")
    fastest, same = max(padded.values(), key=rate), padded[0]
    report.add(f"{title}: packed by the fastest padded", rate(packed) / rate(fastest), "times", "at least 2")
    target = "at most 0.2" if is_large else ""
    report.add(f"{title}: peak memory by padded in one pass", packed["peak"] / same["peak"], "ratio", target)
    growth = (packed["peak"] - packed["floor"]) / (same["peak"] - same["floor"])
    report.add(f"{title}: growth of memory by padded in one pass", growth, "ratio", target)


if __name__ == "__main__":
    main()
