"""`oryx eval scanqa` and `sqa3d`: what they print, write, go on with and refuse."""

import json
import shutil

import pytest
from made_qa import SCENES, write_scanqa, write_sqa3d

from oryx.evaluation import captions


@pytest.fixture(scope="module")
def scanqa(tmp_path_factory):
    return write_scanqa(tmp_path_factory.mktemp("scanqa"))


@pytest.fixture(autouse=True)
def no_java(monkeypatch):
    """METEOR takes half a minute to start on a busy machine; test_captions.py has it."""
    monkeypatch.setattr(captions, "has_java", lambda: False)


@pytest.fixture
def loads_nothing(monkeypatch):
    def load(*args, **kwargs):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("oryx.loading.load", load)


def _words(name, records, tiny, *more):
    return ("eval", name, records, "--model", tiny, "--max-new-tokens", 3, *more)


def test_json_on_stdout_is_the_file_and_the_same_again_asks_nothing(run, tiny, scanqa, tmp_path, monkeypatch):
    out = tmp_path / "out"
    words = _words("scanqa", scanqa, tiny, "--output", out, "--json")
    first = run(*words)
    assert first.code == 0, first.err
    assert "caption metrics need Java" in first.err
    printed = json.loads(first.out)
    assert printed == json.loads((out / "scanqa.json").read_text())
    assert (printed["task"], printed["num_questions"], printed["num_scenes"]) == ("scanqa", 4, 2)
    assert printed["captions"]["scanqa"]["meteor"] is None
    assert printed["captions"]["leo"]["bleu_1"]["value"] >= 0
    assert printed["command"].startswith(f"oryx eval scanqa {scanqa} --model {tiny}")
    lines = [json.loads(line) for line in (out / "scanqa.answers.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines[1:]] == [f"val-{number}" for number in range(4)]
    assert lines[0]["model"]["model_sha256"] == printed["model_sha256"]
    assert "| **all** | 4 |" in (out / "scanqa.md").read_text()

    def load(*args, **kwargs):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("oryx.loading.load", load)
    again = run(*words)
    assert json.loads(again.out) == printed
    assert "4 of 4 questions were answered before." in again.err


def test_a_run_that_was_cut_goes_on_to_the_same_results(run, tiny, scanqa, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run(*_words("scanqa", scanqa, tiny, "--output", whole)).code == 0
    cut.mkdir()
    kept = (whole / "scanqa.answers.jsonl").read_bytes().splitlines(keepends=True)
    (cut / "scanqa.answers.jsonl").write_bytes(b"".join(kept[:3]) + kept[3][:9])
    again = run(*_words("scanqa", scanqa, tiny, "--output", cut))
    assert again.code == 0
    assert "2 of 4 questions were answered before." in again.err
    for name in ("scanqa.json", "scanqa.md", "scanqa.answers.jsonl"):
        assert (cut / name).read_bytes() == (whole / name).read_bytes()


def test_sqa3d(run, tiny, tmp_path):
    result = run(*_words("sqa3d", write_sqa3d(tmp_path), tiny))
    assert result.code == 0, result.err
    assert "| questions | n | EM | EM, cleaned | EM-R | loose |" in result.out
    assert [line.split(" | ")[0] for line in result.out.splitlines()[2:6]] == [
        "| **all**",
        "| what",
        "| can",
        "| which",
    ]
    assert "| METEOR | needs Java" in result.out


def test_missing_views_are_told_before_anything_runs_and_may_be_left_out(
    run, refused, tiny, scanqa, tmp_path, monkeypatch
):
    shutil.copytree(scanqa.parent, tmp_path / "copy")
    records = tmp_path / "copy" / scanqa.name
    gone = tmp_path / "copy" / SCENES[1] / "views" / "001.jpg"
    gone.unlink()
    message = refused(*_words("scanqa", records, tiny))
    assert f"1 views are missing, which 2 of 4 questions need: {gone}; --skip-missing leaves" in message
    result = run(*_words("scanqa", records, tiny, "--skip-missing", "--json"))
    printed = json.loads(result.out)
    assert (printed["num_questions"], printed["num_left_out"]) == (2, 2)
    shutil.rmtree(tmp_path / "copy" / SCENES[0])
    assert "the views of all 4 questions" in refused(*_words("scanqa", records, tiny, "--skip-missing"))


def test_results_of_others_are_refused_and_stay(run, refused, tiny, native, scanqa, tmp_path):
    out = tmp_path / "out"
    assert run(*_words("scanqa", scanqa, tiny, "--output", out)).code == 0
    before = {path: path.read_bytes() for path in out.iterdir()}
    other = ("eval", "scanqa", scanqa, "--model", tiny, "--max-new-tokens", 4, "--output", out)
    assert "results of other settings (--max-new-tokens 3, not 4)" in refused(*other)
    assert "results of another model" in refused(*_words("scanqa", scanqa, native, "--output", out))
    (out / "scanqa.json").unlink()  # as after a kill
    assert "other model_sha256" in refused(*_words("scanqa", scanqa, native, "--output", out))
    changed = tmp_path / "changed"
    shutil.copytree(scanqa.parent, changed)
    records = changed / scanqa.name
    into = ("--output", tmp_path / "third")
    assert run(*_words("scanqa", records, tiny, *into)).code == 0
    records.write_text(records.read_text().replace("brown", "black"))
    assert "other records_sha256" in refused(*_words("scanqa", records, tiny, *into))
    assert {path: path.read_bytes() for path in out.iterdir()} == {
        path: data for path, data in before.items() if path.name != "scanqa.json"
    }


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("sqa3d", (), "is of scanqa, not of sqa3d"),
        ("scanqa", ("--model", "/no/such"), "/no/such"),
        ("scanqa", ("--quantize", "int3"), "int8"),
    ],
)
def test_refusals(refused, loads_nothing, tiny, scanqa, name, more, message):
    assert message in refused("eval", name, scanqa, *more)
