"""A training run as a typed YAML recipe: validated when made, overridable by dotted keys."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from oryx.errors import ConfigError
from oryx.processing.geometry import nearest
from oryx.training.fields import build, yaml_name
from oryx.training.schedule import Schedule

PARTS = ("vision_tower", "compressor", "projector", "language_model")
"""The parts of a model that a recipe trains or freezes, in the order in which data flows."""


def _at_least(section: Any, low: float, *names: str) -> None:
    for name in names:
        value = getattr(section, name)
        if value is not None and value < low:
            raise ConfigError(f"{yaml_name(name)} is {value:g}; it must be at least {low:g}.")


def _check_finite(section: Any) -> None:
    """YAML's .nan and .inf are floats too, and no comparison refuses a nan."""
    for setting in dataclasses.fields(section):
        value = getattr(section, setting.name)
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{yaml_name(setting.name)} is {value:g}; it must be a finite number.")


@dataclass(frozen=True, kw_only=True)
class NewModel:
    """A model with random weights."""

    vision: dict[str, Any] = field(default_factory=dict)
    """Settings of `OryxVisionConfig`; the published tower where left out."""
    text: dict[str, Any] = field(default_factory=lambda: {"model_type": "qwen2"})
    """The language model: a `model_type` of transformers and settings; `vocab_size` is the tokenizer's."""
    compressor_dim: int = 256
    """Width of the compressor's queries and keys."""
    tokenizer: str | None = None
    """Folder or hub id of a tokenizer."""
    spelling_samples: int | None = None
    """Instead of `tokenizer`: make a spelling tokenizer from so many samples of all synthetic skills."""

    def __post_init__(self) -> None:
        _at_least(self, 1, "compressor_dim", "spelling_samples")
        if (self.tokenizer is None) == (self.spelling_samples is None):
            raise ConfigError("tokenizer or spelling_samples must be set, and only one of them.")


@dataclass(frozen=True, kw_only=True)
class ModelSection:
    """Where the weights come from: exactly one of `from` and `new`."""

    from_: str | None = None
    """Folder, hub id or "nano": weights, tokenizer and processor of a model that exists."""
    new: NewModel | None = None
    """A model with random weights."""
    processor: dict[str, Any] = field(default_factory=dict)
    """Settings of `OryxProcessor` (resize_rule, prompt_style, ...) that differ from the model's own."""
    vision: dict[str, Any] = field(default_factory=dict)
    """Beside `from`: settings of the tower that change. Tensors that the weights lack begin at random."""
    attn_implementation: Literal["eager", "sdpa", "flash_attention_2"] | None = None
    """Attention backend; the fastest that is installed where left out."""

    def __post_init__(self) -> None:
        if (self.from_ is None) == (self.new is None):
            raise ConfigError("from or new must be set, and only one of them.")
        if self.vision and self.from_ is None:
            raise ConfigError("vision changes the tower of from; a new model has new.vision.")


@dataclass(frozen=True, kw_only=True)
class SyntheticSection:
    """Samples drawn on the fly by `oryx.data.synthetic`, without end."""

    skills: dict[str, Any]
    """Skill -> its `weight` and settings. Weight 0 leaves out a skill of the recipe that this one extends."""
    seed: int = 0
    """Sample i depends on this and on i alone. Give every recipe of a chain a seed of its own."""

    def __post_init__(self) -> None:
        for name, settings in self.skills.items():
            if settings is not None and not isinstance(settings, Mapping):
                raise ConfigError(f"skills.{name} is {settings!r}; it must be a section of keys and values.")
        used = {name: dict(given or {}) for name, given in self.skills.items()}
        used = {name: given for name, given in used.items() if given.get("weight") != 0}
        if not used:
            raise ConfigError("skills has no skill with a weight above 0.")
        object.__setattr__(self, "skills", used)


@dataclass(frozen=True, kw_only=True)
class FileSection:
    """One file of records in the LLaVA layout: a JSON list, or JSONL."""

    path: str
    """The file."""
    media_root: str | None = None
    """Folder that the records' media paths start from; the file's own where left out."""


@dataclass(frozen=True, kw_only=True)
class DataSection:
    """What is trained on: exactly one of `synthetic` and `files`."""

    synthetic: SyntheticSection | None = None
    """Samples drawn on the fly."""
    files: tuple[FileSection, ...] = ()
    """Files of records, shuffled together anew in each epoch; every record is used once an epoch."""
    supervise: Literal["assistant", "published"] = "assistant"
    """Whose words are learned: the assistant's, or what the published training code labels."""

    def __post_init__(self) -> None:
        if (self.synthetic is None) == (not self.files):
            raise ConfigError("synthetic or files must be set, and only one of them.")


