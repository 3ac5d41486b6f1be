"""Training steps on packed rows with logits at supervised positions, against padded samples with full logits.

    python benchmarks/training.py

Both train the same model from the same weights on the same samples, with the same optimiser and one step of
it for the same samples; only the layout of the text and the positions of the logits differ. The tower sees
all visuals of a forward pass in one packed sequence in both. The loop over padded samples runs with several
numbers of samples in a forward pass, in the order of the samples and sorted by length, so that little is
padding. Packed rows stand against each of these, in speed and in memory alike. Batches are made beforehand,
so that no data loading is in the times, and the losses of all cases are compared.

nano's vocabulary has a few hundred tokens, so that there the logits hardly count; the large one is Qwen2's,
as in the published models, behind the same layers.

Every case runs in a process of its own, whose peak memory is what the operating system counted (`VmHWM`); the
processes take turns, a step each. Growth is the peak above the process with its weights and optimiser state
in memory. With the large vocabulary all of them together take up to 20 GB.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from common import Report, median_ratio, parser

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


@dataclass(frozen=True)
class Case:
    """How the samples of a step are laid out."""

    name: str
    samples: int | None = None
    """Of a padded forward pass, 0 for all of the step; None: packed rows in one pass."""
    by_length: bool = False
    """Sorted, so that samples of one pass are about as long."""


PACKED = Case("packed rows")
PADDED = (
    Case("padded, 1 a pass", 1),
    *(Case(f"padded, {size} a pass", size) for size in (2, 4, 8)),
    *(Case(f"padded, {size} a pass by length", size, by_length=True) for size in (2, 4, 8)),
    Case("padded, all in one pass", 0),
)


@dataclass
class Measured:
    """What the steps of a case took."""

    floor: int
    """Bytes of the process with its weights and optimiser state, before the first step."""
    fill: float
    """Share of the positions that is in use."""
    peak: int = 0
    seconds: list[float] = field(default_factory=list)
    samples: list[int] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Samples per second."""
        return sum(self.samples) / sum(self.seconds)

    @property
    def growth(self) -> int:
        return self.peak - self.floor


def child(case: Case, vocabulary: int, positions: int, steps: int) -> Iterator[dict[str, Any]]:
    """First what is there before training, then what each step took, when the next is asked for."""
    import torch

    from oryx.evaluation.peak_memory import PeakMemory

    torch.manual_seed(SEED)
    torch.set_flush_denormal(True)
    model, processor = make_model(vocabulary)
    passes, counts = [], []
    for step in range(steps):
        samples = draw_samples(processor, positions, step)
        counts.append(len(samples))
        passes.append(make_passes(samples, processor.tokenizer.pad_token_id, case))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()  # makes its state
    optimizer.zero_grad()
    memory = PeakMemory("cpu")
    memory.start()
    cells = sum(batch["input_ids"].numel() for batches in passes for batch in batches)
    used = sum(
        int((batch["input_ids"] != processor.tokenizer.pad_token_id).sum()) for b in passes for batch in b
    )
    yield {"floor": memory.read(), "fill": used / cells}
    # Nothing is dropped out, so that modes differ in this alone: `eval` makes logits at all positions.
    model.train(case == PACKED)
    for batches, count in zip(passes, counts):
        began = time.perf_counter()
        items = sum(int((batch["labels"][:, 1:] != -100).sum()) for batch in batches)
        total = 0.0
        for batch in batches:
            loss = model(**batch, num_items_in_batch=items, use_cache=False).loss
            loss.backward()
            total += loss.item()
        optimizer.step()
        optimizer.zero_grad()
        seconds = time.perf_counter() - began
        yield {"seconds": seconds, "samples": count, "loss": total, "peak": memory.read()}


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


def make_passes(samples: Sequence[Any], pad_id: int, case: Case) -> list[dict[str, Any]]:
    """The inputs of a step's forward passes."""
    from oryx.processing.collate import pack_rows, pad_batch

    if case.samples is None:
        return [pack_rows(sorted(samples, key=len, reverse=True), ROW_LENGTH, pad_id)]
    if case.by_length:
        samples = sorted(samples, key=len)
    size = case.samples or len(samples)
    return [pad_batch(samples[first : first + size], pad_id) for first in range(0, len(samples), size)]


