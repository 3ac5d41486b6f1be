"""What every evaluation writes beside its results: the model, the versions, the command; and where to."""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from oryx import __version__
from oryx.checkpoints.files import list_shards
from oryx.checkpoints.published import PUBLISHED_TYPES, PublishedCheckpoint
from oryx.checkpoints.verify import count_parameters
from oryx.errors import ConfigError
from oryx.evaluation.metrics import Gain, Share
from oryx.files import check_folder, check_writable, write_whole
from oryx.json_file import read_json
from oryx.loading import resolve_device, resolve_tower

_PACKAGES = ("torch", "transformers", "pillow", "av", "numpy")
_CONFIG_FILES = (
    "*config.json",
    "chat_template.*",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
)
_END = 1 << 20
OF_WEIGHTS = ("--model", "--compare", "--vision-tower", "--url", "--url-model", "--api-key-env")
"""Options that may be spelled in many ways; `identity_of` says what they name."""


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


def hash_config(folder: Path) -> str:
    """SHA-256 of what decides a model's answers beside its weights: its configuration, processor, tokenizer.

    Which version of `transformers` wrote them is left out.
    """
    digest = hashlib.sha256()
    for path in sorted(
        {path for pattern in _CONFIG_FILES for path in folder.glob(pattern) if path.is_file()}
    ):
        data = path.read_bytes()
        with suppress(ValueError):
            content = json.loads(data)
            if isinstance(content, dict):
                content.pop("transformers_version", None)
            data = json.dumps(content, sort_keys=True).encode()
        digest.update(f"{path.name}\n{len(data)}\n".encode() + data)
    return digest.hexdigest()


def hash_model(folder: Path, vision_tower: str | Path | None = None) -> dict[str, Any]:
    """The facts of a model that its files tell: `hash_weights` and `hash_config`.

    Raises:
        CheckpointError: there are no weights, or no tower.
    """
    return {"model_sha256": hash_weights(folder, vision_tower), "config_sha256": hash_config(folder)}


def hash_files(files: Iterable[Path]) -> str | None:
    """SHA-256 of files by their names, sizes, and first and last MiB; None if there are none.

    So much of a film, or of a folder of them, is read at once. Raises `ConfigError` if one cannot be read.
    """
    digest, path = hashlib.sha256(), None
    for path in files:
        try:
            with path.open("rb") as file:
                size = path.stat().st_size
                digest.update(f"{path.name}\n{size}\n".encode() + file.read(_END))
                file.seek(max(0, size - _END))
                digest.update(file.read(_END))
        except OSError as error:
            raise ConfigError(f"{path} cannot be read ({error.strerror}).") from None
    return None if path is None else digest.hexdigest()


def model_facts(name: str, hashes: Mapping[str, Any], model: Any) -> dict[str, Any]:
    """What every report says of a loaded model; `hashes` are those of `hash_model`."""
    return {
        "model": name,
        **hashes,
        "num_parameters": count_parameters(model)["total"],
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": str(model.device),
        "endpoint": None,
    }


def device_name(device: str) -> str:
    """How the facts of a model that is loaded to a device name it: with its number, where it has one."""
    return str(torch.empty(0, device=resolve_device(device)).device)


def endpoint_facts(name: str, url: str) -> dict[str, Any]:
    """The same of a model behind an address, of which little is known; `name` is what its server calls it."""
    unknown = dict.fromkeys(("model_sha256", "config_sha256", "num_parameters", "dtype", "device"))
    return {"model": name, **unknown, "endpoint": url}


def identity_of(facts: Mapping[str, Any]) -> str:
    """Which model these facts are of: the hashes of `hash_model`, or its name and address."""
    if facts["model_sha256"] is None:
        return f"{facts['model']} at {facts['endpoint']}"
    # Results of earlier versions know the weights alone.
    return "+".join(filter(None, (facts["model_sha256"], facts.get("config_sha256"))))


def _weights_of(identity: str) -> str:
    """The part of an identity that is of the weights; all of a model behind an address."""
    return identity if " at " in identity else identity.split("+")[0]


def describe_model(facts: Mapping[str, Any]) -> str:
    """One line on a model, in Markdown."""
    if facts["model_sha256"] is None:
        return f"weights unknown, behind {facts['endpoint']}"
    return (
        f"{facts['num_parameters']:,} parameters, {facts['dtype']} on {facts['device']}, weights SHA-256 "
        f"`{facts['model_sha256']}`"
    )


