"""A model's numbers: the same from its config, from its folder, and from the model that was loaded."""

from dataclasses import replace
from pathlib import Path

import pytest
from reference_cases import REFERENCE

import oryx
from oryx.checkpoints.native import read_config
from oryx.cli.forecast import make_planner, model_folder
from oryx.sizes import model_sizes


def test_folder_config_and_model_agree():
    folder = model_folder("nano")
    _, processor = oryx.load("nano", dtype="float32")
    planner = make_planner(folder, dtype="float32")
    assert processor.planner.sizes == planner.sizes == model_sizes(read_config(folder), "float32")
    assert processor.planner.rule == planner.rule
    assert planner.sizes.context_length == 8192


@pytest.mark.parametrize("quantize", ["int8", "int4"])
def test_quantised_weights_are_counted_so(quantize):
    _, processor = oryx.load("nano", quantize=quantize)
    assert processor.planner.sizes.quantize == quantize
    plain = replace(processor.planner, sizes=replace(processor.planner.sizes, quantize=None))
    assert processor.planner.forecast([]).peak_memory_bytes < plain.forecast([]).peak_memory_bytes


@pytest.mark.parametrize("name", ["oryx-tiny-qwen", "oryx-tiny-llama"])
def test_published_folders_have_sizes_too(name):
    folder = Path(REFERENCE) / name
    _, processor = oryx.load(folder, dtype="float32")
    assert processor.planner.sizes == make_planner(folder, dtype="float32").sizes


def test_auto_is_what_it_comes_to_on_this_machine():
    model, _ = oryx.load("nano")
    assert make_planner(model_folder("nano")).sizes.dtype == str(model.dtype).removeprefix("torch.")
