"""The language model of an assembled model and its tokenizer: any causal one of `transformers`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AddedToken,
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedTokenizerBase,
)
from transformers.configuration_utils import PreTrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from oryx.checkpoints.parts import Part
from oryx.errors import CheckpointError, ConfigError, OryxError, raise_mismatch
from oryx.processing.processor import OryxProcessor

MARKERS = ("<|im_start|>", "<|im_end|>")
"""Tokens around every turn."""


def read_text_config(folder: Path) -> PreTrainedConfig:
    """The config of a causal language model of transformers.

    Raises:
        CheckpointError: the folder's config is unreadable or another kind of model's.
    """
    try:
        config = AutoConfig.from_pretrained(folder)
    except Exception as error:  # strict configs raise their own kinds
        raise CheckpointError(
            f"{folder / 'config.json'} describes no language model ({_reason(error)})."
        ) from None
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise CheckpointError(
            f"{folder / 'config.json'} has model_type {config.model_type!r}, no causal language model."
        )
    return config


def load_language_model(folder: Path, part: Part | None, attn_implementation: str | None = None) -> Any:
    """The language model in float32 on the CPU, every key checked.

    Args:
        folder: where it is.
        part: the language model of an Oryx folder; None for a model of transformers.

    Raises:
        CheckpointError: it cannot be read, or listing keys that are unknown, missing or misshapen.
    """
    kwargs: dict[str, Any] = {"attn_implementation": attn_implementation} if attn_implementation else {}
    kwargs |= {"dtype": torch.float32, "output_loading_info": True, "ignore_mismatched_sizes": True}
    loaded: Any
    try:
        if part is None:
            loaded = AutoModelForCausalLM.from_pretrained(folder, **kwargs)
        else:
            kind: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(part.config)]
            loaded = kind.from_pretrained(None, config=part.config, state_dict=part.weights(), **kwargs)
    except OryxError:
        raise
    except Exception as error:  # from a dozen libraries
        raise CheckpointError(
            f"{folder} holds no readable causal language model ({_reason(error)})."
        ) from None
    model, info = loaded
    raise_mismatch(
        folder,
        unknown=sorted(info["unexpected_keys"]),
        missing=sorted(info["missing_keys"]),
        misshapen=[
            f"{key} {list(found)} instead of {list(expected)}"
            for key, found, expected in sorted(info["mismatched_keys"])
        ],
    )
    return model


def read_tokenizer(
    name: str | Path, key: str, config: PreTrainedConfig | None = None
) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or hub id that the recipe's `key` names.

    Raises:
        ConfigError: there is none, or a damaged one.
    """
    given = {} if config is None else {"config": config}
    try:
        return AutoTokenizer.from_pretrained(name, **given)
    except Exception as error:  # tokenizers raises bare Exception, and KeyError and more on the way there
        raise ConfigError(f"{key}: {name} holds no readable tokenizer ({_reason(error)}).") from None


def add_markers(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Give the tokenizer the tokens of a turn, and let the end of a turn end an answer.

    Returns:
        Those that it lacked.
    """
    missing = [marker for marker in MARKERS if marker not in tokenizer.get_vocab()]
    if missing:
        tokenizer.add_tokens(
            [AddedToken(marker, special=True, normalized=False) for marker in missing], special_tokens=True
        )
        warnings.warn(f"the tokenizer lacked {' and '.join(missing)}, which were added.", stacklevel=2)
    tokenizer.eos_token = MARKERS[1]
    return missing


def add_marker_rows(text: Any, tokenizer: PreTrainedTokenizerBase, added: Sequence[str]) -> None:
    """Let the language model know the tokens that `add_markers` added to the tokenizer.

    Its tables may have had rows to spare, which no token has taught anything.
    """
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        if getattr(tokenizer, name) is not None:
            setattr(text.config, name, getattr(tokenizer, name))
    vocabulary = tokenizer.get_vocab()
    num_rows = text.get_input_embeddings().num_embeddings
    needed = 1 + max(vocabulary[marker] for marker in MARKERS)
    if needed > num_rows:
        text.resize_token_embeddings(needed, mean_resizing=False)
    rows = sorted({*(vocabulary[marker] for marker in added), *range(num_rows, needed)})
    if rows:
        for table in {text.get_input_embeddings(), text.get_output_embeddings()}:
            with torch.no_grad():  # as likely as any other token, until they are learned
                table.weight[rows] = table.weight[: rows[0]].mean(0)


def check_vocabulary(processor: OryxProcessor, text: Any) -> None:
    """Every token but the placeholder, which is never looked up, must have a row in the embedding.

    Raises:
        ConfigError: the tokenizer is another model's.
    """
    tokens = processor.tokenizer.get_vocab().items()
    needed = 1 + max(index for token, index in tokens if token != processor.image_token)
    num_rows = text.get_input_embeddings().num_embeddings
    if needed > num_rows:
        raise ConfigError(
            f"model.assemble.tokenizer has {needed} tokens, but the language model knows {num_rows}; they do "
            "not belong together."
        )


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0].rstrip(".")
