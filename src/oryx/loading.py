"""`oryx.load`: a model and its processor from a name, a folder or a hub id, native or published."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, GenerationConfig

from oryx.checkpoints.files import lazy_tensors, list_shards, read_headers
from oryx.checkpoints.native import read_config
from oryx.checkpoints.published import (
    PUBLISHED_TYPES,
    TOWER_FILE,
    PublishedCheckpoint,
    expected_shapes,
    text_config,
)
from oryx.config import OryxConfig
from oryx.errors import CheckpointError, ConfigError, OryxError
from oryx.json_file import read_json
from oryx.model.cpu import multiplies_bfloat16
from oryx.model.int8 import check_int8, quantize_tower
from oryx.model.modeling import OryxForConditionalGeneration
from oryx.processing.budget import Planner
from oryx.processing.processor import OryxProcessor
from oryx.processing.settings import processor_settings
from oryx.processing.speed import read_speed
from oryx.processing.weights import SMALL_MODEL
from oryx.quantization import check_device, quantization_options
from oryx.sizes import model_sizes

DTYPES = ("auto", "float32", "bfloat16", "float16")
VISION_DTYPES = ("auto", "int8")


def load(
    name: str | Path = "nano",
    dtype: str | torch.dtype = "auto",
    device: str | torch.device = "auto",
    vision_tower: str | Path | None = None,
    attn_implementation: str | None = None,
    vision_dtype: str = "auto",
    quantize: str | None = None,
) -> tuple[OryxForConditionalGeneration, OryxProcessor]:
    """Model (in eval mode) and processor of `name`.

    Args:
        name: "nano" (shipped with this package), a folder in the native or a published layout, or a hub id.
        dtype: "auto" is the checkpoint's own on an accelerator; on a CPU float32, unless the model is large
            and the CPU multiplies bfloat16 natively.
        device: "auto" is the accelerator if there is one, else the CPU.
        vision_tower: the tower's file, for a published checkpoint that holds none.
        attn_implementation: "eager", "sdpa", or "flash_attention_2" where installed. The tower takes
            the fastest backend unless it is "eager" (see `model.attention`).
        vision_dtype: "auto" is `dtype`; "int8" rounds the tower's linear layers to int8, which a CPU with
            AVX512-VNNI runs faster. Such a model is for inference: it is neither trained nor saved.
        quantize: "int8" or "int4" for the weights of the language model's linear layers, quantised while they
            are read; see docs/quantization.md.

    Raises:
        CheckpointError: nothing readable under that name, or its tensors do not fit its config.
        ConfigError: an unknown dtype, device or quantisation, or one that this device has no kernels for; or
            a tower for a folder that needs none.
    """
    if vision_dtype not in VISION_DTYPES:
        raise ConfigError(f"vision_dtype {vision_dtype!r} is unknown; allowed: {', '.join(VISION_DTYPES)}.")
    where = resolve_device(device)
    check_device(quantize, where)
    if vision_dtype == "int8":
        check_int8(where)  # before minutes of loading
    folder = resolve_folder(name)
    model_type = read_json(folder / "config.json").get("model_type")
    kwargs: dict[str, Any] = {"attn_implementation": attn_implementation} if attn_implementation else {}
    if model_type in PUBLISHED_TYPES:
        model, processor = load_published(folder, dtype, where, vision_tower, quantize, **kwargs)
    elif model_type == OryxConfig.model_type:
        if vision_tower is not None:
            raise ConfigError(f"{folder} holds its tower; vision_tower is for published checkpoints.")
        model, processor = load_native(folder, dtype, where, quantize, **kwargs)
    else:
        known = ", ".join([OryxConfig.model_type, *PUBLISHED_TYPES])
        raise CheckpointError(f"{folder / 'config.json'} has model_type {model_type!r}; allowed: {known}.")
    model.to(where)  # type: ignore[arg-type]
    if vision_dtype == "int8":
        quantize_tower(model.vision_tower)
    processor.planner = _planner(model, processor, where, quantize)
    return model.eval(), processor


def _planner(
    model: OryxForConditionalGeneration, processor: OryxProcessor, device: torch.device, quantize: str | None
) -> Planner:
    """The processor's planner with the numbers of the model as it was loaded."""
    dtype = str(model.dtype).removeprefix("torch.")
    try:
        sizes = model_sizes(model.config, dtype, quantize)  # type: ignore[arg-type]
    except (TypeError, ConfigError):  # a state-space model has no heads to reckon with
        return Planner(processor.rule)
    return Planner(processor.rule, sizes, read_speed(sizes, dtype, device.type))