def ratio_text(compression: int | None) -> str:
    """What a page says of the compression; None is that of an endpoint that has no such dial."""
    return "the endpoint's own compression" if compression is None else f"compression {compression}x"


def unparsed_text(number: int) -> str:
    """What a page says of answers that could not be read; empty where there are none."""
    return f"; {number:,} of the answers say nothing and count as wrong" if number else ""


def installed_versions() -> dict[str, str]:
    """Versions of this package, of Python and of what the answers may depend on."""
    versions = {"oryx": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # an unpacked source tree has no metadata
            versions[package] = "unknown"
    return versions


def versions_text(versions: Mapping[str, str]) -> str:
    """The versions, in one line of a page."""
    return ", ".join(f"{package} {number}" for package, number in versions.items())


def share_text(share: Share, more: str = "") -> str:
    """A share in percent with its interval, and `more` beside that, as in "50.0% (15.0% to 85.0%, n = 4)"."""
    low, high = share.interval
    return f"{share.share:.1%} ({low:.1%} to {high:.1%}{more})"


def gain_text(gain: Gain) -> str:
    """A gain in percentage points with its interval."""
    low, high = gain.interval
    return f"{100 * gain.difference:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


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
    one, two = options_of(there), options_of(own)
    told = []
    for option in [*one, *(option for option in two if option not in one)]:
        if option in OF_WEIGHTS or one.get(option) == two.get(option):
            continue
        if option not in one:
            told.append(f"no {option}")
            continue
        value = f"{option} {' '.join(one[option])}".strip()
        told.append(f"{value}, not {' '.join(two[option])}" if two.get(option) else value)
    return "; ".join(told)


def options_of(command: str) -> dict[str, list[str]]:
    """Option -> its values, in a command line of `command_line`; "" -> the words before all options."""
    found: dict[str, list[str]] = {"": []}
    values = found[""]
    for word in shlex.split(command):
        if word.startswith("--"):
            values = found.setdefault(word, [])
        else:
            values.append(word)
    return found


def check_output(
    folder: Path,
    names: Sequence[str],
    command: str,
    *identities: str,
    conditions: Mapping[str, Any] | None = None,
) -> None:
    """Refuses a folder whose results are other models' or of other settings, so that they are not lost.

    Args:
        names: the files to be written; the first is JSON that holds `command`, and the facts of a model or
            `models`, each with its own.
        command: the command line that measures what is to be written.
        identities: of the models that are measured, in their order; see `identity_of`.
        conditions: what the JSON, or the facts of its first model, must say as it is here, if they say
            anything of it: results of earlier versions say less.

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
        facts = content.get("models", [content])
        models = [identity_of(model) for model in facts]
        other = other_settings(str(content["command"]), command)
        said = {**facts[0], **content}
        changed = [name for name, value in (conditions or {}).items() if said.get(name, value) != value]
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError):
        raise ConfigError(f"{path} cannot be read as results; choose another --output.") from None
    if list(map(_weights_of, models)) == list(map(_weights_of, identities)):
        if any("+" in one and "+" in two and one != two for one, two in zip(models, identities)):
            raise ConfigError(
                f"{path} holds results of these weights with another configuration, processor or tokenizer; "
                "choose another --output."
            )
    elif models != list(identities):
        told = ", ".join(model if " at " in model else model[:12] for model in models)
        told = told if " at " in told else f"SHA-256 {told}"
        raise ConfigError(f"{path} holds results of another model ({told}); choose another --output.")
    if other:
        raise ConfigError(f"{path} holds results of other settings ({other}); choose another --output.")
    if changed:
        raise ConfigError(f"{path} holds results of other {' and '.join(changed)}; choose another --output.")


def write_text(path: Path, text: str) -> Path:
    """Writes a text as `write_bytes` does."""
    return write_bytes(path, text.encode("utf-8"))


def write_lines(path: Path, objects: Iterable[Mapping[str, Any]]) -> Path:
    """Writes JSON, an object a line, as `write_bytes` does."""
    return write_text(path, "".join(json.dumps(one) + "\n" for one in objects))


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
