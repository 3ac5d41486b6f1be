"""The native layout: what `save_pretrained` and `oryx convert` write."""

from __future__ import annotations

from pathlib import Path

from oryx.checkpoints.files import list_shards, read_headers
from oryx.checkpoints.published import expected_shapes
from oryx.config import INVALID_SETTINGS, OryxConfig
from oryx.errors import CheckpointError, raise_mismatch


def read_config(folder: Path) -> OryxConfig:
    """The config of a native folder.

    Raises:
        CheckpointError: a setting of the wrong kind or value.
    """
    try:
        return OryxConfig.from_pretrained(folder)
    except (*INVALID_SETTINGS, ZeroDivisionError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(f"{folder / 'config.json'} is not a valid config ({reason}).") from None


def check_native(folder: Path, config: OryxConfig) -> None:
    """Compare a folder's keys and shapes with its config, by headers alone.

    For language models whose tensors `transformers` does not rename on disk (Qwen2 and Llama among them).

    Raises:
        CheckpointError: listing keys that are unknown, missing or misshapen.
    """
    expected = expected_shapes(config)
    found = {key: entry.shape for key, entry in read_headers(list_shards(folder)).items()}
    raise_mismatch(
        folder,
        unknown=sorted(set(found) - set(expected)),
        missing=sorted(set(expected) - set(found)),
        misshapen=[
            f"{key} {list(shape)} instead of {list(expected[key])}"
            for key, shape in found.items()
            if key in expected and shape != expected[key]
        ],
    )
