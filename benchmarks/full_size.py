"""A full-size Oryx-7B on this machine: does it load and answer, how fast, and in how much memory?

Writes a folder in the published layout with random weights of the published shapes, shard by shard, then
loads it in a fresh process for each quantisation and asks about one 448 x 448 picture. Random weights say
nothing of answers, but all of sizes, times and memory. A folder that is there already is measured as it is,
and stays.

    python benchmarks/full_size.py --work /some/disk

Two kinds of memory are told apart: `anonymous` is what the process must have; `resident` also counts pages of
mapped files, which the system may drop at any time and read again.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from math import prod
from pathlib import Path
from typing import Any

import torch
from common import ROOT, Report, measure_peak, parser
from safetensors.torch import load_file, save_file

from oryx.checkpoints.keymap import to_published
from oryx.checkpoints.presets import preset_config, preset_settings
from oryx.checkpoints.published import expected_shapes

TOKENIZER = ROOT / "tests/parity/reference/oryx-tiny-qwen"
TOKENIZER_FILES = ("vocab.json", "merges.txt", "tokenizer_config.json")
SHARD_BYTES = 2 * 1000**3
SIDE, NEW_TOKENS = 448, 8
GB = 1000**3
# What is wanted of the resident peak, in GB.
TARGETS = {"none": "at most 22", "int8": "", "int4": "below 8"}


def make_model(folder: Path, preset: str) -> bool:
    """Write the model if nothing is there; whether it was written. What is cut leaves nothing behind."""
    if folder.exists():
        print(f"{folder} is there already: it is measured, and stays.", flush=True)
        return False
    began = time.perf_counter()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{preset}-") as staging:
        write_checkpoint(Path(staging) / preset, preset)
        (Path(staging) / preset).rename(folder)
    print(f"Wrote {folder} in {time.perf_counter() - began:.0f} s.", flush=True)
    return True


def write_checkpoint(folder: Path, preset: str) -> None:
    """The published layout of `preset`, its tower included, with random weights; one shard in memory."""
    folder.mkdir(parents=True)
    for name in TOKENIZER_FILES:
        shutil.copy(TOKENIZER / name, folder)
    (folder / "config.json").write_text(json.dumps(preset_settings(preset), indent=1))
    config = preset_config(preset)
    pool = torch.randn(2**24 + 43, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    shard: dict[str, torch.Tensor] = {}
    weight_map: dict[str, str] = {}

    def flush() -> None:
        name = f"model-{len(set(weight_map.values())) + 1:05d}.safetensors"
        save_file(shard, folder / name, metadata={"format": "pt"})
        weight_map.update(dict.fromkeys(shard, name))
        shard.clear()

    for index, (name, shape) in enumerate(expected_shapes(config).items()):
        target = to_published(name)
        assert target is not None, name
        published, reshape = target
        values = random_values(pool, name, shape, index)
        shard[published] = values.reshape(reshape.shape_out(shape, config.vision_config.patch_size))
        if sum(tensor.nbytes for tensor in shard.values()) > SHARD_BYTES:
            flush()
    if shard:
        flush()
    index_file = folder / "model.safetensors.index.json"
    index_file.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def random_values(pool: torch.Tensor, name: str, shape: tuple[int, ...], seed: int) -> torch.Tensor:
    """Normal values of deviation 0.02; norms near 1. Drawn from a pool, since a generator takes minutes."""
    count, begin = prod(shape), seed * 7919 % len(pool)
    repeats = (begin + count) // len(pool) + 1
    values = pool.repeat(repeats)[begin : begin + count].reshape(shape) * 0.02
    return 1 + values if "norm" in name and name.endswith("weight") else values


class MemoryPeak(threading.Thread):
    """Samples this process's memory every 10 ms; `peak` holds the most bytes of each kind since `reset`."""

    KINDS = {"VmRSS": "resident", "RssAnon": "anonymous", "RssFile": "mapped"}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak: dict[str, int] = {}

    def run(self) -> None:
        while True:
            self.sample()
            time.sleep(0.01)

    def sample(self) -> None:
        for line in Path("/proc/self/status").read_text().splitlines():
            kind, _, rest = line.partition(":")
            if kind in self.KINDS:
                name = self.KINDS[kind]
                self.peak[name] = max(self.peak.get(name, 0), int(rest.split()[0]) * 1024)

    def take(self) -> dict[str, float]:
        """The peaks so far in GB, and start again."""
        self.sample()
        taken = {name: bytes_ / GB for name, bytes_ in self.peak.items()}
        self.peak = {}
        return taken


