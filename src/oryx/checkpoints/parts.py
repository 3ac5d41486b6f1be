"""Single parts of models on disk, such as the tower of one: configs first, weights when asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from oryx.checkpoints.files import lazy_tensors, list_shards, read_headers
from oryx.checkpoints.keymap import TOWER, UNUSED, reshape_in, to_native
from oryx.checkpoints.native import read_config
from oryx.checkpoints.published import (
    PUBLISHED_TYPES,
    TOWER_FILE,
    PublishedCheckpoint,
    read_tower,
    text_config,
    tower_config,
)
from oryx.checkpoints.siglip import SIGLIP_TYPES, siglip_config, siglip_weights
from oryx.config import INVALID_SETTINGS, OryxConfig, OryxVisionConfig
from oryx.errors import CheckpointError, ConfigError
from oryx.json_file import read_json

OF_FILE = ("num_attention_heads", "hidden_act", "layer_norm_eps", "rope_theta")
"""Settings of a tower that its file alone (`oryx_vit.pth`) does not tell."""


@dataclass(frozen=True)
class Part:
    """One part on disk."""

    config: Any
    """A tower's `OryxVisionConfig`, the language model's config, or the `OryxConfig` of the whole model."""
    weights: Callable[[], Mapping[str, Any]]
    """Reads name inside the part -> tensor (or one that is read when indexed), names as on disk."""
    folder: Path | None = None
    """The native folder it is in, whose processor goes with it."""


def open_tower(path: Path, settings: Mapping[str, Any] | None = None) -> Part:
    """A vision tower: SigLIP's, a tower file, or that of an Oryx folder in either layout (such as a run's).

    Args:
        settings: of `OryxVisionConfig`, where the source leaves them open: `siglip.SETTABLE` for SigLIP,
            `OF_FILE` for a tower file.

    Raises:
        CheckpointError: `path` is none of these, or damaged.
        ConfigError: a setting that the source decides.
    """
    settings = settings or {}
    if path.is_file() or not (path / "config.json").is_file():
        if path.is_dir() and not (path / TOWER_FILE).is_file():
            raise CheckpointError(_no_model(path, f"nor {TOWER_FILE}"))
        return _tower_file(path, settings)
    model_type = read_json(path / "config.json").get("model_type")
    if model_type in SIGLIP_TYPES:
        config = siglip_config(path, settings)
        return Part(config, partial(siglip_weights, path, config))
    if settings:
        raise ConfigError(f"{next(iter(settings))} is decided by the tower of {path} and cannot be set.")
    part = open_part(path, "vision_tower", (*SIGLIP_TYPES,))
    return Part(part.config.vision_config, part.weights, part.folder)


def open_part(path: Path, name: str, also: tuple[str, ...] = ()) -> Part:
    """The part `name` ("compressor", ...) of an Oryx folder in either layout, with the whole model's config.

    Args:
        also: other `model_type`s that an error names as allowed.

    Raises:
        CheckpointError: `path` is no such folder, or damaged.
    """
    if not (path / "config.json").is_file():
        raise CheckpointError(_no_model(path))
    model_type = read_json(path / "config.json").get("model_type")
    if model_type == OryxConfig.model_type:
        return Part(read_config(path), partial(_native_weights, path, f"{name}."), path)
    if model_type in PUBLISHED_TYPES:
        opened = PublishedCheckpoint.open(path)
        return Part(opened.config(), partial(_published_weights, opened, f"{name}."))
    known = ", ".join([OryxConfig.model_type, *PUBLISHED_TYPES, *also])
    raise CheckpointError(f"{path / 'config.json'} has model_type {model_type!r}; allowed: {known}.")


def open_language_model(path: Path) -> Part | None:
    """The language model of an Oryx folder, native or published (without its tower, which may be missing).

    Returns:
        None for a folder of anything else, such as a causal language model of `transformers`.

    Raises:
        CheckpointError: the folder is damaged.
    """
    if not (path / "config.json").is_file():
        raise CheckpointError(_no_model(path))
    model_type = read_json(path / "config.json").get("model_type")
    if model_type == OryxConfig.model_type:
        config = read_config(path).text_config
        return Part(config, partial(_native_weights, path, "language_model."), path)
    if model_type in PUBLISHED_TYPES:
        opened = PublishedCheckpoint.open(path, with_tower=False)
        return Part(text_config(opened.settings), partial(_published_weights, opened, "language_model."))
    return None


def _no_model(path: Path, other: str = "") -> str:
    if (path / "recipe.yaml").is_file():
        return f"{path} holds a run that is not finished; go on with it until the model is written."
    return f"{path} holds no config.json{f', {other}' if other else ''}."


def _tower_file(path: Path, settings: Mapping[str, Any]) -> Part:
    for key in settings:
        if key not in OF_FILE:
            raise ConfigError(f"{key} is told by the shapes in {path}; allowed: {', '.join(OF_FILE)}.")
    file, tensors = read_tower(path)
    tensors = {name: tensor for name, tensor in tensors.items() if not UNUSED.fullmatch(name)}
    shapes = {name.removeprefix(TOWER): tuple(tensor.shape) for name, tensor in tensors.items()}
    heads = settings.get("num_attention_heads")
    config = tower_config(shapes, file, heads)
    try:
        config = OryxVisionConfig(**{**config.to_dict(), **settings})
    except INVALID_SETTINGS as error:
        raise ConfigError(f"the tower cannot have these settings ({' '.join(str(error).split())}).") from None
    return Part(config, partial(_from_published, tensors, "vision_tower."))


def _native_weights(folder: Path, prefix: str) -> dict[str, Any]:
    tensors = lazy_tensors(read_headers(list_shards(folder)))
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _published_weights(opened: PublishedCheckpoint, prefix: str) -> dict[str, Any]:
    state = opened.lazy_state_dict()
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _from_published(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Tensors by published key -> by their names inside the part; unknown keys as they are, to be refused."""
    weights = {}
    for name, tensor in tensors.items():
        target = to_native(name)
        if target is None:
            weights[name] = tensor
        else:
            weights[target[0].removeprefix(prefix)] = reshape_in(tensor, target[1])
    return weights
