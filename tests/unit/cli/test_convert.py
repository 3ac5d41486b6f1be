"""`oryx convert` and `oryx verify`."""

import json
import sys

import pytest
from safetensors.torch import load_file


def test_there_and_back(run, tiny, tmp_path):
    there = run("convert", tiny, tmp_path / "native")
    assert there.code == 0
    listed = [line.split("  ")[0] for line in there.out.splitlines()]
    assert listed == sorted(str(path) for path in (tmp_path / "native").iterdir())
    assert run("convert", tmp_path / "native", tmp_path / "back").code == 0
    before, after = (load_file(folder / "model.safetensors") for folder in (tiny, tmp_path / "back"))
    assert before.keys() == after.keys()
    assert all(before[name].equal(after[name]) for name in before)


def test_verify_reports(run, tiny):
    result = run("verify", tiny, "--json")
    assert result.code == 0, result.err
    report = json.loads(result.out)
    assert (report["layout"], report["model_type"], report["dtype"]) == ("published", "oryx_qwen", "float32")
    assert report["tensors"]["count"] == len(load_file(tiny / "model.safetensors"))
    parts = dict(report["parameters"])
    assert parts.pop("total") == sum(parts.values())
    assert set(parts) == {"vision_tower", "compressor", "projector", "language_model"}
    assert report["tokenizer"]["<|im_start|>"] == 481
    assert report["forward"]["visual_tokens"] < report["forward"]["prompt_tokens"]
    assert {entry["expected"] for entry in report["answers"]} == {"red", "circle", "blue", "square", "3"}
    assert all(isinstance(entry["as_expected"], bool) for entry in report["answers"])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the number that is inherited")
def test_verify_does_not_report_the_memory_of_whoever_started_it(run, tiny, monkeypatch):
    import resource

    inherited = resource.struct_rusage((0.0, 0.0, 10**12, *[0] * 13))
    monkeypatch.setattr(resource, "getrusage", lambda _: inherited)
    assert 0 < json.loads(run("verify", tiny, "--json").out)["peak_memory_bytes"] < 10**12


def test_verify_prints_for_people(run, native):
    out = run("verify", native).out
    for text in ("layout", "native", "parameters.total", "What color is the object?", "versions.torch"):
        assert text in out


def test_logits_that_are_not_finite(refused, native, tmp_path):
    import shutil

    from safetensors.torch import save_file

    folder = tmp_path / "broken"
    shutil.copytree(native, folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["projector.fc1.weight"][:] = float("nan")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    assert "not finite" in refused("verify", folder)
