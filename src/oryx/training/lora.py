"""LoRA and QLoRA through PEFT: adapters in the language model, and the way back to a plain model.

A checkpoint holds what learns and nothing else, as an adapter folder that PEFT reads too. The finished model
is the one that the recipe begins with, built once more, with the adapters merged into it by PEFT.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from oryx.errors import CheckpointError, ConfigError
from oryx.model.modeling import OryxForConditionalGeneration
from oryx.processing.geometry import nearest
from oryx.training.frozen import quantize_frozen
from oryx.training.sections.lora import LoraSection

ADAPTER = "adapter"
"""Folder of a finished run that holds the adapters by themselves."""
WEIGHTS = "adapter_model.safetensors"
_MARKS = "base"  # key of a file's metadata
_NAME = "default"  # PEFT's name of an adapter that has none
_PREFIX = "base_model.model."  # what PEFT's wrapper puts before a model's own names


def add_lora(model: OryxForConditionalGeneration, section: LoraSection, bfloat16: bool) -> None:
    """Give the language model adapters, which learn in float32; the rest of it is frozen.

    Args:
        bfloat16: the run's precision. Frozen linear layers are held in it: their products take it anyway.

    Raises:
        ConfigError: a module that the language model lacks, or a package that is not installed.
    """
    language_model = model.language_model
    check_names(language_model, section)
    if section.quantize != "none":
        quantize_frozen(language_model, section.quantize, bfloat16, section.modules_to_save)
    _tuner(language_model, section, find_targets(language_model, section))
    for name in section.modules_to_save:
        for module in _named(language_model, name):
            module.requires_grad_(True)
    embedding = language_model.get_input_embeddings()
    for module in language_model.modules():
        is_plain = isinstance(module, nn.Linear) and module.weight.dtype == torch.float32
        if (
            is_plain
            and not module.weight.requires_grad
            and module.weight is not embedding.weight
            and bfloat16
        ):
            module.to(torch.bfloat16)


def find_targets(language_model: Any, section: LoraSection) -> tuple[str, ...]:
    """Names of the linear layers that get adapters: those asked for, or all but the head's."""
    if section.target_modules:
        return section.target_modules
    head = language_model.get_output_embeddings()
    names = {name for name, module in _linear_layers(language_model) if module is not head}
    return tuple(sorted({name.rpartition(".")[2] for name in names}))


def check_names(language_model: Any, section: LoraSection) -> None:
    """Refuse names that nothing has, and a head that cannot have an adapter.

    Raises:
        ConfigError: naming the nearest known one, or what can be done.
    """
    linear = {name.rpartition(".")[2] for name, _ in _linear_layers(language_model)}
    modules = {name.rpartition(".")[2] for name, _ in language_model.named_modules() if name}
    for key, names, known in (
        ("target_modules", section.target_modules, linear),
        ("modules_to_save", section.modules_to_save, modules),
    ):
        for name in names:
            if name not in known:
                what = "linear layer" if key == "target_modules" else "module"
                hint = nearest(name, sorted(known))
                raise ConfigError(f"lora.{key}: {name!r} is no {what} of the language model; {hint}.")
    head, embedding = language_model.get_output_embeddings(), language_model.get_input_embeddings()
    tied = {name.rpartition(".")[2] for name, module in _linear_layers(language_model) if module is head}
    if head.weight is embedding.weight and (both := tied.intersection(section.target_modules)):
        # Merged, what the head alone learned would change the embedding too.
        raise ConfigError(
            f"lora.target_modules: {both.pop()} shares its weight with the embedding, so it cannot have an "
            "adapter of its own; name it in lora.modules_to_save instead."
        )


def learned_weights(model: nn.Module) -> dict[str, Tensor]:
    """Name -> value of all that learns."""
    return {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}