def load_native(
    folder: Path, dtype: str | torch.dtype, device: torch.device, quantize: str | None = None, **kwargs: Any
) -> tuple[OryxForConditionalGeneration, OryxProcessor]:
    """A folder that `save_pretrained` or `oryx convert` wrote, checked key by key."""
    config = read_config(folder)
    # Damaged or missing shards are found before anything is built.
    entries = read_headers(list_shards(folder))
    processor = native_processor(folder)
    check_generation_config(folder)
    chosen = resolve_dtype(dtype, config.dtype, device, count_parameters(expected_shapes(config)))
    kwargs |= quantization_options(quantize, device, chosen, config)
    with _quiet():
        if quantize is None:
            model = OryxForConditionalGeneration.from_pretrained(folder, dtype=chosen, **kwargs)
        else:
            model = _from_state_dict(config, lazy_tensors(entries), folder, chosen, **kwargs)
            if (folder / "generation_config.json").is_file():
                model.generation_config = GenerationConfig.from_pretrained(folder)
    return model, processor


def load_published(
    folder: Path,
    dtype: str | torch.dtype,
    device: torch.device,
    vision_tower: str | Path | None = None,
    quantize: str | None = None,
    **kwargs: Any,
) -> tuple[OryxForConditionalGeneration, OryxProcessor]:
    """A published folder, its shards memory-mapped and translated by the key table."""
    opened = PublishedCheckpoint.open(folder, resolve_tower(vision_tower))
    config = opened.config()
    expected = expected_shapes(config)
    opened.check(expected)
    processor = published_processor(folder)
    config.image_token_id = processor.image_token_id
    chosen = resolve_dtype(dtype, config.dtype, device, count_parameters(expected))
    kwargs |= quantization_options(quantize, device, chosen, config)
    state = opened.state_dict() if quantize is None else opened.lazy_state_dict()
    with _quiet():
        model = _from_state_dict(config, state, folder, chosen, **kwargs)
    model.generation_config = generation_config(processor)
    return model, processor


def _from_state_dict(
    config: OryxConfig, state: Mapping[str, Any], folder: Path, dtype: torch.dtype, **kwargs: Any
) -> OryxForConditionalGeneration:
    try:
        return OryxForConditionalGeneration.from_pretrained(
            None, config=config, state_dict=state, dtype=dtype, **kwargs
        )
    except CheckpointError as error:
        # transformers takes no name beside tensors
        raise CheckpointError(str(error).replace("None", str(folder), 1)) from None


def load_processor(folder: Path) -> OryxProcessor:
    """The processor of a model folder: tokenizer and settings, no weights."""
    is_native = read_json(folder / "config.json").get("model_type") == OryxConfig.model_type
    return native_processor(folder) if is_native else published_processor(folder)


def native_processor(folder: Path) -> OryxProcessor:
    """The processor of a native folder.

    Raises:
        CheckpointError: a file of it is missing or damaged, or an unknown setting.
        ConfigError: a setting out of range.
    """
    processor_settings(folder)  # transformers would drop an unknown key without a word
    try:
        return OryxProcessor.from_pretrained(folder)
    except OryxError:
        raise
    except Exception as error:  # tokenizers raises bare Exception, and KeyError and more on the way there
        raise CheckpointError(f"{folder} holds no readable processor ({_reason(error)}).") from None


def check_generation_config(folder: Path) -> None:
    """Refuse a `generation_config.json` that `transformers` would pass over in silence.

    Raises:
        CheckpointError: it is there and cannot be read.
    """
    file = folder / "generation_config.json"
    if not file.is_file():
        return
    read_json(file)
    try:
        with _quiet():
            GenerationConfig.from_pretrained(folder)
    except (TypeError, ValueError, OSError) as error:
        raise CheckpointError(f"{file} is not a valid generation config ({_reason(error)}).") from None


def published_processor(folder: Path) -> OryxProcessor:
    """The processor of a published folder: its tokenizer, the published resize rule and prompt.

    Raises:
        CheckpointError: no tokenizer, a damaged one, or one whose package is not installed.
    """
    is_slow = (folder / "tokenizer.model").is_file() and not (folder / "tokenizer.json").is_file()
    if is_slow and find_spec("sentencepiece") is None:
        raise CheckpointError(
            f"{folder} has a SentencePiece tokenizer (tokenizer.model); install oryx-mllm[yi] to read it."
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, config=text_config(read_json(folder / "config.json"))
        )
    except OryxError:
        raise
    except Exception as error:  # tokenizers raises bare Exception, and KeyError and more on the way there
        hint = "; oryx-mllm[yi] has what tokenizer.model needs" if is_slow else ""
        raise CheckpointError(f"{folder} holds no readable tokenizer ({_reason(error)}){hint}.") from None
    vocabulary = tokenizer.get_vocab()
    missing = [mark for mark in ("<|im_start|>", "<|im_end|>") if mark not in vocabulary]
    if missing:
        raise CheckpointError(
            f"the tokenizer of {folder} lacks {' and '.join(missing)}, which mark every turn."
        )
    return OryxProcessor(tokenizer)


