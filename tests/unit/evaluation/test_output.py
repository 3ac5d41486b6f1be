"""The hash covers what is loaded; commands can be told apart; results of others are never written over."""

import hashlib
import json
import shutil

import pytest
import torch

import oryx
from oryx.checkpoints.files import read_tensors
from oryx.errors import CheckpointError, ConfigError
from oryx.evaluation.output import (
    check_output,
    command_line,
    hash_config,
    hash_weights,
    model_facts,
    other_settings,
    write_text,
)

from .conftest import TINY


def test_hash_covers_every_shard(tmp_path):
    for number, content in enumerate((b"one", b"two"), start=1):
        (tmp_path / f"model-{number}.safetensors").write_bytes(content)
    names = {"a": "model-1.safetensors", "b": "model-2.safetensors"}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    (tmp_path / "config.json").write_text('{"model_type": "oryx"}')
    assert hash_weights(tmp_path) == hashlib.sha256(b"onetwo").hexdigest()


def test_hash_needs_weights(tmp_path):
    with pytest.raises(CheckpointError, match=r"neither model\.safetensors"):
        hash_weights(tmp_path)


def test_hash_covers_a_tower_that_lies_apart(tmp_path):
    """Two checkpoints of one language model and two towers are two models."""
    folders, hashes = [tmp_path / name for name in ("one", "two")], []
    whole = read_tensors(TINY / "model.safetensors")
    tower = {name: tensor for name, tensor in whole if "vision_tower" in name}
    for number, folder in enumerate(folders):
        shutil.copytree(TINY, folder)
        torch.save({name: tensor + number for name, tensor in tower.items()}, folder / "oryx_vit.pth")
        hashes.append(hash_weights(folder, folder / "oryx_vit.pth"))
    plain = hashlib.sha256((TINY / "model.safetensors").read_bytes()).hexdigest()
    assert hash_weights(TINY) == plain  # the shards hold the tower
    assert len({plain, *hashes}) == 3


def test_a_configuration_is_told_apart_by_all_that_answers_depend_on(tmp_path):
    names = ("config.json", "processor_config.json", "chat_template.jinja", "tokenizer.json", "merges.txt")
    (tmp_path / "vocab.json").write_text("[1, 2]")
    for name in names:
        (tmp_path / name).write_text('{"one": 1, "transformers_version": "5.0"}')
    plain = hash_config(tmp_path)
    (tmp_path / "config.json").write_text('{\n "transformers_version": "99",\n "one": 1}')
    (tmp_path / "README.md").write_text("A card.")
    (tmp_path / "tokenizer").mkdir()
    assert hash_config(tmp_path) == plain
    for name in names:
        text = (tmp_path / name).read_text()
        (tmp_path / name).write_text('{"one": 2}')
        assert hash_config(tmp_path) != plain, name
        (tmp_path / name).write_text(text)
    assert hash_config(tmp_path) == plain


def test_facts_count_weights_that_are_quantized(tmp_path):
    model, _ = oryx.load(TINY, dtype="float32", device="cpu")
    packed, _ = oryx.load(TINY, dtype="float32", device="cpu", quantize="int8")
    hashes = {"model_sha256": "ab", "config_sha256": "ef"}
    facts = model_facts("tiny", hashes, packed)
    assert facts == {**model_facts("tiny", hashes, model), "num_parameters": model.num_parameters()}


def test_a_command_line_repeats_every_choice():
    given = {"--model": "a b", "--test": ["words", "color"], "--seed": 0, "--detail": None, "--sweep": True}
    assert command_line("skills", given) == (
        "oryx eval skills --model 'a b' --test words --test color --seed 0 --sweep"
    )
    assert command_line("skills", {"--sweep": False, "--test": []}) == "oryx eval skills"


@pytest.mark.parametrize(
    ("there", "own", "told"),
    [
        ("oryx eval skills --samples 5 --model a", "oryx eval skills --model b --samples 5", ""),
        ("oryx eval skills --samples 500", "oryx eval skills --samples 5", "--samples 500, not 5"),
        ("oryx eval skills --test a --test b", "oryx eval skills", "--test a b"),
        ("oryx eval skills", "oryx eval skills --sweep --dtype bfloat16", "no --sweep; no --dtype"),
        ("oryx eval rooms", "oryx eval skills", "oryx eval rooms, not oryx eval skills"),
        ("oryx eval x --prompt 'a -b'", "oryx eval x --prompt 'a c'", "--prompt a -b, not a c"),
    ],
)
def test_what_differs_is_told(there, own, told):
    assert other_settings(there, own) == told


def test_results_that_may_not_be_lost(tmp_path):
    command, names = "oryx eval needle --seed 0", ("needle.json", "needle.md")
    check_output(tmp_path / "new", names, command, "ab", "cd")
    path = tmp_path / "needle.json"
    path.write_text(
        json.dumps({"command": command, "models": [{"model_sha256": "ab"}, {"model_sha256": "cd"}]})
    )
    check_output(tmp_path, names, command, "ab", "cd")
    with pytest.raises(ConfigError, match=r"results of another model \(SHA-256 ab, cd\)"):
        check_output(tmp_path, names, command, "ab")
    check_output(tmp_path, names, command, "ab+1", "cd+2")  # an earlier version knew the weights alone
    models = [{"model_sha256": "ab", "config_sha256": "1"}, {"model_sha256": "cd", "config_sha256": "2"}]
    path.write_text(json.dumps({"command": command, "models": models}))
    check_output(tmp_path, names, command, "ab+1", "cd+2")
    with pytest.raises(ConfigError, match="results of these weights with another configuration"):
        check_output(tmp_path, names, command, "ab+1", "cd+3")
    with pytest.raises(ConfigError, match=r"results of other settings \(--seed 0, not 1\)"):
        check_output(tmp_path, names, "oryx eval needle --seed 1", "ab", "cd")
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "records": "1", "rooms": "2"}))
    check_output(tmp_path, names, command, "ab", "cd", conditions={"records": "1"})
    with pytest.raises(ConfigError, match=r"results of other records; choose"):
        check_output(tmp_path, names, command, "ab", "cd", conditions={"records": "0", "rooms": "2"})
    # What results of earlier versions do not say is not held against them.
    check_output(tmp_path, names, command, "ab", "cd", conditions={"device": "cpu", "records": "1"})
    path.write_text(
        json.dumps({**content, "models": [{**one, "device": "mps"} for one in content["models"]]})
    )
    with pytest.raises(ConfigError, match=r"results of other device; choose"):
        check_output(tmp_path, names, command, "ab", "cd", conditions={"device": "cpu"})
    path.write_text("{}")
    with pytest.raises(ConfigError, match="cannot be read as results"):
        check_output(tmp_path, names, command, "ab")
    path.unlink()
    path.symlink_to(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="cannot be read as results"):
        check_output(tmp_path, names, command, "ab")
    with pytest.raises(ConfigError, match="is a file"):
        check_output(write_text(tmp_path / "file", ""), names, command)


def test_a_text_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        write_text(tmp_path / "file" / "inside.md", "text")
