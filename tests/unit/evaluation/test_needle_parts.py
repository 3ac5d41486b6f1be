"""What is measured is kept as it comes, and goes on only where it was measured in the same way."""

import json
from dataclasses import asdict

import pytest

from oryx.errors import ConfigError
from oryx.evaluation import needle_parts
from oryx.evaluation.needle import NeedleAnswer, NeedleCost, NeedlePart
from oryx.evaluation.needle_parts import FILE, KeptParts

COMMAND = "oryx eval needle --model a --frames 4,9"
HERE = {"device": "cpu", "needles": "12"}


def facts(sha256="ab"):
    return {"model": "a", "model_sha256": sha256, "num_parameters": 3, "dtype": "float32", "device": "cpu"}


def part(frames):
    answer = NeedleAnswer(frames, 50.0, 2, 0, 0, "What?", "red", "Red.", True, True)
    return NeedlePart(NeedleCost(frames, 30, 7.0, 40, 0.5, 0.25, 100, 200), [answer])


def test_parts_come_back_by_model(tmp_path):
    kept = KeptParts(tmp_path / "new", COMMAND, HERE)
    assert kept.of("ab") == []
    for sha256, frames in (("ab", 4), ("ab", 9), ("cd", 4)):
        kept.add(facts(sha256), part(frames))
        assert [path.name for path in (tmp_path / "new").iterdir()] == [FILE]
    again = KeptParts(tmp_path / "new", COMMAND.replace("--model a", "--model ./a"), HERE)
    assert again.of("ab") == [(facts(), part(4)), (facts(), part(9))]
    assert again.of("cd") == [(facts("cd"), part(4))]
    again.remove()
    again.remove()
    assert list((tmp_path / "new").iterdir()) == []


def test_nothing_is_written_without_a_folder():
    kept = KeptParts(None, COMMAND, HERE)
    kept.add(facts(), part(4))
    assert kept.of("ab") == [(facts(), part(4))]
    kept.remove()


@pytest.mark.parametrize(
    ("command", "conditions", "told"),
    [
        (COMMAND.replace("9", "16"), HERE, "--frames 4,9, not 4,16"),
        (COMMAND, {**HERE, "device": "cuda:0"}, "other device"),
        (COMMAND, {"device": "cuda:0", "needles": "34"}, "other device and needles"),
    ],
)
def test_what_was_measured_otherwise_is_refused_and_kept(tmp_path, command, conditions, told):
    KeptParts(tmp_path, COMMAND, HERE).add(facts(), part(4))
    with pytest.raises(ConfigError, match=rf"begun with other settings \({told}\); delete it, or choose"):
        KeptParts(tmp_path, command, conditions)
    assert len(KeptParts(tmp_path, COMMAND, HERE).of("ab")) == 1


def test_other_versions_are_other_settings(tmp_path, monkeypatch):
    KeptParts(tmp_path, COMMAND, HERE).add(facts(), part(4))
    monkeypatch.setattr(needle_parts, "installed_versions", lambda: {"oryx": "99"})
    with pytest.raises(ConfigError, match="other versions"):
        KeptParts(tmp_path, COMMAND, HERE)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"command": 3}'])
def test_a_file_that_cannot_be_read(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ConfigError, match="cannot be read; delete it, or choose another --output"):
        KeptParts(tmp_path, COMMAND, HERE)


def test_an_answer_of_another_shape_cannot_be_read(tmp_path):
    KeptParts(tmp_path, COMMAND, HERE).add(facts(), part(4))
    content = json.loads((tmp_path / FILE).read_text())
    content["parts"][0]["answers"][0]["exact"] = True
    (tmp_path / FILE).write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="cannot be read"):
        KeptParts(tmp_path, COMMAND, HERE)
    assert asdict(part(4))["answers"][0]["matches"]
