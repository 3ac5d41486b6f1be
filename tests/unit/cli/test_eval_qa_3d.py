"""`oryx eval scanqa` and `sqa3d`: what they print, write, go on with and refuse."""

import json
import shutil

import pytest
from fake_chat import FakeServer
from made_qa import SCENES, write_scanqa, write_sqa3d

from oryx.errors import ConfigError
from oryx.evaluation.scenes import captions
from oryx.evaluation.scenes import evaluate as qa_3d
from oryx.evaluation.scenes.asking import SceneAnswerer


@pytest.fixture(scope="module")
def scanqa(tmp_path_factory):
    return write_scanqa(tmp_path_factory.mktemp("scanqa"))


@pytest.fixture(autouse=True)
def no_java(monkeypatch):
    """METEOR takes half a minute to start on a busy machine; test_captions.py has it."""
    monkeypatch.setattr(captions, "has_java", lambda: False)


@pytest.fixture
def server():
    fake = FakeServer()
    yield fake
    fake.close()


@pytest.fixture
def loads_nothing(monkeypatch):
    def load(*args, **kwargs):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("oryx.loading.load", load)


def _words(name, records, tiny, *more):
    return ("eval", name, records, "--model", tiny, "--max-new-tokens", 3, *more)


def _cut(monkeypatch, number):
    """The model is interrupted at its question with this number; returns the list of those it was asked."""
    answer, asked = SceneAnswerer.answer, []

    def count(self, samples, *args):
        if len(asked) == number:
            raise KeyboardInterrupt
        asked.extend(sample.conversations[0]["value"] for sample in samples)
        return answer(self, samples, *args)

    monkeypatch.setattr(SceneAnswerer, "answer", count)
    return asked


def _files(folder):
    return sorted(path.name for path in folder.glob("[!.]*"))


def test_json_on_stdout_is_the_file_and_the_metrics_that_lack_are_added_later(
    run, tiny, scanqa, tmp_path, monkeypatch
):
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
    assert [line["id"] for line in lines] == [f"val-{number}" for number in range(4)]
    assert [line["references"] for line in lines[:2]] == [["by the desk", "next to desk"], ["2", "two"]]
    assert set(lines[0]["right"]) == {"em", "em_cleaned", "em_refined"}
    assert "| **all** | 4 |" in (out / "scanqa.md").read_text()

    def load(*args, **kwargs):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("oryx.loading.load", load)
    again = run(*words)
    assert json.loads(again.out) == printed
    assert "4 answers of an earlier run are kept." in again.err
    with monkeypatch.context() as patch:
        patch.setattr(qa_3d, "what_lacks", lambda _: {})  # Java is there now
        assert run(*words).code == 0
    assert json.loads((out / "scanqa.json").read_text())["lacks"]["scanqa"] == {}
    assert _files(out) == ["scanqa.answers.jsonl", "scanqa.json", "scanqa.md"]
    before = (out / "scanqa.json").read_bytes()
    lost = run(*words)
    assert lost.code == 2
    assert "METEOR, ROUGE-L, CIDEr, for which this machine needs Java" in lost.err
    assert (out / "scanqa.json").read_bytes() == before


def test_a_run_that_was_cut_goes_on_to_the_same_results(run, tiny, scanqa, tmp_path, monkeypatch):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run(*_words("scanqa", scanqa, tiny, "--output", whole)).code == 0
    with monkeypatch.context() as patch:
        _cut(patch, 2)
        assert run(*_words("scanqa", scanqa, tiny, "--output", cut)).code == 130
    assert _files(cut) == ["scanqa.part.jsonl"]
    asked = _cut(monkeypatch, -1)
    again = run(*_words("scanqa", scanqa, tiny, "--output", cut))
    assert again.code == 0
    assert "2 answers of an earlier run are kept." in again.err
    assert len(asked) == 2
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


def test_answers_outlive_a_scorer_that_fails(run, tiny, scanqa, tmp_path, monkeypatch):
    words = _words("scanqa", scanqa, tiny, "--output", tmp_path)

    def fail(*_):
        raise ConfigError("METEOR ended too early.")

    with monkeypatch.context() as patch:
        patch.setattr(qa_3d, "caption_scores", fail)
        failed = run(*words)
        assert (failed.code, "oryx: METEOR ended too early." in failed.err) == (2, True)
    asked = _cut(monkeypatch, -1)
    assert run(*words).code == 0
    assert asked == []


@pytest.mark.parametrize("owner", ["oryx", "somebody"])
def test_a_model_behind_an_address(run, refused, server, scanqa, tmp_path, owner):
    server.models = {"data": [{"id": "seer", "owned_by": owner}]}
    server.script = lambda number, _: 400 if number == 3 else "yes"
    out = tmp_path / "out"
    words = ("eval", "scanqa", scanqa, "--url", server.url, "--requests", 1, "--output", out)
    assert run(*words).code == 0
    printed = json.loads((out / "scanqa.json").read_text())
    assert (printed["model"], printed["endpoint"], printed["model_sha256"]) == ("seer", server.url, None)
    assert (printed["num_unparsed"], printed["matches"]["em"]["num_right"]) == (1, 0)
    answers = [json.loads(line) for line in (out / "scanqa.answers.jsonl").read_text().splitlines()]
    assert ["refuses (400" in str(one["problem"]) for one in answers] == [False, False, False, True]
    for body in server.bodies:
        *views, text = body["messages"][0]["content"]
        assert len(views) == 2
        assert all(view["image_url"]["url"].startswith("data:image/jpeg") for view in views)
        assert text["text"].endswith("Answer with a word or a short phrase.")
        kwargs = {"views": True, "compression": 4} if owner == "oryx" else None
        assert body.get("mm_processor_kwargs") == kwargs
        assert body["max_tokens"] == 32
    server.bodies.clear()
    server.script = lambda *_: "yes"
    assert run(*words).code == 0
    assert len(server.bodies) == 1  # what was refused
    assert json.loads((out / "scanqa.json").read_text())["matches"]["em"]["num_right"] == 1
    server.models = {"data": [{"id": "other"}]}
    assert f"another model (seer at {server.url})" in refused(*words)


def test_results_of_others_are_refused_and_stay(run, refused, tiny, native, scanqa, tmp_path, monkeypatch):
    out = tmp_path / "out"
    assert run(*_words("scanqa", scanqa, tiny, "--output", out)).code == 0
    before = {path: path.read_bytes() for path in out.iterdir()}
    other = ("eval", "scanqa", scanqa, "--model", tiny, "--max-new-tokens", 4, "--output", out)
    assert "results of other settings (--max-new-tokens 3, not 4)" in refused(*other)
    assert "results of another model" in refused(*_words("scanqa", scanqa, native, "--output", out))
    with monkeypatch.context() as patch:
        patch.setattr("oryx.evaluation.output.device_name", lambda _: "tpu:0")
        assert "results of other device; choose another --output" in refused(
            *_words("scanqa", scanqa, tiny, "--output", out)
        )
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    changed = tmp_path / "changed"
    shutil.copytree(scanqa.parent, changed)
    records = changed / scanqa.name
    into = ("--output", tmp_path / "third")
    assert run(*_words("scanqa", records, tiny, *into)).code == 0
    records.write_text(records.read_text().replace("brown", "black"))
    message = "results of other records_sha256; choose another --output"
    assert message in refused(*_words("scanqa", records, tiny, *into))
    (tmp_path / "third" / "scanqa.json").unlink()  # as after a kill
    message = "begun with other settings (other records_sha256)"
    assert message in refused(*_words("scanqa", records, tiny, *into))


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
