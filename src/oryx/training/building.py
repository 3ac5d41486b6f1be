"""The model and the processor that a recipe starts from."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from transformers import AutoConfig, PreTrainedConfig, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from oryx.config import OryxConfig, OryxVisionConfig
from oryx.data.tokenizer import spelling_tokenizer
from oryx.errors import ConfigError
from oryx.loading import generation_config, load, load_processor, resolve_folder
from oryx.model.modeling import OryxForConditionalGeneration
from oryx.processing.geometry import nearest
from oryx.processing.processor import OryxProcessor
from oryx.processing.settings import PROCESSOR_KEYS
from oryx.training.assembling import assemble, assembled_processor, make_processor
from oryx.training.backbone import read_tokenizer
from oryx.training.distributed import World
from oryx.training.growing import grow, grown_processor
from oryx.training.recipe import Recipe
from oryx.training.sections.model import ModelSection, NewModel
from oryx.training.vocabulary import synthetic_texts

# Keys that configs of language models take and store under another name.
_SIZES = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "patch_size")
_RENAMED_KEYS = ("model_type", "rope_theta", "rope_scaling", "partial_rotary_factor")


def build_model(recipe: Recipe) -> tuple[OryxForConditionalGeneration, OryxProcessor]:
    """Model in float32 on the CPU, and its processor.

    Raises:
        ConfigError: settings that do not exist or do not go together.
        CheckpointError: `model.from` or a part of `model.assemble` names nothing that can be loaded.
    """
    try:
        return _build(recipe)
    except ImportError as error:
        if recipe.model.attn_implementation is None:
            raise
        raise ConfigError(
            f"model.attn_implementation {recipe.model.attn_implementation!r} cannot be used here "
            f"({_one_line(error)})."
        ) from None


def _build(recipe: Recipe) -> tuple[OryxForConditionalGeneration, OryxProcessor]:
    section = recipe.model
    check_processor_keys(section.processor)
    if section.from_ is not None:
        model, processor = load(
            section.from_, dtype="float32", device="cpu", attn_implementation=section.attn_implementation
        )
        processor = _changed_processor(processor, section.processor)
        if section.vision:
            model = _change_tower(model, section.vision, recipe.seed)
        if section.grow is not None:
            model, processor = grow(model, processor, section.grow, recipe.seed)
        check_patch_size(model.config.vision_config, processor.rule.patch_size)
        model.config.image_token_id = processor.image_token_id
        return model, processor
    if section.assemble is not None:
        model, processor = assemble(
            section.assemble, section.processor, recipe.seed, section.attn_implementation
        )
        check_patch_size(model.config.vision_config, processor.rule.patch_size)
        return model, processor
    config, processor = new_config(section)
    torch.manual_seed(recipe.seed)
    transformers_logging.set_verbosity_error()
    if section.attn_implementation:
        config._attn_implementation = section.attn_implementation
    try:
        model = OryxForConditionalGeneration._from_config(config, dtype=torch.float32)
    except (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise ConfigError(
            f"model.new has values that make no model ({type(error).__name__}: {_one_line(error)})."
        ) from None
    model.generation_config = generation_config(processor)
    return model, processor


def build_for(
    world: World, recipe: Recipe, is_sharded: bool
) -> tuple[OryxForConditionalGeneration, OryxProcessor]:
    """`build_model` on every rank. Of a model that is shared out rank 0 alone reads the weights.

    The others have its shapes, on the meta device, until `sharding.shard` sends them theirs: 8 processes that
    all read a 34B model would hold 1.1 TB of host memory.
    """
    if not is_sharded:
        with world.together():
            return build_model(recipe)
    built: list[tuple[OryxForConditionalGeneration, OryxProcessor]] = []

    def read() -> Any:
        built.append(build_model(recipe))
        return built[0][0].config

    config = world.on_main(read)
    with world.together():
        return built[0] if built else (empty_model(config), build_processor(recipe))


def empty_model(config: OryxConfig) -> OryxForConditionalGeneration:
    """A float32 model whose weights are shapes alone, on the meta device. Its buffers have their values."""
    from accelerate import init_empty_weights

    with init_empty_weights(include_buffers=False):
        model = OryxForConditionalGeneration._from_config(config, dtype=torch.float32)
    model.tie_weights()  # accelerate makes a parameter of its own for each name
    return model


def build_processor(recipe: Recipe) -> OryxProcessor:
    """The processor of `build_model`, for which no weight is read; it raises the same."""
    section = recipe.model
    check_processor_keys(section.processor)
    if section.from_ is not None:
        processor = _changed_processor(load_processor(resolve_folder(section.from_)), section.processor)
        return processor if section.grow is None else grown_processor(processor, section.grow)
    if section.assemble is not None:
        return assembled_processor(section.assemble, section.processor)
    return new_config(section)[1]


def _changed_processor(processor: OryxProcessor, settings: Mapping[str, Any]) -> OryxProcessor:
    if not settings:
        return processor
    saved = {key: value for key, value in processor.to_dict().items() if key in PROCESSOR_KEYS}
    return make_processor(processor.tokenizer, {**saved, **settings}, saved["resize_rule"])


def new_config(section: ModelSection) -> tuple[OryxConfig, OryxProcessor]:
    """Config and processor of `model.new`, which raises what `build_model` does."""
    assert section.new is not None
    processor = make_processor(_tokenizer(section.new), section.processor, {})
    config = _config(section.new, processor)
    check_patch_size(config.vision_config, processor.rule.patch_size)
    return config, processor


def check_processor_keys(settings: Mapping[str, Any]) -> None:
    """Raises ConfigError for a key of `model.processor` that does not exist."""
    for key in settings:
        if key not in PROCESSOR_KEYS:
            raise ConfigError(f"model.processor.{key} is not a known key; {nearest(key, PROCESSOR_KEYS)}.")


def _change_tower(
    model: OryxForConditionalGeneration, settings: Mapping[str, Any], seed: int
) -> OryxForConditionalGeneration:
    """The same weights under a tower of other settings, such as one with a table of positions as well."""
    config = changed_config(model.config, settings)  # type: ignore[arg-type]
    torch.manual_seed(seed)
    changed = OryxForConditionalGeneration._from_config(config, dtype=torch.float32)
    weights, shapes = model.state_dict(), {name: t.shape for name, t in changed.state_dict().items()}
    unfit = sorted(name for name, tensor in weights.items() if shapes.get(name) != tensor.shape)
    if unfit:
        raise ConfigError(f"model.vision leaves no place for the weights {', '.join(unfit[:5])}.")
    changed.load_state_dict(weights, strict=False)
    changed.generation_config = model.generation_config
    return changed


def changed_config(config: OryxConfig, settings: Mapping[str, Any]) -> OryxConfig:
    """A copy with other settings of the tower (`model.vision`).

    Raises:
        ConfigError: a setting that does not exist or is out of range.
    """
    _check_keys("model.vision", settings, OryxVisionConfig())
    config = copy.deepcopy(config)
    try:
        config.vision_config = OryxVisionConfig(**{**config.vision_config.to_dict(), **settings})
    except ConfigError as error:
        raise ConfigError(f"model.vision: {error}") from None
    return config


def _tokenizer(new: NewModel) -> PreTrainedTokenizerBase:
    if new.tokenizer is None:
        return spelling_tokenizer(synthetic_texts(new.spelling_samples or 0))
    return read_tokenizer(new.tokenizer, "model.new.tokenizer")


def _config(new: NewModel, processor: OryxProcessor) -> OryxConfig:
    text = dict(new.text)
    model_type = text.setdefault("model_type", "qwen2")
    try:
        default = AutoConfig.for_model(model_type)
    except ValueError:
        raise ConfigError(f"model.new.text.model_type {model_type!r} is not known to transformers.") from None
    _check_keys("model.new.text", text, default)
    _check_keys("model.new.vision", new.vision, OryxVisionConfig())
    tokenizer = processor.tokenizer
    # The placeholder is never looked up, but a vocabulary that covers it keeps every tool happy.
    text.setdefault("vocab_size", len(tokenizer))
    used = {index for token, index in tokenizer.get_vocab().items() if token != processor.image_token}
    if text["vocab_size"] <= max(used):
        raise ConfigError(
            f"model.new.text.vocab_size is {text['vocab_size']}; the tokenizer needs {max(used) + 1} or more."
        )
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        text.setdefault(name, getattr(tokenizer, name))
    vision = {"patch_size": processor.rule.patch_size, **new.vision}
    for name in _SIZES:
        if isinstance(vision.get(name), int) and vision[name] < 1:
            raise ConfigError(f"model.new.vision.{name} is {vision[name]}; it must be at least 1.")
    heads, shared = (text.get(name) for name in ("num_attention_heads", "num_key_value_heads"))
    if isinstance(heads, int) and isinstance(shared, int) and (shared < 1 or heads % shared):
        raise ConfigError(
            f"model.new.text.num_key_value_heads is {shared}; num_attention_heads, {heads}, must be a "
            "multiple of it."
        )
    try:
        return OryxConfig(
            vision_config=vision,
            text_config=text,
            compressor_dim=new.compressor_dim,
            image_token_id=processor.image_token_id,
        )
    except ConfigError as error:
        raise ConfigError(f"model.new: {error}") from None
    except Exception as error:  # the strict configs raise their own kinds
        raise ConfigError(f"model.new has a value that its config refuses ({_one_line(error)}).") from None


def _check_keys(section: str, settings: Mapping[str, Any], config: PreTrainedConfig) -> None:
    """transformers keeps unknown keys in silence."""
    known = {*config.to_dict(), *_RENAMED_KEYS}
    if dataclasses.is_dataclass(config):
        known |= {field.name for field in dataclasses.fields(config)}
    for key in settings:
        if key not in known:
            raise ConfigError(f"{section}.{key} is not a known key; {nearest(key, sorted(known))}.")


def check_patch_size(vision: Any, patch_size: int) -> None:
    """Raises ConfigError if the resize rule's `patch_size` is not the tower's."""
    if vision.patch_size != patch_size:
        raise ConfigError(
            f"the tower's patch_size is {vision.patch_size}, but model.processor.resize_rule.patch_size is "
            f"{patch_size}; they must be equal."
        )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
