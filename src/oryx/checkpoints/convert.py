"""`oryx convert`: published layout -> native safetensors, and back, one shard at a time."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor
from transformers.configuration_utils import PreTrainedConfig

from oryx.checkpoints.files import INDEX, list_shards, read_tensors
from oryx.checkpoints.keymap import reshape_out, to_published
from oryx.checkpoints.native import check_native, read_config
from oryx.checkpoints.published import PUBLISHED_TYPES, PublishedCheckpoint, expected_shapes
from oryx.config import OryxConfig, OryxVisionConfig
from oryx.errors import CheckpointError, ConfigError
from oryx.json_file import read_json
from oryx.processing.processor import OryxProcessor

Report = Callable[[str, int, int], None]
Renamed = dict[str, Tensor]


def convert(
    source: str | Path,
    destination: str | Path,
    vision_tower: str | Path | None = None,
    report: Report | None = None,
) -> Path:
    """Write `source` in the other layout to the new folder `destination`.

    Published becomes native; native (over Qwen2 or Llama, with a learned position table) becomes published,
    the tower included. Memory holds one shard at a time. Nothing is left behind when it fails.

    Args:
        vision_tower: tower file, or hub id, for a published checkpoint that holds none.
        report: called with (shard name, shards done, shards in all).

    Raises:
        CheckpointError: the source is unreadable, does not fit its config or sets what the other layout
            cannot hold, or the destination is not empty or cannot be written.
        ConfigError: a tower for a source that needs none.
    """
    from oryx.loading import check_generation_config, native_processor, resolve_tower

    source, destination = Path(source), Path(destination)
    if destination.exists() and (not destination.is_dir() or any(destination.iterdir())):
        raise CheckpointError(f"{destination} already exists and is not an empty folder; name a new one.")
    model_type = read_json(source / "config.json").get("model_type")
    if model_type in PUBLISHED_TYPES:
        opened = PublishedCheckpoint.open(source, resolve_tower(vision_tower))
        opened.check(expected_shapes(opened.config()))
        with _new_folder(destination) as folder:
            _write_shards(folder, _native_shards(opened), report)
            _write_native_extras(opened, folder)
    elif model_type == OryxConfig.model_type:
        if vision_tower is not None:
            raise ConfigError(f"{source} holds its tower; vision_tower is for published checkpoints.")
        config = read_config(source)
        settings = published_settings(config, source)
        processor = native_processor(source)
        check_published_defaults(config, processor, source)
        check_generation_config(source)
        check_native(source, config)
        with _new_folder(destination) as folder:
            _write_shards(folder, _published_shards(source, config), report)
            (folder / "config.json").write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
            processor.tokenizer.save_pretrained(folder)
            if (source / "generation_config.json").is_file():
                shutil.copy(source / "generation_config.json", folder)
    else:
        known = ", ".join([OryxConfig.model_type, *PUBLISHED_TYPES])
        raise CheckpointError(f"{source / 'config.json'} has model_type {model_type!r}; allowed: {known}.")
    return destination


def published_settings(config: OryxConfig, source: Path) -> dict[str, Any]:
    """The published `config.json` of a native config.

    Raises:
        CheckpointError: the published layout cannot hold this model.
    """
    types = {text: published for published, text in PUBLISHED_TYPES.items()}
    # Defaults of the language model's class are spelled out: another version may have others.
    common = PreTrainedConfig().to_dict()
    text = {k: v for k, v in config.text_config.to_dict().items() if k not in common or v != common[k]}
    if config.text_config.model_type not in types or config.vision_config.position_embedding != "learned":
        raise CheckpointError(
            f"{source} cannot be written in the published layout, which holds a {' or '.join(types)} "
            f"language model and a tower with a learned position table."
        )
    published = types[config.text_config.model_type]
    # The reference reads these two at the top level.
    rope = dict(text.pop("rope_parameters", None) or {})
    text["rope_theta"] = rope.pop("rope_theta", getattr(config.text_config, "rope_theta", 10000.0))
    text["rope_scaling"] = None if rope.get("rope_type", "default") == "default" else rope
    return {
        **text,
        "model_type": published,
        "architectures": [f"Oryx{'Qwen' if published == 'oryx_qwen' else 'Llama'}ForCausalLM"],
        "vocab_size": config.text_config.vocab_size,
        "tie_word_embeddings": config.tie_word_embeddings,
        "mm_hidden_size": config.vision_config.hidden_size,
        "mm_vision_heads": config.vision_config.num_attention_heads,
        "mm_vision_tower": "oryx_vit:oryx_vit.pth",
        "mm_projector_type": "simple_mlp_twoview",
        "mm_resampler_type": "dynamic_compressor",
        "torch_dtype": str(config.dtype or "float32").removeprefix("torch."),
    }


def check_published_defaults(config: OryxConfig, processor: OryxProcessor, source: Path) -> None:
    """Settings that no published file holds must be those that a published checkpoint is read with.

    Raises:
        CheckpointError: listing the keys that are not.
    """
    found = _flatten(processor.to_dict(), "processor_config")
    defaults = _flatten(type(processor)(processor.tokenizer).to_dict(), "processor_config")
    tower = OryxVisionConfig()
    for name in ("hidden_act", "layer_norm_eps"):
        found[f"vision_config.{name}"] = getattr(config.vision_config, name)
        defaults[f"vision_config.{name}"] = getattr(tower, name)
    lost = sorted(key for key in found if found[key] != defaults[key])
    if lost:
        raise CheckpointError(f"{source} sets what the published layout has no place for: {', '.join(lost)}.")


def _flatten(settings: dict[str, Any], name: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        flat |= _flatten(value, f"{name}.{key}") if isinstance(value, dict) else {f"{name}.{key}": value}
    return flat


@contextmanager
def _new_folder(destination: Path) -> Iterator[Path]:
    """A folder beside `destination` that takes its name only when all is written."""
    folder = None
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{destination.name}-", dir=destination.parent))
        yield folder
        folder.chmod(0o755)
        for weights in folder.glob("*.safetensors"):  # safetensors writes for its owner alone
            shutil.copymode(folder / "config.json", weights)
        if destination.exists():
            destination.rmdir()
        folder.rename(destination)
    except BaseException as error:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError | SafetensorError):
            raise CheckpointError(f"{destination} cannot be written ({error}).") from None
        raise


def _native_shards(opened: PublishedCheckpoint) -> list[Callable[[], Renamed]]:
    files = sorted({e.file for name, e in opened.entries.items() if name not in opened.tower})
    shards: list[Callable[[], Renamed]] = [
        partial(lambda file: opened.native_tensors(read_tensors(file)), file) for file in files
    ]
    if opened.tower:
        shards.append(lambda: opened.native_tensors(opened.tower.items()))
    return shards


def _published_shards(source: Path, config: OryxConfig) -> list[Callable[[], Renamed]]:
    def rename(file: Path) -> Renamed:
        tensors: Renamed = {}
        for name, tensor in read_tensors(file):
            target = to_published(name)
            if target is None:
                raise CheckpointError(f"{source}: the published layout has no place for {name}.")
            tensors[target[0]] = reshape_out(tensor, target[1], config.vision_config.patch_size)
        return tensors

    return [partial(rename, file) for file in list_shards(source)]


def _write_shards(folder: Path, shards: Iterable[Callable[[], Renamed]], report: Report | None) -> None:
    shards = list(shards)
    weight_map: dict[str, str] = {}
    total = 0
    for number, read in enumerate(shards, start=1):
        single = len(shards) == 1
        name = "model.safetensors" if single else f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        tensors = {key: tensor.contiguous() for key, tensor in read().items()}
        save_file(tensors, folder / name, metadata={"format": "pt"})
        weight_map.update(dict.fromkeys(tensors, name))
        total += sum(tensor.nbytes for tensor in tensors.values())
        if report:
            report(name, number, len(shards))
    if len(shards) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        (folder / INDEX).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")


def _write_native_extras(opened: PublishedCheckpoint, folder: Path) -> None:
    from oryx.loading import generation_config, published_processor

    processor = published_processor(opened.folder)
    config = opened.config()
    config.image_token_id = processor.image_token_id
    config.architectures = ["OryxForConditionalGeneration"]
    config.save_pretrained(folder)
    processor.save_pretrained(folder)
    generation_config(processor).save_pretrained(folder)
