"""A larger model out of a smaller one, so that what was learned is kept.

Depth grows by blocks whose two output projections are zero: they add nothing to the residual stream until
they have learned something (as in Net2Net, arXiv 1511.05641). Each is a copy of the block that it follows, so
that only the outputs begin from nothing. A new tokenizer keeps the embeddings of all tokens that it shares
with the old one.
"""

from __future__ import annotations

import copy
import re
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from oryx.data.tokenizer import END, START, spelling_tokenizer
from oryx.errors import ConfigError
from oryx.loading import generation_config
from oryx.model.modeling import OryxForConditionalGeneration
from oryx.processing.processor import OryxProcessor
from oryx.processing.settings import PROCESSOR_KEYS
from oryx.training.sections.grow import GrowSection
from oryx.training.vocabulary import synthetic_texts

# (prefix of the blocks' names, the weights that end a block's two residual branches).
_VISION = ("vision_tower.blocks.", ("attn.proj.weight", "attn.proj.bias", "mlp.fc2.weight", "mlp.fc2.bias"))
_TEXT = ("language_model.model.layers.", ("self_attn.o_proj.weight", "mlp.down_proj.weight"))

_MOST_WORDS = 1 << 14  # a spelling tokenizer has the words of the skills, a language model's ten times more


def grow(
    model: OryxForConditionalGeneration, processor: OryxProcessor, section: GrowSection, seed: int
) -> tuple[OryxForConditionalGeneration, OryxProcessor]:
    """The grown model (float32, on the CPU) and its processor; the tensors of `model` are not changed.

    Raises:
        ConfigError: fewer layers than there are or more than twice as many, a language model whose blocks
            are not known here, or words for a tokenizer that does not spell.
    """
    config = grown_config(model.config, section)
    weights = dict(model.state_dict())
    if section.vision_layers is not None:
        order = _spread(model.config.vision_config.num_hidden_layers, section.vision_layers)
        weights = _deepen(weights, *_VISION, order)
    if section.text_layers is not None:
        _check_language_model(weights)
        order = _spread(model.config.text_config.num_hidden_layers, section.text_layers)
        weights = _deepen(weights, *_TEXT, order)
    old_ids = None
    if section.spelling_samples is not None:
        old_ids = processor.tokenizer.get_vocab()
        processor = grown_processor(processor, section)
        config.image_token_id = processor.image_token_id
        _set_vocabulary(config, processor.tokenizer)
    torch.manual_seed(seed)
    grown = OryxForConditionalGeneration._from_config(config, dtype=torch.float32)
    if old_ids is not None:
        _carry_words(model, grown, weights, old_ids, processor.tokenizer.get_vocab())
    # Tied heads are in the state of both; whatever else differs is an error.
    grown.load_state_dict(weights)
    grown.generation_config = generation_config(processor)
    return grown, processor


def grown_config(config: Any, section: GrowSection) -> Any:
    """A copy of an `OryxConfig` with the layers and positions of the grown model.

    Its words are counted when it is made.

    Raises:
        ConfigError: fewer layers than there are, or more than twice as many, or layers that differ in a way
            that is not known here.
    """
    grown = copy.deepcopy(config)
    parts: list[tuple[str, Any, int | None]] = [
        ("vision_layers", grown.vision_config, section.vision_layers),
        ("text_layers", grown.text_config, section.text_layers),
    ]
    for name, part, layers in parts:
        if layers is None:
            continue
        old = part.num_hidden_layers
        if not old <= layers <= 2 * old:
            raise ConfigError(f"model.grow.{name} is {layers}; it must be from {old} to {2 * old}.")
        _check_lists(name, part)
        part.num_hidden_layers = layers
        if getattr(part, "layer_types", None):
            part.layer_types = [part.layer_types[block] for block, _ in _spread(old, layers)]
        if getattr(part, "max_window_layers", None) is not None:
            part.max_window_layers = max(part.max_window_layers, layers)
    if section.max_positions is not None:
        grown.text_config.max_position_embeddings = section.max_positions
    return grown