class Child:
    """A case in a process of its own, which makes a step when it is told to."""

    def __init__(self, stack: ExitStack, case: Case, *arguments: int) -> None:
        self.case = case
        number = (PACKED, *PADDED).index(case)
        command = [sys.executable, __file__, "--child", json.dumps([number, *arguments])]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        # Leaving the stack closes its input, at which the process ends.
        self.process = stack.enter_context(subprocess.Popen(command, **pipes))

    def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.case.name}: the process ended with {self.process.wait()}.")
        return json.loads(line)

    def step(self) -> dict[str, Any]:
        assert self.process.stdin is not None
        print(file=self.process.stdin, flush=True)
        return self.read()


def measure(vocabulary: int, positions: int, turns: int) -> dict[Case, Measured]:
    """All cases, a step each in turn; the first turn warms up, and counts for the memory alone."""
    with ExitStack() as stack:
        children = [Child(stack, case, vocabulary, positions, turns + 1) for case in (PACKED, *PADDED)]
        measured = {child.case: Measured(**child.read()) for child in children}
        for turn in range(turns + 1):
            steps = {child.case: child.step() for child in children}
            check_same({case.name: step["loss"] for case, step in steps.items()})
            for case, step in steps.items():
                measured[case].peak = step["peak"]
                if turn:
                    measured[case].seconds.append(step["seconds"])
                    measured[case].samples.append(step["samples"])
    return measured


def check_same(losses: Mapping[str, float]) -> None:
    """All cases must compute the same losses, or they are not the same training."""
    expected = losses[PACKED.name]
    if any(abs(loss - expected) > 1e-3 * abs(expected) for loss in losses.values()):
        raise SystemExit(f"the layouts train differently: losses {losses}")


def main() -> None:
    arguments = parser(__doc__)
    arguments.set_defaults(repeats=4)
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
        number, *rest = json.loads(options.child)
        serve(child((PACKED, *PADDED)[number], *rest))
        return
    report = Report("training")
    for title, vocabulary, positions in (
        ("nano's vocabulary", 0, options.positions),
        (f"{LARGE_VOCABULARY:,} tokens", LARGE_VOCABULARY, options.large_positions),
    ):
        add(report, title, measure(vocabulary, positions, options.repeats), is_large=bool(vocabulary))
    report.finish(options.output)


def serve(answers: Iterator[dict[str, Any]]) -> None:
    """Print an answer, and one more for each line that comes in."""
    print(json.dumps(next(answers)), flush=True)
    for _ in sys.stdin:
        print(json.dumps(next(answers)), flush=True)


def add(report: Report, title: str, measured: Mapping[Case, Measured], is_large: bool) -> None:
    """What each case takes; then, for each padded one, the speed and the memory of packed rows against it."""
    for case, own in measured.items():
        name = f"{title}: {case.name}"
        report.add(name, own.rate, "samples/s", seconds=own.seconds, positions_in_use=own.fill)
        report.add(f"{name}: peak memory", own.peak / 2**20, "MiB", floor=own.floor)
        report.add(f"{name}: above weights and optimiser", own.growth / 2**20, "MiB")
    packed = measured[PACKED]
    fastest = max(PADDED, key=lambda case: measured[case].rate)
    share = "at most 0.2" if is_large else ""
    for case in PADDED:
        own = measured[case]
        name = f"{title}: packed against {case.name}" + (", the fastest" if case == fastest else "")
        report.add(f"{name}: speed", median_ratio(own.seconds, packed.seconds), "times", "at least 2")
        report.add(f"{name}: peak memory", packed.peak / own.peak, "ratio", share)
        report.add(f"{name}: above weights and optimiser", packed.growth / own.growth, "ratio", share)


if __name__ == "__main__":
    main()
