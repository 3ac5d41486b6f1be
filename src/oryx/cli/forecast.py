"""Sizes and settings of a model from its folder, for `oryx plan`: weights stay on disk."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oryx.errors import CheckpointError
from oryx.json_file import read_json
from oryx.processing.budget import Planner
from oryx.processing.costs import ModelSizes
from oryx.processing.forecast import VisualForecast
from oryx.processing.geometry import ResizeRule
from oryx.processing.settings import processor_settings
from oryx.processing.speed import read_speed
from oryx.processing.weights import SMALL_MODEL, check_quantize, num_parameters

if TYPE_CHECKING:
    from oryx.config import OryxConfig
    from oryx.processing.processor import OryxProcessor


def model_folder(name: str) -> Path:
    """Where the model is. A hub id is fetched, which needs torch's neighbours; a folder needs nothing."""
    folder = Path(str(files("oryx") / "assets" / "nano")) if name == "nano" else Path(name).expanduser()
    if (folder / "config.json").is_file():
        return folder
    from oryx.loading import resolve_folder

    return resolve_folder(name)


def make_planner(
    folder: Path,
    vision_tower: Path | None = None,
    dtype: str = "auto",
    device: str = "auto",
    quantize: str | None = None,
    exact: bool = True,
) -> Planner:
    """The planner of the model in `folder`, from its configs alone.

    Args:
        dtype, device: as in `oryx.load`.
        exact: find out what "auto" comes to on this machine, which imports torch. Otherwise it is what the
            calibration found, or float32 for a small model where there is no sign of an accelerator.

    Raises:
        CheckpointError: a config that cannot be read, or no tower.
        ConfigError: an unknown dtype, device or quantisation.
    """
    check_quantize(quantize)
    settings = read_json(folder / "config.json")
    is_native = settings.get("model_type") == "oryx"
    sizes = (_native(settings) if is_native else None) or _by_config(folder, vision_tower)
    rule = _rule(folder) if is_native else ResizeRule()
    sizes = replace(sizes, quantize=quantize)
    speed = read_speed(sizes, dtype, device)
    if speed is not None:
        sizes = replace(sizes, dtype=speed.dtype)
    elif dtype != "auto":
        sizes = replace(sizes, dtype=dtype)
    elif exact:
        sizes = replace(sizes, dtype=_resolved(sizes, device))
    elif device in ("auto", "cpu") and sum(num_parameters(sizes).values()) < SMALL_MODEL and _is_plain_pc():
        sizes = replace(sizes, dtype="float32")
    return Planner(rule, sizes, speed)


def _is_plain_pc() -> bool:
    """Whether nothing speaks for an accelerator that torch would take."""
    return sys.platform == "linux" and not any(Path(file).exists() for file in ("/dev/nvidiactl", "/dev/kfd"))


def _resolved(sizes: ModelSizes, device: str) -> str:
    from oryx.loading import resolve_device, resolve_dtype

    parameters = sum(num_parameters(sizes).values())
    return str(resolve_dtype("auto", sizes.dtype, resolve_device(device), parameters)).removeprefix("torch.")


def count_prompt(
    processor: OryxProcessor, visuals: Sequence[VisualForecast], question: str, style: str | None = None
) -> int:
    """Positions of the prompt, from the processor itself; the visuals need not be decoded."""
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": None}]
    return len(processor.encode_sample(turns, stand_ins(visuals), None, style).ids)  # type: ignore[arg-type]


def spend(
    planner: Planner,
    folder: Path,
    sources: Sequence[dict[str, Any]],
    budget: Any,
    question: str,
    new_tokens: int = 0,
    style: str | None = None,
) -> list[Any]:
    """`Planner.spend` beside the text of a question, in which every visual is marked."""
    if budget is None:
        return planner.spend(sources)
    from oryx.loading import load_processor

    processor = load_processor(folder)
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": None}]
    num_text = processor.count_text(turns, len(sources), style)  # type: ignore[arg-type]
    return planner.spend(sources, budget, num_text, new_tokens, processor.count_note)


def stand_ins(visuals: Sequence[VisualForecast]) -> list[Any]:
    """What the processor takes for visuals whose embeddings come separately."""
    from oryx.processing.visuals import EncodedVisual

    return [EncodedVisual(visual.layout, visual.views, None, visual.note) for visual in visuals]


def _native(settings: dict[str, Any]) -> ModelSizes | None:
    """Sizes from a native `config.json`; None where it takes the config's class to fill in or to refuse."""
    try:
        return ModelSizes.from_settings(
            settings["vision_config"],
            settings["text_config"],
            settings.get("compressor_dim", 256),
            settings.get("dtype") or settings.get("torch_dtype") or "float32",
        )
    except (KeyError, TypeError, AttributeError):
        return None


def read_any_config(folder: Path, vision_tower: Path | None = None) -> OryxConfig:
    """The config of a native or a published folder.

    Raises:
        CheckpointError: neither of these, or no tower.
    """
    from oryx.checkpoints.native import read_config
    from oryx.checkpoints.published import PUBLISHED_TYPES, PublishedCheckpoint
    from oryx.config import OryxConfig
    from oryx.loading import resolve_tower

    settings = read_json(folder / "config.json")
    known = [OryxConfig.model_type, *PUBLISHED_TYPES]
    if settings.get("model_type") not in known:
        raise CheckpointError(
            f"{folder / 'config.json'} has model_type {settings.get('model_type')!r}; "
            f"allowed: {', '.join(known)}."
        )
    if settings["model_type"] in PUBLISHED_TYPES:
        return PublishedCheckpoint.open(folder, resolve_tower(vision_tower)).config()
    return read_config(folder)


def _by_config(folder: Path, vision_tower: Path | None) -> ModelSizes:
    """Sizes through the config's class: of a published folder, or a native config without its defaults."""
    from oryx.sizes import model_sizes

    config = read_any_config(folder, vision_tower)
    try:
        return model_sizes(config)
    except TypeError as error:
        raise CheckpointError(f"{folder / 'config.json'} is not a valid config ({error}).") from None


def _rule(folder: Path) -> ResizeRule:
    return ResizeRule.from_dict(processor_settings(folder).get("resize_rule") or {})