def _check_lists(name: str, part: Any) -> None:
    """Refuse lists that say something of single layers, such as `no_rope_layers`: copies would shift them."""
    for key, value in part.to_dict().items():
        if isinstance(value, list) and value and "layer" in key and key != "layer_types":
            raise ConfigError(f"model.grow.{name} cannot grow a model whose config has {key}.")


def count_words(num_samples: int) -> int:
    """Rows of the embedding after growing with so many `spelling_samples`."""
    return len(OryxProcessor(spelling_tokenizer(synthetic_texts(num_samples))).tokenizer)


def _spread(old: int, new: int) -> list[tuple[int, bool]]:
    """For each new block the old one that it copies, and whether that is for the first time."""
    extra = new - old
    # The copies follow old blocks at even distances.
    followed = {(index + 1) * old // extra - 1 for index in range(extra)} if extra else set()
    return [
        (block, first) for block in range(old) for first in ((True, False) if block in followed else (True,))
    ]


def _deepen(
    weights: dict[str, Tensor], prefix: str, outputs: tuple[str, ...], order: list[tuple[int, bool]]
) -> dict[str, Tensor]:
    pattern = re.compile(re.escape(prefix) + r"(\d+)\.(.+)")
    blocks: dict[int, dict[str, Tensor]] = {}
    deep = {}
    for name, tensor in weights.items():
        found = pattern.fullmatch(name)
        if found:
            blocks.setdefault(int(found[1]), {})[found[2]] = tensor
        else:
            deep[name] = tensor
    for place, (block, is_first) in enumerate(order):
        for name, tensor in blocks[block].items():
            is_silent = not is_first and name in outputs
            deep[f"{prefix}{place}.{name}"] = torch.zeros_like(tensor) if is_silent else tensor
    return deep


def _check_language_model(weights: dict[str, Tensor]) -> None:
    prefix, outputs = _TEXT
    names = {name.removeprefix(f"{prefix}0.") for name in weights if name.startswith(f"{prefix}0.")}
    # Any other tensor that ends a branch, such as a bias or a norm after it, would make the copies speak.
    extra = names & {"self_attn.o_proj.bias", "mlp.down_proj.bias", "post_feedforward_layernorm.weight"}
    if not names.issuperset(outputs) or extra:
        raise ConfigError("model.grow.text_layers needs a language model built like Qwen2 or Llama.")


def grown_processor(processor: OryxProcessor, section: GrowSection) -> OryxProcessor:
    """The processor with the words of the grown model.

    Raises:
        ConfigError: words for a tokenizer that does not spell.
    """
    if section.spelling_samples is None:
        return processor
    old = processor.tokenizer
    if not {START, END} <= set(old.get_vocab()) or len(old) > _MOST_WORDS:
        raise ConfigError(
            "model.grow.spelling_samples replaces a spelling tokenizer, which this model's is not."
        )
    tokenizer = spelling_tokenizer(synthetic_texts(section.spelling_samples))
    saved = processor.to_dict()
    return OryxProcessor(tokenizer, **{key: saved[key] for key in PROCESSOR_KEYS})


def _set_vocabulary(config: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    config.text_config.vocab_size = len(tokenizer)
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(config.text_config, name, getattr(tokenizer, name))


def _carry_words(
    model: nn.Module,
    grown: OryxForConditionalGeneration,
    weights: dict[str, Tensor],
    old_ids: dict[str, int],
    new_ids: dict[str, int],
) -> None:
    """Put tables with the rows of all known tokens, and fresh rows for the others, into `weights`."""
    kept = [(old_ids[token], index) for token, index in new_ids.items() if token in old_ids]
    old_rows, new_rows = (torch.tensor(rows) for rows in zip(*kept))
    fresh = grown.state_dict()
    num_old = model.get_submodule("language_model").get_input_embeddings().num_embeddings  # type: ignore[operator]
    for name, tensor in weights.items():
        if name.startswith("language_model.") and tensor.shape != fresh[name].shape:
            if len(tensor) != num_old:
                raise ConfigError(f"model.grow.spelling_samples leaves no place for {name}.")
            table = fresh[name].clone()
            table[new_rows] = tensor[old_rows]
            weights[name] = table
