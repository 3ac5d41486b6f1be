"""`oryx eval needle`: what it prints, what it writes, what it refuses before a model is loaded."""

import json
import sys

import haystack_stand_in
import pytest

SMALL = (
    "--frames",
    "3,5",
    "--depths",
    "0,100",
    "--trials",
    "2",
    "--max-pixels",
    "4096",
    "--max-new-tokens",
    "2",
)


@pytest.fixture(autouse=True)
def _drawn(monkeypatch):
    monkeypatch.setitem(sys.modules, "oryx.data.synthetic.haystack", haystack_stand_in)


def test_the_table_and_the_files(run, tiny, tmp_path):
    out = tmp_path / "out"
    result = run("eval", "needle", "--model", tiny, *SMALL, "--output", out)
    assert result.code == 0, result
    assert "| depth | 3 frames | 5 frames |" in result.out
    assert "| 100% |" in result.out
    assert "Wrote" in result.err
    assert sorted(path.name for path in out.iterdir()) == ["needle.json", "needle.md", "needle.png"]
    content = json.loads((out / "needle.json").read_text())
    assert len(content["models"][0]["answers"]) == 8
    assert f"--model {tiny}" in content["command"]
    assert "--frames 3,5 --depths 0,100 --trials 2" in content["command"]


def test_two_models_side_by_side_as_json(run, tiny, native):
    result = run("eval", "needle", "--model", tiny, "--compare", native, *SMALL, "--json")
    content = json.loads(result.out)
    first, second = content["models"]
    assert (first["model"], second["model"]) == (str(tiny), str(native))
    # The same weights in two layouts: the same needles, and so the same answers.
    assert [answer["answer"] for answer in first["answers"]] == [
        answer["answer"] for answer in second["answers"]
    ]


@pytest.fixture
def loads_nothing(monkeypatch):
    def load(*args, **kwargs):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("oryx.loading.load", load)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--frames", "1"), "at least 2"),
        (("--depths", "x"), "depths are"),
        (("--score", "fuzzy"), "allowed: exact, contains"),
        (("--prompt", "What?"), "must hold {question}"),
        (("--haystack", "/no/film"), "does not exist"),
        (("--needles", "/no/file"), "cannot be read"),
        (("--model", "/no/model"), "/no/model"),
        (("--compare", "/no/model"), "/no/model"),
    ],
)
@pytest.mark.usefixtures("loads_nothing")
def test_refusals_come_before_the_model(refused, options, sentence):
    assert sentence in refused("eval", "needle", *options)


@pytest.mark.usefixtures("loads_nothing")
def test_results_of_other_models_are_refused_before_the_run(refused, native, tmp_path):
    (tmp_path / "needle.json").write_text(json.dumps({"models": [{"model_sha256": "00"}]}))
    said = refused("eval", "needle", "--model", native, "--output", tmp_path)
    assert "results of another model" in said


def test_a_ratio_that_is_none(refused, tiny):
    assert "1, 2, 4, 8, 16" in refused("eval", "needle", "--model", tiny, *SMALL, "--compression", "3")