class Clock:
    """A streamer of `generate` that notes when each token came."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def put(self, _: Any) -> None:
        self.times.append(time.perf_counter())

    def end(self) -> None:
        pass


def answer(folder: Path, quantize: str | None, logits_file: Path) -> dict[str, Any]:
    """Load, encode one picture and answer: seconds and peaks of each phase. Runs in a process of its own."""
    from PIL import Image

    import oryx

    memory = MemoryPeak()
    memory.start()
    found: dict[str, Any] = {"before": memory.take()}
    began = time.perf_counter()
    model, processor = oryx.load(folder, device="cpu", quantize=quantize)
    found["load"] = {"seconds": time.perf_counter() - began, **memory.take()}
    picture = Image.effect_noise((SIDE, SIDE), 90).convert("RGB")
    began = time.perf_counter()
    embeds = oryx.encode(model, processor, {"type": "image", "image": picture})
    found["encode"] = {"seconds": time.perf_counter() - began, **memory.take()}
    turns = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": None}]
    batch = processor.encode_conversation(turns, [{"type": "image", "image": picture}], supervise=None)
    clock = Clock()
    began = time.perf_counter()
    output = model.generate(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        visual_embeds=embeds,
        max_new_tokens=NEW_TOKENS,
        min_new_tokens=NEW_TOKENS,
        do_sample=False,
        streamer=clock,
        output_logits=True,
        return_dict_in_generate=True,
    )
    # The streamer gets the prompt first, then each token.
    times = clock.times[1:]
    found["prefill"] = {"seconds": times[0] - began}
    found["token"] = {"seconds": (times[-1] - times[0]) / (len(times) - 1)}
    found["generate"] = {"seconds": time.perf_counter() - began, **memory.take()}
    found["prompt_tokens"], found["dtype"] = batch["input_ids"].shape[1], str(model.dtype)
    save_file({"logits": output.logits[0].float()}, logits_file)
    return found


def report_case(report: Report, name: str, found: dict[str, Any]) -> None:
    """One figure a line: times, then the peaks over all phases."""
    for phase in ("load", "encode", "prefill", "token"):
        label = f"prefill of {found['prompt_tokens']} tokens" if phase == "prefill" else phase
        report.add(f"{name}: {label}", found[phase]["seconds"], "s")
    for kind in ("resident", "anonymous"):
        peak = max(found[phase][kind] for phase in ("load", "encode", "generate"))
        target = TARGETS[name] if kind == "resident" else ""
        report.add(f"{name}: peak {kind} memory", peak, "GB", target, phases=found)
    report.add(f"{name}: anonymous memory while loading", found["load"]["anonymous"], "GB")


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--work", type=Path, required=True, help="folder for 16 GB of weights")
    arguments.add_argument("--preset", default="oryx-7b", help="a published Qwen2 model by name")
    arguments.add_argument("--cases", nargs="+", choices=list(TARGETS), default=list(TARGETS))
    arguments.add_argument("--keep", action="store_true", help="leave weights that this run wrote")
    arguments.add_argument("--write-only", action="store_true", help="stop after writing; implies --keep")
    arguments.add_argument("--child", nargs=2, help="a case, and a file for its logits: it alone, as JSON")
    args = arguments.parse_args()
    folder = args.work / args.preset
    if args.child:
        case, logits_file = args.child
        print(json.dumps(answer(folder, None if case == "none" else case, Path(logits_file))))
        return
    is_made = make_model(folder, args.preset)
    if args.write_only:
        return
    report = Report("full_size")
    try:
        with tempfile.TemporaryDirectory() as logits:
            measure_cases(report, args, Path(logits))
        report.peaks["bfloat16"] = measure_peak(torch.bfloat16)
        report.finish(args.output)
    finally:
        if is_made and not args.keep:
            shutil.rmtree(folder)


def measure_cases(report: Report, args: Any, logits: Path) -> None:
    """Every case in a process of its own; `logits` is a folder for what they answer."""
    for name in args.cases:
        command = [sys.executable, __file__, "--work", str(args.work), "--preset", args.preset]
        command += ["--child", name, str(logits / name)]
        child = subprocess.run(command, check=True, stdout=subprocess.PIPE)
        report_case(report, name, json.loads(child.stdout.splitlines()[-1]))
        if name != "none" and (logits / "none").exists():
            expected, own = (load_file(logits / case)["logits"] for case in ("none", name))
            error = float((own - expected).norm() / expected.norm())
            report.add(f"{name}: relative error of the first logits", error, "")


if __name__ == "__main__":
    main()
