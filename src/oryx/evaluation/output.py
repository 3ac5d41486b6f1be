"""What every evaluation writes beside its results: the model, the versions, the command; and where to."""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import shlex
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from PIL import Image

from oryx import __version__
from oryx.checkpoints.files import list_shards
from oryx.checkpoints.published import PUBLISHED_TYPES, PublishedCheckpoint
from oryx.checkpoints.verify import count_parameters
from oryx.errors import ConfigError
from oryx.files import check_folder, check_writable, write_whole
from oryx.json_file import read_json
from oryx.loading import resolve_tower

_PACKAGES = ("torch", "transformers", "pillow", "av", "numpy")
_OF_WEIGHTS = ("--model", "--compare", "--vision-tower")
"""Options that may be spelled in many ways; the SHA-256 says what they name."""


def hash_weights(folder: Path, vision_tower: str | Path | None = None) -> str:
    """SHA-256 of a checkpoint's safetensors files, and of its tower's file where the tower is apart.

    Args:
        folder: of a native or a published checkpoint.
        vision_tower: as in `oryx.load`.

    Raises:
        CheckpointError: there are none, or no tower.
    """
    files = list_shards(folder)
    if read_json(folder / "config.json").get("model_type") in PUBLISHED_TYPES:
        entries = PublishedCheckpoint.open(folder, resolve_tower(vision_tower)).entries
        files += sorted({entry.file for entry in entries.values()} - set(files))
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def model_facts(name: str, sha256: str, model: Any) -> dict[str, Any]:
    """What every report says of a loaded model; `sha256` is that of `hash_weights`."""
    return {
        "model": name,
        "model_sha256": sha256,
        "num_parameters": count_parameters(model)["total"],
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": str(model.device),
    }


def installed_versions() -> dict[str, str]:
    """Versions of this package, of Python and of what the answers may depend on."""
    versions = {"oryx": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # an unpacked source tree has no metadata
            versions[package] = "unknown"
    return versions


def command_line(task: str, given: Mapping[str, Any], *arguments: str | Path) -> str:
    """`oryx eval TASK` with these arguments and options.

    Those that are None or False are left out, True stands alone, and a list repeats its option.
    """
    words = ["oryx", "eval", task, *map(str, arguments)]
    for option, value in given.items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None and one is not False:
                words += [option] if one is True else [option, str(one)]
    return shlex.join(words)


def other_settings(there: str, own: str) -> str:
    """How one command line of `command_line` measures otherwise than another; empty where it does not.

    Which weights they name is not compared.
    """
    one, two = _options(there), _options(own)
    told = []
    for option in [*one, *(option for option in two if option not in one)]:
        if option in _OF_WEIGHTS or one.get(option) == two.get(option):
            continue
        if option not in one:
            told.append(f"no {option}")
            continue
        value = f"{option} {' '.join(one[option])}".strip()
        told.append(f"{value}, not {' '.join(two[option])}" if two.get(option) else value)
    return "; ".join(told)


def _options(command: str) -> dict[str, list[str]]:
    """Option -> its values, in a command line of `command_line`; "" -> the words before all options."""
    found: dict[str, list[str]] = {"": []}
    values = found[""]
    for word in shlex.split(command):
        if word.startswith("--"):
            values = found.setdefault(word, [])
        else:
            values.append(word)
    return found


def check_output(folder: Path, names: Sequence[str], command: str, *models_sha256: str) -> None:
    """Refuses a folder whose results are other models' or of other settings, so that they are not lost.

    Args:
        names: the files to be written; the first is JSON that holds `command`, and `model_sha256` or
            `models`, each with its own.
        command: the command line that measures what is to be written.
        models_sha256: of the models that are measured, in their order.

    Raises:
        ConfigError: such a folder, one whose results cannot be read or that cannot be written, or a file of
            that name.
    """
    check_folder(folder)
    for name in names:
        check_writable(folder / name)
    path = folder / names[0]
    if not os.path.lexists(path):
        return
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        models = [str(model["model_sha256"]) for model in content.get("models", [content])]
        other = other_settings(str(content["command"]), command)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ConfigError(f"{path} cannot be read as results; choose another --output.") from None
    if models != list(models_sha256):
        told = ", ".join(sha[:12] for sha in models)
        raise ConfigError(f"{path} holds results of another model (SHA-256 {told}); choose another --output.")
    if other:
        raise ConfigError(f"{path} holds results of other settings ({other}); choose another --output.")


def write_text(path: Path, text: str) -> Path:
    """Writes a text as `write_bytes` does."""
    return write_bytes(path, text.encode("utf-8"))


def write_picture(path: Path, picture: Image.Image) -> Path:
    """Writes a PNG as `write_bytes` does."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return write_bytes(path, buffer.getvalue())


def write_bytes(path: Path, data: bytes) -> Path:
    """Writes a file whole or not at all, with its folder. Raises `ConfigError` where the disk refuses."""
    try:
        return write_whole(path, data)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}).") from None