def read_marks(base: nn.Module) -> list[float]:
    """One value of each weight of a model without adapters, by which it is known again."""
    return [float(weight.reshape(-1)[weight.numel() // 2]) for weight in base.state_dict().values()]


def save_adapter(
    folder: Path,
    section: LoraSection,
    weights: Mapping[str, Tensor],
    base: str | None,
    marks: Sequence[float] | None = None,
) -> None:
    """Write `weights`, all that learns, as an adapter folder of PEFT.

    Args:
        base: the model that the adapters belong to, for their readers.
        marks: of that model (`read_marks`), for `check_base`.
    """
    adapted = {name.partition(".lora_A.")[0].rpartition(".")[2] for name in weights if ".lora_A." in name}
    targets = "|".join(map(re.escape, sorted(adapted)))
    # An expression, since a bare name could be one of the tower's layers as well.
    config = _config(section, rf"language_model\..*\.({targets})")
    parts = {name.partition(".")[0] for name in weights} - {"language_model"}
    config.modules_to_save = sorted(parts | set(section.modules_to_save)) or None
    config.base_model_name_or_path = base
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(folder)
    named = {
        _PREFIX + name.replace(f".{_NAME}.", "."): tensor.contiguous() for name, tensor in weights.items()
    }
    save_file(named, folder / WEIGHTS, {"format": "pt", _MARKS: json.dumps(marks)})


def check_base(then: Sequence[float] | None, now: Sequence[float] | None) -> None:
    """Refuse adapters that were learned on another model: they are nothing without their own.

    Args:
        then, now: marks of the model that they were learned on, and of the one that there is now; None where
            they are not known.

    Raises:
        CheckpointError: it is another.
    """
    if then is None or now is None:
        return
    # Weights that are resized when they are read differ in their last bits from machine to machine.
    if len(then) != len(now) or not torch.allclose(
        torch.tensor(then), torch.tensor(now), rtol=1e-5, atol=1e-7
    ):
        raise CheckpointError(
            "the model that the recipe begins with is not the one that the run's adapters were learned on; "
            "bring that one back, or begin a new --output."
        )


def read_adapter(folder: Path, model: nn.Module, marks: Sequence[float] | None = None) -> dict[str, Tensor]:
    """What `save_adapter` wrote, under the names of a model with adapters.

    Args:
        marks: of the model before it got them.

    Raises:
        CheckpointError: it cannot be read, or belongs to another recipe or to another model.
    """
    file = folder / WEIGHTS
    if not file.is_file():
        raise CheckpointError(f"{folder} holds no adapters; go on as the run was begun.")
    try:
        with safe_open(file, "pt") as opened:
            then = json.loads((opened.metadata() or {}).get(_MARKS, "null"))
        saved = {name.removeprefix(_PREFIX): tensor for name, tensor in load_file(file).items()}
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file} cannot be read ({error}).") from None
    check_base(then, marks)
    names = {name.replace(f".{_NAME}.", "."): name for name in learned_weights(model)}
    if saved.keys() != names.keys():
        odd = ", ".join(sorted(saved.keys() ^ names.keys())[:3])
        raise CheckpointError(f"{file} does not hold what this recipe trains ({odd}).")
    return {names[name]: tensor for name, tensor in saved.items()}


def merge(
    model: OryxForConditionalGeneration, section: LoraSection, weights: Mapping[str, Tensor]
) -> OryxForConditionalGeneration:
    """Put what was learned into `model`, as it was before it got adapters."""
    language_model: Any = model.language_model
    tuner = _tuner(language_model, section, find_targets(language_model, section))
    unknown = model.load_state_dict(dict(weights), strict=False).unexpected_keys
    assert not unknown, unknown
    model.language_model = tuner.merge_and_unload()
    return model


def _tuner(language_model: nn.Module, section: LoraSection, targets: tuple[str, ...]) -> Any:
    """PEFT's adapters, put into `language_model` in place."""
    config = _config(section, list(targets))
    from peft import LoraModel

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that quantised layers cannot be merged, which none is
        tuner = LoraModel(language_model, config, _NAME)
    for name, parameter in language_model.named_parameters():
        if "lora_" in name:
            parameter.data = parameter.data.float()
    return tuner


def _config(section: LoraSection, targets: str | list[str]) -> Any:
    try:
        from peft import LoraConfig
    except ImportError:
        raise ConfigError("lora needs peft; install oryx-mllm[train].") from None
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=section.rank,
        lora_alpha=section.alpha,  # type: ignore[arg-type]
        lora_dropout=section.dropout,
        target_modules=targets,
    )


def _linear_layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Layers that LoRA knows; GPT-2's own class among them."""
    from transformers.pytorch_utils import Conv1D

    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | Conv1D):
            yield name, module


def _named(model: nn.Module, name: str) -> Iterator[nn.Module]:
    for path, module in model.named_modules():
        if path.rpartition(".")[2] == name:
            yield module
