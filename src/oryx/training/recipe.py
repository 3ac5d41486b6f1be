"""A training run as a typed YAML recipe: validated when made, overridable by dotted keys."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from oryx.errors import ConfigError
from oryx.fields import Where, build, yaml_name
from oryx.training.sections.checks import PARTS, at_least, check_parts
from oryx.training.sections.data import DataSection
from oryx.training.sections.lora import LoraSection
from oryx.training.sections.model import ModelSection
from oryx.training.sections.optim import BatchSection, OptimSection
from oryx.training.sections.parallel import ParallelSection

CHAIN_KEY = "parts"
"""A file with this key is no recipe but a chain of them (`training.chain`)."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A whole training run."""

    model: ModelSection
    """Where the weights come from."""
    data: DataSection
    """What is trained on."""
    optim: OptimSection
    """How long and how fast."""
    batch: BatchSection = field(default_factory=BatchSection)
    """Size of a step."""
    train: tuple[Literal["vision_tower", "compressor", "projector", "language_model"], ...] = PARTS  # type: ignore[assignment]
    """Parts that learn; the others are frozen."""
    lora: LoraSection | None = None
    """Adapters instead of all of the language model's weights."""
    parallel: ParallelSection = field(default_factory=ParallelSection)
    """How several processes share the work."""
    precision: Literal["float32", "bfloat16"] = "bfloat16"
    """Arithmetic of the forward pass. Weights and optimiser stay in float32."""
    gradient_checkpointing: bool = False
    """Trade time for memory: recompute activations in the backward pass."""
    output: str | None = None
    """Folder of the run: checkpoints, log and, at last, the model."""
    save_every: int = 1000
    """Steps between checkpoints. The last two are kept."""
    log_every: int = 10
    """Steps between log lines."""
    seed: int = 0
    """Of new weights, dropout and the order of records."""
    num_workers: int = 2
    """Processes that prepare batches; 0 prepares them between the steps."""
    num_threads: int | None = None
    """Threads of the training process on a CPU; torch's own choice where left out."""

    def __post_init__(self) -> None:
        check_parts(self.train)
        for part in self.optim.lr_multipliers:
            if part not in self.train:
                raise ConfigError(f"optim.lr_multipliers.{part} is set, but train freezes that part.")
        if self.lora is not None and "language_model" not in self.train:
            raise ConfigError("lora is set, but train freezes the language model that it adapts.")
        check_sharing(self, self.parallel.strategy)
        if self.optim.epochs is not None and not self.data.used_sources:
            raise ConfigError(
                "optim.epochs needs data.files or data.sources, since synthetic data has no end; set "
                "optim.steps."
            )
        at_least(self, 1, "save_every", "log_every", "num_threads")
        at_least(self, 0, "num_workers", "seed")
        if self.seed >= 2**32:  # which NumPy does not take
            raise ConfigError(f"seed is {self.seed}; it must be from 0 to {2**32 - 1}.")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in YAML."""
        return _plain(self)


def check_sharing(recipe: Recipe, strategy: str) -> None:
    """Refuse what a strategy cannot share out among processes.

    Raises:
        ConfigError: quantised layers under FSDP2 or DeepSpeed; any adapters, or Muon, under DeepSpeed.
    """
    lora = recipe.lora
    if strategy == "deepspeed" and recipe.optim.optimizer == "muon":
        raise ConfigError(
            "optim.optimizer is muon, which needs whole matrices, and parallel.strategy deepspeed hands it "
            "pieces of one long row; use fsdp2 or ddp, or adamw."
        )
    if lora is None:
        return
    if lora.quantize != "none" and strategy in ("fsdp2", "deepspeed"):
        raise ConfigError(
            f"lora.quantize is {lora.quantize}, whose layers parallel.strategy {strategy} cannot share out; "
            "use ddp, or quantize none."
        )
    if strategy == "deepspeed":
        raise ConfigError(
            "lora is set, and parallel.strategy is deepspeed, which cannot write adapters here; use fsdp2 or "
            "ddp."
        )


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in `path`.

    Args:
        path: a YAML file. Its key `extends` names another one, relative to it, whose values it changes.
        overrides: "dotted.key=value" with the value in YAML, applied last.

    Raises:
        ConfigError: the file is missing or not YAML, a key is unknown, or a value is out of range.
    """
    settings, where = read_settings(path, overrides)
    if CHAIN_KEY in settings:
        raise ConfigError(f"{path} is a chain of recipes, which oryx train runs; a single recipe is needed.")
    return build(Recipe, settings, where)


def read_settings(path: str | Path, overrides: Sequence[str] = ()) -> tuple[dict[str, Any], Where]:
    """The values in a recipe's file and those that it extends, not yet typed, and where each one is from.

    Raises:
        ConfigError: the file is missing or not YAML.
    """
    path = Path(path)
    origins: dict[str, str] = {}
    settings = _read(path, origins, seen=())
    for override in overrides:
        _override(settings, override, origins)

    def where(key: str) -> str:
        prefix = key.split(" ")[0]  # an error that a section raised about itself goes on after the key
        while prefix and prefix not in origins:
            prefix = prefix.rpartition(".")[0]
        return f"{origins.get(prefix, path)}: {key}" if key else str(path)

    return settings, where


def _read(path: Path, origins: dict[str, str], seen: tuple[Path, ...]) -> dict[str, Any]:
    """The file's settings over those of the file it extends; `origins` learns which file set which key."""
    if path.resolve() in seen:
        raise ConfigError(f"{path}: extends leads back to the same file.")
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"the recipe {path} does not exist.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the recipe {path} cannot be read ({error}).") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        raise ConfigError(f"the recipe {path} is not valid YAML{line}.") from None
    except ValueError as error:  # a date such as 2024-13-45
        raise ConfigError(f"the recipe {path} is not valid YAML ({error}).") from None
    if not isinstance(settings, dict):
        raise ConfigError(f"the recipe {path} must hold keys and values, such as model, data and optim.")
    parent = settings.pop("extends", None)
    _note(settings, str(path), origins)
    if parent is None:
        return settings
    if not isinstance(parent, str):
        raise ConfigError(f"{path}: extends is {parent!r}; it must be the path of a recipe.")
    inherited: dict[str, str] = {}
    base = _read(path.parent / parent, inherited, (*seen, path.resolve()))
    for key, origin in inherited.items():
        origins.setdefault(key, origin)
    return _merge(base, settings)


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merge(merged[key], value) if both else value
    return merged


def _note(settings: Mapping[str, Any], origin: str, origins: dict[str, str], prefix: str = "") -> None:
    for key, value in settings.items():
        origins[f"{prefix}{key}"] = origin
        if isinstance(value, Mapping):
            _note(value, origin, origins, f"{prefix}{key}.")


def _override(settings: dict[str, Any], override: str, origins: dict[str, str]) -> None:
    key, equals, text = override.partition("=")
    names = key.strip().split(".")
    if not equals or not all(names):
        raise ConfigError(f"--set {override} is not of the form key=value, such as optim.steps=100.")
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        raise ConfigError(f"--set {override}: the value is not valid YAML.") from None
    section = settings
    for name in names[:-1]:
        if section.get(name) is None:
            section[name] = {}
        section = section[name]
        if not isinstance(section, dict):
            raise ConfigError(f"--set {override}: {name} is a value, not a section.")
    section[names[-1]] = value
    _note({".".join(names): value}, "--set", origins)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {yaml_name(f.name): _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
