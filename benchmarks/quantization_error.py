"""What int8 and int4 change: the logits of small models, and what nano gets right.

    python benchmarks/quantization_error.py --samples 200

The logits are those of one prompt about a picture, compared with the same model in float32. bfloat16 without
quantisation stands beside them as the yardstick. In models with random weights every layer adds to the errors
of those before; trained ones forgive more.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from common import ROOT, Report, parser

import oryx
from oryx.config import OryxConfig
from oryx.evaluation.skills.evaluate import evaluate_skills
from oryx.model.modeling import OryxForConditionalGeneration
from oryx.processing.weights import QUANTIZATIONS

REFERENCE = ROOT / "tests/parity/reference"
TESTS = ("color", "shape", "place", "count", "describe", "video_first_last")
CASES: dict[str, dict[str, Any]] = {
    "float32": {"dtype": "float32"},
    "bfloat16": {"dtype": "bfloat16"},
    **{name: {"dtype": "float32", "quantize": name} for name in QUANTIZATIONS},
}


def make_middle(folder: Path) -> None:
    """A model of 12 layers of width 1024 with random weights and nano's tower, in the native layout."""
    _, processor = oryx.load("nano", device="cpu")
    config = OryxConfig.from_pretrained(Path(oryx.__file__).parent / "assets/nano")
    text = config.text_config.to_dict() | {
        "hidden_size": 1024,
        "intermediate_size": 2816,
        "num_hidden_layers": 12,
        "num_attention_heads": 16,
        "num_key_value_heads": 4,
        "initializer_range": 0.03,
        "layer_types": ["full_attention"] * 12,
        "tie_word_embeddings": False,
    }
    torch.manual_seed(0)
    config = OryxConfig(
        vision_config=config.vision_config.to_dict(),
        text_config=text,
        compressor_dim=config.compressor_dim,
        image_token_id=config.image_token_id,
    )
    OryxForConditionalGeneration(config).float().save_pretrained(folder)
    processor.save_pretrained(folder)


@torch.no_grad()
def prompt_logits(folder: str | Path, **options: Any) -> torch.Tensor:
    """(T, vocabulary) in float32."""
    model, processor = oryx.load(folder, device="cpu", **options)
    picture = {"type": "image", "image": str(ROOT / "examples/scene.png")}
    turns = [
        {"from": "human", "value": "<image>\nWhat is at the bottom left?"},
        {"from": "gpt", "value": None},
    ]
    return model(**processor.encode_conversation(turns, [picture], supervise=None)).logits[0].float()


def report_errors(report: Report, name: str, folder: str | Path) -> None:
    expected = prompt_logits(folder, **CASES["float32"])
    for case, options in CASES.items():
        if case != "float32":
            logits = prompt_logits(folder, **options)
            error = float((logits - expected).norm() / expected.norm())
            same = float((logits.argmax(-1) == expected.argmax(-1)).float().mean())
            report.add(f"{name}, {case}: relative error of logits", error, "")
            report.add(f"{name}, {case}: same most likely token", 100 * same, "% of positions")


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--samples", type=int, default=200, help="of each of nano's tests; 0 for none")
    args = arguments.parse_args()
    report = Report("quantization_error")
    for name in ("oryx-tiny-qwen", "oryx-tiny-llama"):
        report_errors(report, name, REFERENCE / name)
    report_errors(report, "nano", "nano")
    with tempfile.TemporaryDirectory() as folder:
        make_middle(Path(folder))
        report_errors(report, "12 layers of 1024, random", folder)
    for case, options in CASES.items() if args.samples else ():
        model, processor = oryx.load("nano", device="cpu", **options)
        for result in evaluate_skills(model, processor, TESTS, samples=args.samples):
            report.add(f"nano, {case}: {result.test}", 100 * result.accuracy, "%", interval=result.interval)
    report.finish(args.output)


if __name__ == "__main__":
    main()
