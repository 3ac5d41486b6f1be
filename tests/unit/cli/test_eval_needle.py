"""`oryx eval needle`: what it prints, what it writes, what it refuses before a model is loaded."""

import json
import shutil
import sys
import weakref

import haystack_stand_in
import pytest
from PIL import Image

from oryx import loading

FILES = ("needle.json", "needle.md", "needle.png")
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
    assert sorted(path.name for path in out.iterdir()) == [*FILES]
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


def small_model(native, folder, positions):
    """A copy of a model that reads fewer positions."""
    shutil.copytree(native, folder)
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["max_position_embeddings"] = positions
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_every_model_has_room_before_the_first_is_loaded(refused, native, tmp_path, loads_nothing):
    small = small_model(native, tmp_path / "small", 100)
    said = refused("eval", "needle", "--model", native, "--compare", small, "--frames", "60")
    assert f"{small}: the prompt has" in said
    assert "at most 100: ask for fewer frames than 60, raise compression" in said


def test_the_difference_of_two_models_is_told(run, tiny, native, tmp_path):
    result = run("eval", "needle", "--model", tiny, "--compare", native, *SMALL, "--output", tmp_path)
    assert f"{tiny} over {native}" in result.out
    assert "| 5 | +0.0 (-50.0 to +50.0) |" in result.out
    gains = json.loads((tmp_path / "needle.json").read_text())["gains"]
    assert [gain["frames"] for gain in gains] == [3, 5]


def test_a_run_that_was_cut_goes_on(run, tiny, native, tmp_path, monkeypatch):
    """The second model breaks off in its second length: three of four are there, and not done again."""
    from oryx.evaluation.needle import evaluate as needle

    measure, lengths, loaded = needle._evaluate_length, [], []
    load = loading.load

    def cut(model, processor, haystack, needles, test, length, tell):
        if len(lengths) == 3:
            raise KeyboardInterrupt
        lengths.append(length)
        return measure(model, processor, haystack, needles, test, length, tell)

    def remember(name, **how):
        loaded.append(name)
        return load(name, **how)

    monkeypatch.setattr(needle, "_evaluate_length", cut)
    monkeypatch.setattr(loading, "load", remember)
    words = ("eval", "needle", "--model", tiny, "--compare", native, *SMALL, "--output", tmp_path / "out")
    first = run(*words)
    assert first.code == 130
    assert "| depth | 3 frames | 5 frames |" in first.out  # of the model that is done
    assert [path.name for path in (tmp_path / "out").glob("[!.]*")] == ["needle.part.jsonl"]
    other = run(*words, "--seed", 1)
    assert other.code == 2
    assert "begun with other settings (--seed 0, not 1)" in other.err

    lengths.clear()
    loaded.clear()
    second = run(*words)
    assert second.code == 0, second.err
    assert (lengths, loaded) == ([5], [native])
    assert "videos of 3 and 5 frames were measured before" in second.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [*FILES]
    there = json.loads((tmp_path / "out" / "needle.json").read_text())
    monkeypatch.setattr(needle, "_evaluate_length", measure)
    whole = json.loads(run(*words[:-2], "--json").out)
    for one, other in zip(there["models"], whole["models"], strict=True):
        assert (one["model"], one["answers"], one["cells"]) == (
            other["model"],
            other["answers"],
            other["cells"],
        )


def test_a_full_disk_takes_nothing_of_the_work(run, tiny, tmp_path, monkeypatch):
    from oryx.evaluation.journal import Journal

    def full(self):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, "_open", full)
    result = run("eval", "needle", "--model", tiny, *SMALL, "--output", tmp_path / "out")
    assert result.code == 0, result
    assert result.err.count("No space left") == 1
    assert (tmp_path / "out" / "needle.json").exists()


def test_the_first_model_is_gone_when_the_second_is_loaded(run, tiny, native, monkeypatch):
    load, models = loading.load, []

    def watch(name, **how):
        assert [model() for model in models] == [None] * len(models)
        model, processor = load(name, **how)
        models.append(weakref.ref(model))
        return model, processor

    monkeypatch.setattr(loading, "load", watch)
    assert run("eval", "needle", "--model", tiny, "--compare", native, *SMALL).code == 0
    assert len(models) == 2


@pytest.fixture
def loads_nothing(monkeypatch):
    def load(*args, **kwargs):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("oryx.loading.load", load)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--frames", "1,600"), "frames hold 1; each is a length of at least 2"),
        (
            ("--frames", "5,100", "--depths", "9"),
            "9 depths are too many for 5 frames: two would be",
        ),
        (("--depths", "x"), "depths are"),
        (("--depths", "50%%"), "depths are"),
        (("--quantize", "int3"), "int3"),
        (("--score", "fuzzy"), "allowed: exact, contains"),
        (("--prompt", "What?"), "must hold {question}"),
        (
            ("--prompt", "{question} in {frame}"),
            "the prompt holds {frame}; allowed: {question}",
        ),
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
    there = {"models": [{"model_sha256": "00"}], "command": ""}
    (tmp_path / "needle.json").write_text(json.dumps(there))
    said = refused("eval", "needle", "--model", native, *SMALL, "--output", tmp_path)
    assert "results of another model" in said


@pytest.mark.parametrize("changed", ["device", "haystack_sha256", "needles_sha256"])
def test_results_of_other_data_are_refused_and_stay(run, refused, picture, tiny, tmp_path, changed):
    picture("a.png")
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in range(8):
        Image.new("RGB", (32, 32), (10 * number, 0, 0)).save(frames / f"{number}.png")
    needles = tmp_path / "needles.jsonl"
    line = {"image": "a.png", "question": "What is it?", "answer": "a dog"}
    needles.write_text(json.dumps(line) + "\n")
    words = ("eval", "needle", "--model", tiny, *SMALL, "--needles", needles, "--output", tmp_path / "out")
    words += ("--haystack", frames)
    path = tmp_path / "out" / "needle.json"
    assert run(*words).code == 0
    if changed == "device":
        content = json.loads(path.read_text())
        content["models"][0]["device"] = "tpu:0"
        path.write_text(json.dumps(content))
    elif changed == "haystack_sha256":
        Image.new("RGB", (32, 32), (0, 0, 200)).save(frames / "3.png")
    else:
        needles.write_text(json.dumps({**line, "answer": "a cat"}) + "\n")
    before = path.read_bytes()
    assert f"results of other {changed}; choose another --output" in refused(*words)
    assert path.read_bytes() == before


def test_a_ratio_that_is_none(refused, tiny):
    assert "1, 2, 4, 8, 16" in refused("eval", "needle", "--model", tiny, *SMALL, "--compression", "3")