@dataclass(frozen=True, kw_only=True)
class OptimSection:
    """The optimiser and its schedule."""

    optimizer: Literal["adamw", "muon"] = "adamw"
    """AdamW for all, or Muon for the matrices and AdamW for the rest."""
    muon_multiplier: float = 1.0
    """Factor on the learning rate of Muon's matrices; at 1 its steps are as large as AdamW's."""

    steps: int | None = None
    """Optimiser steps of the whole run. This, or `epochs`."""
    epochs: float | None = None
    """Passes over `data.files`, instead of `steps`."""
    learning_rate: float = 2e-5
    """Peak learning rate."""
    lr_multipliers: dict[str, float] = field(default_factory=dict)
    """Part -> factor on the learning rate, 1 where left out."""
    schedule: Literal["cosine", "constant", "linear", "wsd"] = "cosine"
    """Course of the learning rate after the warm-up. "wsd" is stable, and falls in the last `decay_ratio`."""
    warmup_ratio: float = 0.03
    """Share of the steps in which the learning rate rises."""
    warmup_steps: int | None = None
    """The same in steps; it wins over `warmup_ratio`."""
    decay_ratio: float = 0.2
    """Share of the steps in which "wsd" falls."""
    min_lr_ratio: float = 0.0
    """Where the schedule ends, as a share of the peak."""
    weight_decay: float = 0.0
    """For matrices only: never for norms, biases, embeddings and other tables."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of AdamW's two averages."""
    eps: float = 1e-8
    """AdamW's epsilon."""
    max_grad_norm: float = 1.0
    """Gradients are clipped to this norm; 0 for no clipping."""
    max_minutes: float | None = None
    """Stop with a checkpoint after this time. The schedule does not know of it; the same command goes on."""

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.epochs is None):
            raise ConfigError("steps or epochs must be set, and only one of them.")
        _check_finite(self)
        _at_least(self, 1, "steps")
        _at_least(self, 0, "warmup_steps", "warmup_ratio", "decay_ratio", "min_lr_ratio")
        _at_least(self, 0, "weight_decay", "max_grad_norm")
        for name in ("learning_rate", "epochs", "eps", "max_minutes", "muon_multiplier"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigError(f"{name} is {value:g}; it must be above 0.")
        for name in ("warmup_ratio", "decay_ratio", "min_lr_ratio"):
            if getattr(self, name) > 1:
                raise ConfigError(f"{name} is {getattr(self, name):g}; it must be at most 1.")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(f"betas is {list(self.betas)}; both must be at least 0 and below 1.")
        for part, factor in self.lr_multipliers.items():
            if part not in PARTS:
                raise ConfigError(
                    f"lr_multipliers.{part} is not a part of the model; {nearest(part, PARTS)}."
                )
            if not 0 < factor < math.inf:
                raise ConfigError(
                    f"lr_multipliers.{part} is {factor:g}; it must be above 0 and finite (or leave the part "
                    "out of train)."
                )

    def make_schedule(self, steps: int) -> Schedule:
        """The learning rate's course over `steps`."""
        warmup = self.warmup_steps if self.warmup_steps is not None else round(self.warmup_ratio * steps)
        return Schedule(self.schedule, steps, warmup, round(self.decay_ratio * steps), self.min_lr_ratio)


@dataclass(frozen=True, kw_only=True)
class BatchSection:
    """One step reads `gradient_accumulation` batches of `rows` rows, each packed full of samples."""

    row_length: int = 8192
    """Positions of a row. No sample may be longer."""
    rows: int = 1
    """Rows of one forward pass."""
    gradient_accumulation: int = 1
    """Forward passes of one step; the loss is that of one large batch."""

    def __post_init__(self) -> None:
        _at_least(self, 16, "row_length")
        _at_least(self, 1, "rows", "gradient_accumulation")


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
    """Of new weights, dropout and the order of `data.files`."""
    num_workers: int = 2
    """Processes that prepare batches; 0 prepares them between the steps."""
    num_threads: int | None = None
    """Threads of the training process on a CPU; torch's own choice where left out."""

    def __post_init__(self) -> None:
        if not self.train:
            raise ConfigError(
                f"train is empty, so everything would be frozen; name some of {', '.join(PARTS)}."
            )
        for part in self.optim.lr_multipliers:
            if part not in self.train:
                raise ConfigError(f"optim.lr_multipliers.{part} is set, but train freezes that part.")
        if self.optim.epochs is not None and self.data.synthetic is not None:
            raise ConfigError(
                "optim.epochs needs data.files, since synthetic data has no end; set optim.steps."
            )
        _at_least(self, 1, "save_every", "log_every", "num_threads")
        _at_least(self, 0, "num_workers", "seed")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in YAML."""
        return _plain(self)


def load_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in `path`.

    Args:
        path: a YAML file. Its key `extends` names another one, relative to it, whose values it changes.
        overrides: "dotted.key=value" with the value in YAML, applied last.

    Raises:
        ConfigError: the file is missing or not YAML, a key is unknown, or a value is out of range.
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

    return build(Recipe, settings, where)


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
