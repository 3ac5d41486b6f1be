"""What training keeps on each GPU, reckoned from the published models' sizes; nothing is run.

    python benchmarks/training_state.py

Bytes of a value: 4 in float32 (weights, gradients, each of AdamW's two averages), 2 in bfloat16 (frozen
linear layers with LoRA, weights gathered by FSDP2), 1 in int8, 0.516 in nf4 (4 bits, and scales in 8 bits for
every 64 and in 32 bits for every 16,384). DDP keeps one more copy of the gradients, in its buckets.
Activations and logits come on top, and grow with the positions of a pass.
"""

from __future__ import annotations

from typing import Any

import torch
from common import parser
from rich.console import Console
from rich.table import Table
from torch import nn

from oryx.config import OryxConfig, OryxVisionConfig
from oryx.model.modeling import OryxForConditionalGeneration

QWEN = {"model_type": "qwen2", "vocab_size": 152_064, "tie_word_embeddings": False}
MODELS: dict[str, dict[str, Any]] = {
    "Oryx-7B": QWEN
    | {
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
    },
    "Oryx-1.5-32B": QWEN
    | {
        "hidden_size": 5120,
        "intermediate_size": 27648,
        "num_hidden_layers": 64,
        "num_attention_heads": 40,
        "num_key_value_heads": 8,
    },
    "Oryx-34B": {
        "model_type": "llama",
        "vocab_size": 64_000,
        "tie_word_embeddings": False,
        "hidden_size": 7168,
        "intermediate_size": 20480,
        "num_hidden_layers": 60,
        "num_attention_heads": 56,
        "num_key_value_heads": 8,
    },
}
GPUS = (1, 8, 16, 32)
RANK = 16
NF4 = 0.5 + 1 / 64 + 4 / (64 * 256)
TRAINED = 4 + 4 + 8  # weight, gradient, AdamW's averages


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def reckon(settings: dict[str, Any]) -> dict[str, float]:
    """Bytes on each GPU, for the tower frozen and the rest trained, or for LoRA on the language model."""
    with torch.device("meta"):
        config = OryxConfig(vision_config=OryxVisionConfig().to_dict(), text_config=settings)
        model = OryxForConditionalGeneration(config)
    decoder = model.language_model.base_model
    layers = [module for module in decoder.modules() if isinstance(module, nn.Linear)]
    linear = sum(map(count, layers))
    adapters = sum(RANK * (layer.in_features + layer.out_features) for layer in layers)
    embedding, head = count(model.get_input_embeddings()), count(model.get_output_embeddings())
    tower, small = count(model.vision_tower), count(model.compressor) + count(model.projector)
    layer = count(decoder.layers[0])
    whole = 4 * tower + TRAINED * (count(model.language_model) + small)
    # FSDP2 gathers in bfloat16: the layer in use and the next, the head and the small parts all through the
    # step, and with these their gradient.
    gathered = 2 * 2 * layer + 2 * 2 * (head + small)
    figures: dict[str, float] = {
        f"FSDP2, {gpus} GPUs" if gpus > 1 else "one GPU": whole / gpus + (gathered if gpus > 1 else 0)
        for gpus in GPUS
    }
    for kind, size in (("LoRA", 2.0), ("QLoRA int8", 1.0), ("QLoRA nf4", NF4)):
        frozen = 4 * (tower + embedding) + 2 * head + size * linear
        figures[f"{kind}, one GPU"] = frozen + TRAINED * (adapters + small)
    return figures


def main() -> None:
    parser(__doc__).parse_args()
    figures = {name: reckon(settings) for name, settings in MODELS.items()}
    table = Table("GB on each GPU", *MODELS, title="State of training in bfloat16, tower frozen")
    for row in next(iter(figures.values())):
        table.add_row(row, *(f"{figures[name][row] / 1e9:.1f}" for name in MODELS))
    Console().print(table)


if __name__ == "__main__":
    main()
