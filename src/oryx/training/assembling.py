"""A model put together from parts that exist, each checked key by key.

New compressors and projectors begin as in the reference: weights and biases of linear layers uniform within
+-1/sqrt(inputs) (PyTorch's default); the learned begin, newline, separator and end normal with deviation
1/sqrt(width).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from oryx.checkpoints.parts import Part, open_language_model, open_part, open_tower
from oryx.config import OryxConfig
from oryx.errors import CheckpointError, ConfigError, raise_mismatch
from oryx.loading import generation_config, native_processor, resolve_folder
from oryx.model.compressor import DynamicCompressor
from oryx.model.modeling import OryxForConditionalGeneration
from oryx.model.projector import Projector
from oryx.processing.processor import OryxProcessor
from oryx.processing.settings import processor_settings
from oryx.training.backbone import (
    add_marker_rows,
    add_markers,
    check_vocabulary,
    load_language_model,
    read_text_config,
    read_tokenizer,
)
from oryx.training.sections.assemble import NEW, AssembleSection


@dataclass(frozen=True)
class Sources:
    """The parts of a model on disk, none of their weights read."""

    tower: Part
    language_model: Part | None
    """None: a causal language model of transformers, in `text_folder`."""
    text_folder: Path
    between: dict[str, Part | None]
    """"compressor" and "projector"; None for a new one."""
    config: OryxConfig


def open_sources(section: AssembleSection) -> Sources:
    """Find the parts and see that they go together.

    Raises:
        CheckpointError: a source is not there, is something else or damaged.
        ConfigError: a setting that the source decides.
    """
    tower = open_vision_tower(section)
    folder = resolve_folder(section.language_model)
    language_model = open_language_model(folder)
    text = language_model.config if language_model else read_text_config(folder)
    between = {
        name: None if source == NEW else open_part(resolve_folder(source), name)
        for name, source in (("compressor", section.compressor), ("projector", section.projector))
    }
    dim = between["compressor"].config.compressor_dim if between["compressor"] else section.compressor_dim
    config = OryxConfig(vision_config=tower.config, text_config=text, compressor_dim=dim)
    return Sources(tower, language_model, folder, between, config)


def open_vision_tower(section: AssembleSection) -> Part:
    """The tower on disk; see `open_tower` for what it raises."""
    try:
        return open_tower(_tower_path(section.vision_tower), section.vision)
    except ConfigError as error:
        raise ConfigError(f"model.assemble.vision: {error}") from None


def assemble(
    section: AssembleSection,
    settings: Mapping[str, Any],
    seed: int,
    attn_implementation: str | None = None,
) -> tuple[OryxForConditionalGeneration, OryxProcessor]:
    """Model in float32 on the CPU, and its processor.

    Args:
        settings: of the processor, over those that come with the parts: the resize rule of the tower's folder
            and the prompt of the language model's, or the published ones.
        seed: of what is new.

    Raises:
        CheckpointError: a source is not there or does not fit its config, listing the keys.
        ConfigError: settings that do not exist or do not go together.
    """
    sources = open_sources(section)
    config = sources.config
    processor, added = _processor(section, sources, settings)
    text = load_language_model(sources.text_folder, sources.language_model, attn_implementation)
    add_marker_rows(text, processor.tokenizer, added)
    config.text_config = text.config
    check_vocabulary(processor, text)
    config.image_token_id = processor.image_token_id
    if attn_implementation:
        config._attn_implementation = attn_implementation
    with torch.device("meta"):
        model = OryxForConditionalGeneration._from_config(config, dtype=torch.float32)
    model.language_model = text
    _fill(model.vision_tower, sources.tower, section.vision_tower)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model.compressor, model.projector = DynamicCompressor(config), new_projector(config)
    for name, part in sources.between.items():
        if part is not None:
            _fill(getattr(model, name), part, getattr(section, name))
    model.generation_config = generation_config(processor)
    return model.eval(), processor


def assembled_processor(section: AssembleSection, settings: Mapping[str, Any]) -> OryxProcessor:
    """The processor of `assemble`, for which no weight is read; it raises the same."""
    return _processor(section, open_sources(section), settings)[0]


def _processor(
    section: AssembleSection, sources: Sources, settings: Mapping[str, Any]
) -> tuple[OryxProcessor, list[str]]:
    """It, and the markers that its tokenizer lacked."""
    text_settings, tokenizer = _open_tokenizer(section, sources)
    added = add_markers(tokenizer)
    rule = _saved(sources.tower.folder).get("resize_rule", {})
    return make_processor(tokenizer, {**text_settings, **settings}, rule), added


def make_processor(
    tokenizer: PreTrainedTokenizerBase, settings: Mapping[str, Any], saved_rule: Mapping[str, int]
) -> OryxProcessor:
    """A processor with the recipe's settings (`model.processor`), its resize rule over `saved_rule`.

    Raises:
        ConfigError: a setting that does not exist or is out of range.
    """
    rule = changed_rule(settings, saved_rule)
    try:
        return OryxProcessor(tokenizer, **{**settings, "resize_rule": rule})
    except ConfigError as error:
        raise ConfigError(f"model.processor: {error}") from None


def changed_rule(settings: Mapping[str, Any], saved_rule: Mapping[str, int]) -> dict[str, int]:
    """`saved_rule` under what the recipe's `model.processor` says of the resize rule.

    Raises:
        ConfigError: it says something that is no section.
    """
    rule = settings.get("resize_rule") or {}
    if not isinstance(rule, Mapping):
        raise ConfigError(
            f"model.processor.resize_rule is {rule!r}; it must be a section of keys and values."
        )
    return {**saved_rule, **rule}


def new_projector(config: OryxConfig) -> Projector:
    """A projector with random weights, as the reference begins it."""
    projector = Projector(config)
    for mark in (projector.begin, projector.newline, projector.separator, projector.end):
        nn.init.normal_(mark, std=mark.numel() ** -0.5)
    return projector


def _tower_path(name: str) -> Path:
    path = Path(name).expanduser()
    if path.exists():
        return path
    if path.suffix in (".pth", ".safetensors"):
        raise CheckpointError(f"the vision tower {name} is missing.")
    return resolve_folder(name)


def _open_tokenizer(
    section: AssembleSection, sources: Sources
) -> tuple[dict[str, Any], PreTrainedTokenizerBase]:
    """The tokenizer, and the prompt's settings that come with the language model."""
    settings: dict[str, Any] = {}
    part = sources.language_model
    if part is not None and part.folder is not None:
        processor = native_processor(part.folder)
        settings = {name: processor.to_dict()[name] for name in ("prompt_style", "system_prompt")}
        if section.tokenizer is None:
            return settings | {"image_token": processor.image_token}, processor.tokenizer
    if section.tokenizer is not None:
        return settings, read_tokenizer(section.tokenizer, "model.assemble.tokenizer")
    folder = sources.text_folder
    return settings, read_tokenizer(folder, "model.assemble.language_model", sources.config.text_config)


def _saved(folder: Path | None) -> dict[str, Any]:
    """What the processor of a native folder was saved with."""
    return {} if folder is None else processor_settings(folder)


def _fill(module: nn.Module, part: Part, where: object) -> None:
    """Give the module the part's weights, in float32.

    Raises:
        CheckpointError: listing keys that are unknown, missing or misshapen.
    """
    weights = {name: tensor[...] for name, tensor in part.weights().items()}
    expected = {name: tensor.shape for name, tensor in module.state_dict().items()}
    raise_mismatch(
        where,
        unknown=sorted(set(weights) - set(expected)),
        missing=sorted(set(expected) - set(weights)),
        misshapen=[
            f"{name} {list(weights[name].shape)} instead of {list(shape)}"
            for name, shape in expected.items()
            if name in weights and weights[name].shape != shape
        ],
    )
    # Copies: weights in a mapped file must not be trained in place.
    copies = {name: tensor.to(torch.float32, copy=True) for name, tensor in weights.items()}
    module.load_state_dict(copies, assign=True)
