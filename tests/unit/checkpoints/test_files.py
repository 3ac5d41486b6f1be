"""Files that are missing, damaged or dangerous: each gets one sentence that names it."""

import json
import pickle

import pytest
import torch
from safetensors.torch import save_file

from oryx.checkpoints.files import (
    INDEX,
    list_shards,
    read_headers,
    read_pth,
    read_tensors,
)
from oryx.errors import CheckpointError, raise_mismatch


class Attack:
    """Creates `marker` when unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return (open, (str(self.marker), "w"))


def test_headers_and_tensors(tmp_path):
    tensors = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(4, dtype=torch.bfloat16)}
    save_file(tensors, tmp_path / "model.safetensors")
    (file,) = list_shards(tmp_path)
    headers = read_headers([file])
    assert {name: (entry.shape, entry.dtype) for name, entry in headers.items()} == {
        "a": ((2, 3), "F32"),
        "b": ((4,), "BF16"),
    }
    read = dict(read_tensors(file))
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())


def test_a_folder_without_weights(tmp_path):
    with pytest.raises(CheckpointError, match=r"holds neither model\.safetensors nor"):
        list_shards(tmp_path)


def test_missing_shards_are_named(tmp_path):
    save_file({"a": torch.ones(1)}, tmp_path / "model-1.safetensors")
    index = {
        "weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-3.safetensors"}
    }
    (tmp_path / INDEX).write_text(json.dumps(index))
    with pytest.raises(
        CheckpointError, match=r"lacks the shards model-2\.safetensors, model-3\.safetensors that"
    ):
        list_shards(tmp_path)


@pytest.mark.parametrize("index", [{}, {"weight_map": ["a"]}, {"weight_map": {"a": 1}}])
def test_an_index_without_a_map(tmp_path, index):
    (tmp_path / INDEX).write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match="has no weight_map"):
        list_shards(tmp_path)


def test_an_index_that_names_nothing(tmp_path):
    (tmp_path / INDEX).write_text('{"weight_map": {}}')
    with pytest.raises(CheckpointError, match="names no shard"):
        list_shards(tmp_path)


@pytest.mark.parametrize("damage", ["truncated", "empty", "text"])
def test_damaged_safetensors(tmp_path, damage):
    file = tmp_path / "model.safetensors"
    save_file({"a": torch.ones(1000)}, file)
    content = file.read_bytes()
    file.write_bytes({"truncated": content[:-100], "empty": b"", "text": b"no tensors here"}[damage])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is not a readable safetensors file"):
        read_headers([file])


def test_pth(tmp_path):
    tensors = {"a": torch.ones(2), "b": torch.zeros(3)}
    torch.save(tensors, tmp_path / "plain.pth")
    torch.save({"model": tensors, "epoch": 3}, tmp_path / "wrapped.pth")
    for name in ("plain.pth", "wrapped.pth"):
        read = read_pth(tmp_path / name)
        assert read.keys() == tensors.keys()
        assert all(torch.equal(read[key], tensor) for key, tensor in tensors.items())


@pytest.mark.parametrize("how", ["torch.save", "torch.save legacy", "pickle"])
def test_a_pth_that_runs_code_is_refused_and_runs_none(tmp_path, how):
    marker, file = tmp_path / "marker", tmp_path / "oryx_vit.pth"
    content = {"pos_embed": torch.ones(1), "attack": Attack(marker)}
    if how == "pickle":
        file.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, file, _use_new_zipfile_serialization=how == "torch.save")
    with pytest.raises(CheckpointError, match=r"oryx_vit\.pth holds pickled code, not plain tensors"):
        read_pth(file)
    assert not marker.exists()
    torch.load(file, weights_only=False) if how != "pickle" else pickle.loads(file.read_bytes())
    assert marker.exists()  # the attack is real


@pytest.mark.parametrize("is_old", [False, True])
@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "longer text"])
def test_damaged_pth(tmp_path, damage, is_old):
    file = tmp_path / "oryx_vit.pth"
    torch.save({"a": torch.ones(1000)}, file, _use_new_zipfile_serialization=not is_old)
    damaged = {"truncated": file.read_bytes()[:-2000], "empty": b"", "text": b"no tensors here"}
    file.write_bytes(damaged.get(damage, b"hello world" * 100))
    with pytest.raises(
        CheckpointError, match=r"oryx_vit\.pth (is empty|is not a readable \.pth file)"
    ) as caught:
        read_pth(file)
    assert "mmap" not in str(caught.value)  # advice about how to save says nothing of what is wrong
    assert ("is empty (0 bytes)" in str(caught.value)) == (damage == "empty")


def test_a_pth_in_the_format_before_zip(tmp_path):
    tensors = {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(4, dtype=torch.bfloat16)}
    torch.save(tensors, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    read = read_pth(tmp_path / "old.pth")
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize(
    "content",
    [[torch.ones(1)], {"a": 1}, torch.ones(1), {0: torch.ones(1)}],
    ids=["list", "number", "tensor", "names that are numbers"],
)
def test_a_pth_of_something_else(tmp_path, content):
    torch.save(content, tmp_path / "oryx_vit.pth")
    with pytest.raises(CheckpointError, match="holds something other than named tensors"):
        read_pth(tmp_path / "oryx_vit.pth")


def test_a_missing_pth(tmp_path):
    with pytest.raises(CheckpointError, match=r"oryx_vit\.pth is missing"):
        read_pth(tmp_path / "oryx_vit.pth")


def test_mismatches_are_listed_in_one_sentence(tmp_path):
    raise_mismatch(tmp_path, [], [], [])
    keys = [f"k{number}" for number in range(23)]
    with pytest.raises(CheckpointError) as caught:
        raise_mismatch(tmp_path, ["x"], keys, ["y [1] instead of [2]"])
    message = str(caught.value)
    assert "unknown keys x; missing keys k0, k1," in message
    assert "k19 and 3 more; misshapen keys y [1] instead of [2]." in message
    assert "k20" not in message
