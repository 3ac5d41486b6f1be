"""Copies of the reference's tiny checkpoints that a test may damage."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from reference_cases import REFERENCE
from safetensors.torch import load_file, save_file
from torch import Tensor

FILES = ("config.json", "generation_config.json", "merges.txt", "vocab.json", "tokenizer_config.json")


class Published:
    """A folder in the published layout, with edits by key."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True)
        for file in [*FILES, "model.safetensors", "oryx_vit.pth"]:
            if (REFERENCE / name / file).is_file():
                shutil.copy(REFERENCE / name / file, folder)
        self.folder = folder

    def tensors(self) -> dict[str, Tensor]:
        return load_file(self.folder / "model.safetensors")

    def edit(self, change: Callable[[dict[str, Tensor]], object]) -> Path:
        tensors = self.tensors()
        change(tensors)
        save_file(tensors, self.folder / "model.safetensors", metadata={"format": "pt"})
        return self.folder

    def configure(self, **settings: object) -> Path:
        file = self.folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | settings))
        return self.folder

    def shard(self, num_shards: int = 3) -> Path:
        """Spread the tensors over shards, one of which holds tower and language model alike."""
        tensors = self.tensors()
        names = sorted(tensors)
        weight_map = {}
        for number in range(num_shards):
            shard = f"model-{number + 1:05d}-of-{num_shards:05d}.safetensors"
            own = names[number::num_shards]
            save_file({name: tensors[name] for name in own}, self.folder / shard, metadata={"format": "pt"})
            weight_map |= dict.fromkeys(own, shard)
        (self.folder / "model.safetensors").unlink()
        index = {"metadata": {}, "weight_map": weight_map}
        (self.folder / "model.safetensors.index.json").write_text(json.dumps(index))
        return self.folder


@pytest.fixture
def qwen(tmp_path: Path) -> Published:
    """The tower is inside."""
    return Published(tmp_path / "qwen", "oryx-tiny-qwen")


@pytest.fixture
def llama(tmp_path: Path) -> Published:
    """The tower is in `oryx_vit.pth` beside it."""
    return Published(tmp_path / "llama", "oryx-tiny-llama")
