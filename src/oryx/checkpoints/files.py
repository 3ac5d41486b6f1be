"""Tensor files by header: names, shapes and dtypes without the data; tensors one at a time, memory-mapped."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from oryx.errors import CheckpointError
from oryx.json_file import read_json

INDEX = "model.safetensors.index.json"
PICKLE = b"\x80"  # the first byte of a pickle that torch.save wrote


@dataclass(frozen=True)
class Entry:
    """One tensor of a checkpoint: where it is, its shape, its dtype as the file spells it."""

    file: Path
    shape: tuple[int, ...]
    dtype: str


def list_shards(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint folder; every shard that its index names is there.

    Raises:
        CheckpointError: no weights, or shards that the index names are missing.
    """
    if (folder / INDEX).is_file():
        weight_map = read_json(folder / INDEX).get("weight_map")
        if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
            raise CheckpointError(f"{folder / INDEX} has no weight_map from tensors to shards.")
        names = sorted(set(weight_map.values()))
        missing = [name for name in names if not (folder / name).is_file()]
        if missing:
            raise CheckpointError(f"{folder} lacks the shards {', '.join(missing)} that {INDEX} names.")
        if not names:
            raise CheckpointError(f"{folder / INDEX} names no shard.")
        return [folder / name for name in names]
    if (folder / "model.safetensors").is_file():
        return [folder / "model.safetensors"]
    raise CheckpointError(f"{folder} holds neither model.safetensors nor {INDEX}.")


def read_headers(files: list[Path]) -> dict[str, Entry]:
    """Entries of all tensors of safetensors files, without reading their data."""
    entries: dict[str, Entry] = {}
    for file in files:
        try:
            with safe_open(file, framework="pt") as handle:
                for name in handle.keys():  # noqa: SIM118 (not a dict)
                    piece = handle.get_slice(name)
                    entries[name] = Entry(file, tuple(piece.get_shape()), piece.get_dtype())
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{file} is not a readable safetensors file ({error}).") from None
    return entries


def read_tensors(file: Path) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of one safetensors file, memory-mapped."""
    with safe_open(file, framework="pt") as handle:
        for name in handle.keys():  # noqa: SIM118 (not a dict)
            yield name, handle.get_tensor(name)


@dataclass(frozen=True)
class LazyTensor:
    """A tensor of a safetensors file that is mapped when it is asked for (`lazy[...]`), as transformers does.

    Each has a mapping of its own, so its pages are given back as soon as the tensor is dropped.
    """

    entry: Entry
    name: str
    reshape: Callable[[Tensor], Tensor] | None = None

    def __getitem__(self, key: Any) -> Tensor:
        with safe_open(self.entry.file, framework="pt") as handle:
            tensor = handle.get_tensor(self.name)
        return (self.reshape(tensor) if self.reshape else tensor)[key]


def lazy_tensors(entries: Mapping[str, Entry]) -> dict[str, LazyTensor]:
    """Name -> tensor of safetensors files, none of them mapped yet."""
    return {name: LazyTensor(entry, name) for name, entry in entries.items()}


def read_pth(path: Path) -> dict[str, Tensor]:
    """Tensors of a `.pth`, memory-mapped where it is a zip file. Anything but tensors is refused, unread.

    Raises:
        CheckpointError: missing, empty, unreadable, or something other than named tensors inside.
    """
    try:
        is_zip = zipfile.is_zipfile(path)
        with path.open("rb") as file:
            head = file.read(1)
        if not head:
            raise CheckpointError(f"{path} is empty (0 bytes); a file of tensors is needed.")
        if not is_zip and head != PICKLE:
            raise CheckpointError(
                f"{path} is not a readable .pth file (it is neither a zip file nor a pickle)."
            )
        # The format before PyTorch 1.6 is no zip file and cannot be mapped.
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except CheckpointError:
        raise
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing.") from None
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{path} holds pickled code, not plain tensors, and was not loaded; only files that "
            f"torch.load(weights_only=True) accepts are allowed."
        ) from None
    except Exception as error:  # torch's unpickler raises KeyError, struct.error, ... on damage
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} is not a readable .pth file ({reason}).") from None
    if isinstance(content, dict) and isinstance(content.get("state_dict", content.get("model")), dict):
        content = content.get("state_dict", content.get("model"))
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in content.items()
    ):
        raise CheckpointError(f"{path} holds something other than named tensors.")
    return content