def generation_config(processor: OryxProcessor) -> GenerationConfig:
    """Greedy decoding that stops at the tokenizer's end of turn."""
    tokenizer = processor.tokenizer
    return GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id,
        do_sample=False,
    )


def end_token_ids(folder: Path) -> tuple[int, ...]:
    """Tokens that end an answer of the model in a folder, as `generate` knows them, without its weights.

    Raises:
        CheckpointError: the folder has no readable config or processor.
    """
    file = folder / "generation_config.json"
    is_native = read_json(folder / "config.json").get("model_type") == OryxConfig.model_type
    ends = read_json(file).get("eos_token_id") if is_native and file.is_file() else None
    if ends is None:
        ends = load_processor(folder).tokenizer.eos_token_id
    return tuple(ends) if isinstance(ends, list) else (ends,)


def folder_dtype(folder: Path, device: str) -> torch.dtype:
    """What `load` computes in for "auto", without the weights.

    Raises:
        CheckpointError: the folder has no readable config, or its tower is missing.
    """
    is_native = read_json(folder / "config.json").get("model_type") == OryxConfig.model_type
    config = read_config(folder) if is_native else PublishedCheckpoint.open(folder).config()
    return resolve_dtype(
        "auto", config.dtype, torch.device(device), count_parameters(expected_shapes(config))
    )


def resolve_folder(name: str | Path) -> Path:
    """The local folder of "nano", a folder, or a hub id (fetched into the hub's cache).

    Raises:
        CheckpointError: there is no such folder or hub id, or "nano" is not in this build.
    """
    if str(name) == "nano":
        folder = Path(str(files("oryx") / "assets" / "nano"))
        if not (folder / "config.json").is_file():
            raise CheckpointError("this build of oryx ships no nano weights; name a folder or a hub id.")
        return folder
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_file():
        raise CheckpointError(f"{folder} is a file; a model is a folder with config.json, or a hub id.")
    text = str(name)
    if text.count("/") != 1 or text.startswith((".", "/", "~")):
        raise CheckpointError(f"{text} is neither nano, nor an existing folder, nor a hub id (owner/name).")
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                text, allow_patterns=["*.json", "*.safetensors", "*.txt", "*.model", TOWER_FILE]
            )
        )
    except Exception as error:  # the hub's client raises a dozen unrelated types
        raise CheckpointError(
            f"{text} is no local folder and the hub did not give it ({_first_line(error)})."
        ) from None


def resolve_tower(vision_tower: str | Path | None) -> Path | None:
    """A local file or folder, or a hub id that holds `oryx_vit.pth`."""
    if vision_tower is None or Path(vision_tower).exists():
        return Path(vision_tower) if vision_tower else None
    if str(vision_tower).count("/") == 1 and not str(vision_tower).endswith((".pth", ".safetensors")):
        return resolve_folder(vision_tower)
    raise CheckpointError(f"the vision tower {vision_tower} is missing.")


def resolve_device(device: str | torch.device) -> torch.device:
    """ "auto", or anything that `torch.device` takes and this machine has."""
    if device == "auto":
        accelerator = torch.accelerator.current_accelerator(check_available=True)
        return accelerator if accelerator is not None else torch.device("cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {device} cannot be used here ({_first_line(error)}).") from None
    return chosen


def count_parameters(shapes: dict[str, tuple[int, ...]]) -> int:
    """Values in all tensors of these shapes."""
    return sum(torch.Size(shape).numel() for shape in shapes.values())


def resolve_dtype(
    dtype: str | torch.dtype,
    stored: str | torch.dtype | None,
    device: torch.device,
    num_parameters: int,
) -> torch.dtype:
    """The dtype to compute in; see `load`."""
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype not in DTYPES:
        raise ConfigError(f"dtype {dtype!r} is unknown; allowed: {', '.join(DTYPES)}.")
    if dtype != "auto":
        return getattr(torch, dtype)
    if isinstance(stored, str):
        stored = getattr(torch, stored, None)
    stored = stored or torch.float32
    if device.type != "cpu":
        return stored
    return stored if num_parameters >= SMALL_MODEL and multiplies_bfloat16() else torch.float32


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0].rstrip(".")


def _reason(error: Exception) -> str:
    """The first line of a library's error; with its type, where it may be no more than a name."""
    is_plain = type(error) in (Exception, OSError, ValueError, ImportError)
    return _first_line(error) if is_plain else f"{type(error).__name__}: {_first_line(error)}"


class _quiet:  # noqa: N801 (a context manager used as a word)
    """No progress bar and no load report: keys were checked before."""

    def __enter__(self) -> None:
        from transformers.utils import logging

        self.logging = logging
        self.level = logging.get_verbosity()
        self.showed_bars = logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()

    def __exit__(self, *_: object) -> None:
        self.logging.set_verbosity(self.level)
        if self.showed_bars:
            self.logging.enable_progress_bar()
