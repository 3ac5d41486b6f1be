"""Published Oryx checkpoints, read as they are.

Layouts: one folder that holds the language model and, or not, the tower; the tower else in `oryx_vit.pth`.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from math import isqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoConfig
from transformers.configuration_utils import PreTrainedConfig

from oryx.checkpoints.files import (
    Entry,
    LazyTensor,
    list_shards,
    read_headers,
    read_pth,
    read_tensors,
)
from oryx.checkpoints.keymap import TOWER, UNUSED, reshape_in, to_native
from oryx.config import INVALID_SETTINGS, OryxConfig, OryxVisionConfig
from oryx.errors import CheckpointError, raise_mismatch
from oryx.json_file import read_json

PUBLISHED_TYPES = {"oryx_qwen": "qwen2", "oryx_llama": "llama"}
TOWER_FILE = "oryx_vit.pth"
TOWER_HUB_ID = "THUdyh/Oryx-ViT"
# The published configs say nothing of the tower's heads; the method's head size is 72.
HEAD_SIZE = 72
# Settings of the outer model, which the language model's own config does not know.
_NOT_TEXT = (
    "architectures",
    "model_type",
    "transformers_version",
    "torch_dtype",
    "dtype",
    "auto_map",
    "_name_or_path",
)


@dataclass
class PublishedCheckpoint:
    """A published folder, by headers: nothing of the weights is in memory until it is asked for.

    Attributes:
        folder: where config, tokenizer and language model are.
        settings: the published `config.json`.
        entries: published key -> entry, tower included, unused keys left out.
        tower: tensors of a separate tower file by published key, memory-mapped; empty if the shards hold it.
    """

    folder: Path
    settings: dict[str, Any]
    entries: dict[str, Entry]
    tower: dict[str, Tensor] = field(default_factory=dict)

    @classmethod
    def open(
        cls, folder: str | Path, vision_tower: str | Path | None = None, with_tower: bool = True
    ) -> PublishedCheckpoint:
        """Read headers and find the tower.

        The tower is `vision_tower` if given, else the checkpoint's own, else `oryx_vit.pth` beside it, else
        where `mm_vision_tower` of the config points. Without `with_tower` it is neither needed nor read.

        Raises:
            CheckpointError: a file is missing or unreadable, or there is no tower anywhere.
        """
        folder = Path(folder)
        settings = read_json(folder / "config.json")
        if settings.get("model_type") not in PUBLISHED_TYPES:
            raise CheckpointError(
                f"{folder / 'config.json'} has model_type {settings.get('model_type')!r}; a published Oryx "
                f"checkpoint has {' or '.join(PUBLISHED_TYPES)}."
            )
        entries = read_headers(list_shards(folder))
        tower: dict[str, Tensor] = {}
        file = Path(vision_tower) if vision_tower else None
        if not with_tower:
            entries = {name: entry for name, entry in entries.items() if not name.startswith(TOWER)}
        elif file is None and not any(name.startswith(TOWER) for name in entries):
            file = find_tower(folder, settings)
        if file is not None:
            entries = {name: entry for name, entry in entries.items() if not name.startswith(TOWER)}
            file, tower = read_tower(file)
            for name, tensor in tower.items():
                dtype = str(tensor.dtype).removeprefix("torch.")
                entries[name] = Entry(file, tuple(tensor.shape), dtype)
        unused = [name for name in entries if UNUSED.fullmatch(name)]
        if settings.get("tie_word_embeddings"):  # some files repeat the embedding as the head
            unused += [name for name in entries if name == "lm_head.weight"]
        of_tower = sorted(
            {name.removeprefix(TOWER).split(".")[0] for name in unused if name.startswith(TOWER)}
        )
        if of_tower:
            warnings.warn(
                f"{folder}: ignored what the method does not use in the tower: {of_tower}.", stacklevel=2
            )
        entries = {name: entry for name, entry in entries.items() if name not in set(unused)}
        return cls(folder, settings, entries, {name: tower[name] for name in tower if name in entries})

    def config(self) -> OryxConfig:
        """The native config: language model from the settings, tower from the shapes of its tensors.

        Raises:
            CheckpointError: the tensors that tell the tower's size are missing or misshapen.
        """
        shapes = {
            name.removeprefix(TOWER): e.shape for name, e in self.entries.items() if name.startswith(TOWER)
        }
        vision = tower_config(shapes, self.folder, self.settings.get("mm_vision_heads"))
        compressor = self.entries.get("model.vision_resampler.vlm_query_projector.weight")
        return build_config(self.settings, vision, compressor_dim=compressor.shape[0] if compressor else 256)

    def check(self, expected: dict[str, tuple[int, ...]]) -> None:
        """Compare with the native names and shapes that the model has.

        Raises:
            CheckpointError: listing keys that are unknown, missing or misshapen.
        """
        unknown, misshapen, seen = [], [], set()
        for name, entry in self.entries.items():
            target = to_native(name)
            if target is None or target[0] not in expected:
                unknown.append(name)
                continue
            native, reshape = target
            seen.add(native)
            try:
                shape = reshape.shape_in(entry.shape)
            except IndexError:
                shape = entry.shape
            if shape != expected[native]:
                misshapen.append(f"{name} {list(entry.shape)} instead of {list(expected[native])}")
        raise_mismatch(self.folder, unknown, sorted(set(expected) - seen), misshapen)

    def state_dict(self) -> dict[str, Tensor]:
        """Native name -> tensor, memory-mapped: pages are read as the model copies them."""
        state: dict[str, Tensor] = {}
        for file in sorted({e.file for name, e in self.entries.items() if name not in self.tower}):
            state.update(self.native_tensors(read_tensors(file)))
        state.update(self.native_tensors(self.tower.items()))
        return state

    def lazy_state_dict(self) -> dict[str, Any]:
        """As `state_dict`, but each tensor of the shards is mapped when it is asked for, and apart."""
        state: dict[str, Any] = dict(self.native_tensors(self.tower.items()))
        for name, entry in self.entries.items():
            target = to_native(name)
            if name not in self.tower and target is not None:
                state[target[0]] = LazyTensor(entry, name, partial(reshape_in, reshape=target[1]))
        return state

    def native_tensors(self, tensors: Any) -> dict[str, Tensor]:
        """Translate (published name, tensor) pairs, without what is unused or replaced by the tower file."""
        state: dict[str, Tensor] = {}
        for name, tensor in tensors:
            if name in self.entries and (name not in self.tower or self.tower[name] is tensor):
                target = to_native(name)
                if target is not None:
                    state[target[0]] = reshape_in(tensor, target[1])
        return state


def text_config(settings: dict[str, Any]) -> PreTrainedConfig:
    """The language model's config from published settings.

    Raises:
        CheckpointError: a setting of the wrong kind.
    """
    text = {
        key: value for key, value in settings.items() if key not in _NOT_TEXT and not key.startswith("mm_")
    }
    if text.get("rope_scaling", ...) is None:
        del text["rope_scaling"]
    try:
        return AutoConfig.for_model(PUBLISHED_TYPES[settings["model_type"]], **text)
    except INVALID_SETTINGS as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"config.json does not describe a language model ({reason}).") from None


def build_config(settings: dict[str, Any], vision: OryxVisionConfig, compressor_dim: int = 256) -> OryxConfig:
    """Native config from published settings (a `config.json`) and a tower config."""
    dtype = settings.get("torch_dtype") or settings.get("dtype")
    return OryxConfig(
        vision_config=vision, text_config=text_config(settings), compressor_dim=compressor_dim, dtype=dtype
    )


def tower_config(
    shapes: Mapping[str, tuple[int, ...]], where: object, num_heads: int | None = None
) -> OryxVisionConfig:
    """The tower's config from the shapes of its tensors, by their names in the tower's file.

    Raises:
        CheckpointError: the tensors that tell the tower's size are missing or misshapen in `where`.
    """
    for name, dims in {"patch_embed.proj.weight": 4, "pos_embed": 3, "blocks.0.mlp.fc1.weight": 2}.items():
        if name not in shapes:
            raise CheckpointError(f"{where}: the tower lacks {name}.")
        if len(shapes[name]) != dims:
            raise CheckpointError(f"{where}: {name} has shape {shapes[name]}; {dims} dimensions are needed.")
    width, channels, patch_size, _ = shapes["patch_embed.proj.weight"]
    depth = 1 + max(int(found[1]) for name in shapes if (found := re.match(r"blocks\.(\d+)\.", name)))
    return OryxVisionConfig(
        hidden_size=width,
        intermediate_size=shapes["blocks.0.mlp.fc1.weight"][0],
        num_hidden_layers=depth,
        num_attention_heads=num_heads or max(1, width // HEAD_SIZE),
        num_channels=channels,
        patch_size=patch_size,
        position_grid_size=isqrt(shapes["pos_embed"][1]),
    )


def find_tower(folder: Path, settings: dict[str, Any]) -> Path:
    """The separate tower file: beside the checkpoint, else where the config points ("oryx_vit:PATH").

    Raises:
        CheckpointError: neither is there; names the hub id that holds the tower.
    """
    beside = folder / TOWER_FILE
    pointed = Path(str(settings.get("mm_vision_tower", "")).partition(":")[2])
    for candidate in (beside, pointed, folder / pointed):
        if candidate.is_file():
            return candidate
    raise CheckpointError(
        f"{folder} holds no vision tower: put {TOWER_FILE} of {TOWER_HUB_ID} beside it, or pass its path "
        f"as vision_tower (--vision-tower)."
    )


def read_tower(file: Path) -> tuple[Path, dict[str, Tensor]]:
    """Tensors of a tower file (.pth, .safetensors, or a folder with oryx_vit.pth), by published key."""
    if file.is_dir():
        file = file / TOWER_FILE
    if not file.is_file():
        raise CheckpointError(f"the vision tower {file} is missing.")
    if file.suffix == ".safetensors":
        read_headers([file])
        tensors = dict(read_tensors(file))
    else:
        tensors = read_pth(file)
    return file, {TOWER + name.removeprefix(TOWER): tensor for name, tensor in tensors.items()}


def expected_shapes(config: OryxConfig) -> dict[str, tuple[int, ...]]:
    """Native name -> shape of every tensor that a model of `config` keeps on disk, without memory."""
    from oryx.model.modeling import OryxForConditionalGeneration

    with torch.device("meta"):
        model = OryxForConditionalGeneration(config)
    tied = set(model.all_tied_weights_keys) if config.tie_word_embeddings else set()
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items() if name not in tied}
