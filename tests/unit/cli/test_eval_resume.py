"""`oryx eval` goes on where it was cut, to the same table; and asks a model behind an address."""

import json
import os
import signal
import subprocess
import sys

import haystack_stand_in
import pytest
from fake_chat import FakeServer
from made_rooms import random_room, write_rooms

from oryx.cli.eval_subject import telling_of_stops
from oryx.errors import OryxError
from oryx.evaluation.answers import ModelAnswerer
from oryx.evaluation.journal import Journal


@pytest.fixture
def server():
    fake = FakeServer()
    fake.models = {"data": [{"id": "nano", "owned_by": "oryx"}]}
    fake.script = lambda *_: "red"
    yield fake
    fake.close()


@pytest.fixture(scope="module")
def rooms(tmp_path_factory):
    return write_rooms(tmp_path_factory.mktemp("rooms"), [random_room(number) for number in range(2)])


def table(folder, task):
    """Results and answers, without what the clock says."""
    content = json.loads((folder / f"{task}.json").read_text())
    for one in content.get("results", [content]):
        one.pop("seconds", None)
    for model in content.get("models", []):
        for cost in model["costs"]:
            cost.pop("answer_seconds")
    answers = folder / f"{task}.answers.jsonl"
    return content, answers.read_text() if answers.exists() else None


def cut_after(monkeypatch, number):
    """The answerer is interrupted at its call with this number; returns the list of the sizes of batches."""
    answer, sizes = ModelAnswerer.answer, []

    def count(self, samples, *args):
        if len(sizes) == number:
            raise KeyboardInterrupt
        sizes.append(len(samples))
        return answer(self, samples, *args)

    monkeypatch.setattr(ModelAnswerer, "answer", count)
    return sizes


def skills_words(tiny):
    small = ("--max-pixels", 1024, "--detail", "low", "--compression", 4, "--batch-size", 2)
    return ("eval", "skills", "--model", tiny, "--samples", 3, "--test", "color", "--test", "shape", *small)


def rooms_words(tiny, rooms):
    small = ("--size", "16x16", "--mark-size", 9, "--questions-per-room", 2, "--compression", 16)
    return (
        "eval",
        "rooms",
        "--folder",
        rooms,
        "--model",
        tiny,
        "--rooms",
        1,
        "--views",
        2,
        *small,
        "--batch-size",
        2,
    )


@pytest.mark.parametrize("task", ["skills", "rooms"])
def test_a_run_that_was_cut_goes_on(run, tiny, rooms, tmp_path, monkeypatch, task):
    words = skills_words(tiny) if task == "skills" else rooms_words(tiny, rooms)
    assert run(*words, "--output", tmp_path / "whole").code == 0
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        sizes = cut_after(patch, 2)
        cut = run(*words, "--output", out)
        assert cut.code == 130
        told = f"stopped; what is done by now is in {out / task}.part.jsonl, and the same command goes on."
        assert cut.err.splitlines().count(f"oryx: {told}") == 1
        asked = sum(sizes)
    assert [path.name for path in out.glob("[!.]*")] == [f"{task}.part.jsonl"]
    other = run(*words, "--seed", 10_000_001, "--output", out)
    assert (other.code, "begun with other settings" in other.err) == (2, True)
    sizes = cut_after(monkeypatch, -1)
    again = run(*words, "--output", out)
    assert again.code == 0
    assert f"{asked} answers of an earlier run are kept" in again.err
    assert table(out, task) == table(tmp_path / "whole", task)
    assert sum(sizes) + asked == len(table(out, task)[1].splitlines())
    assert sorted(path.name for path in out.iterdir()) == [
        f"{task}.answers.jsonl",
        f"{task}.json",
        f"{task}.md",
        f"{task}.png",
    ]


def test_a_run_that_keeps_nothing_says_so(run, tiny, tmp_path, monkeypatch):
    cut_after(monkeypatch, 1)
    cut = run(*skills_words(tiny))
    assert (cut.code, "with --output, answers are kept and the same command goes on" in cut.err) == (
        130,
        True,
    )
    cut_after(monkeypatch, 0)
    cut = run(*skills_words(tiny), "--output", tmp_path / "out")
    assert (cut.code, "stopped before there was anything to keep" in cut.err) == (130, True)


def test_rooms_that_changed_are_refused(run, tiny, rooms, tmp_path, monkeypatch):
    words = (*rooms_words(tiny, rooms), "--output", tmp_path)
    with monkeypatch.context() as patch:
        cut_after(patch, 1)
        assert run(*words).code == 130
    part = tmp_path / "rooms.part.jsonl"
    lines = part.read_text().splitlines()
    lines[-1] = json.dumps({**json.loads(lines[-1]), "question": "Where is the yacht?"})
    part.write_text("\n".join(lines) + "\n")
    result = run(*words)
    assert (result.code, "begun with other questions" in result.err) == (2, True)


def test_a_run_that_is_killed_goes_on(run, server, tmp_path):
    """SIGKILL amid the questions, some of them on their way."""
    words = ("eval", "skills", "--url", server.url, "--samples", 6, "--test", "color", "--test", "shape")
    assert run(*words, "--output", tmp_path / "whole").code == 0
    server.bodies.clear()
    process = None

    def script(number, _):
        if number == 8:
            os.kill(process.pid, signal.SIGKILL)
        return "red"

    server.script = script
    command = [sys.executable, "-m", "oryx", *map(str, words), "--output", str(tmp_path / "out")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    assert process.wait(timeout=60) == -signal.SIGKILL
    server.bodies.clear()
    server.script = lambda *_: "red"
    assert run(*words, "--output", tmp_path / "out").code == 0
    assert 0 < len(server.bodies) < 12
    assert table(tmp_path / "out", "skills") == table(tmp_path / "whole", "skills")


def test_needles_behind_an_address(run, server, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "oryx.data.synthetic.haystack", haystack_stand_in)
    words = ("eval", "needle", "--url", server.url, "--frames", "3,5", "--depths", "0,100", "--trials", 2)
    assert run(*words, "--output", tmp_path / "whole").code == 0
    content = table(tmp_path / "whole", "needle")[0]
    (model,) = content["models"]
    assert (model["model"], model["model_sha256"], model["endpoint"]) == ("nano", None, server.url)
    assert {len(body["messages"][0]["content"]) for body in server.bodies} == {2}
    kwargs = [body["mm_processor_kwargs"] for body in server.bodies]
    assert sorted(one["max_frames"] for one in kwargs) == [3] * 4 + [5] * 4
    assert all(one["compression"] == 16 for one in kwargs)
    assert "| 3 | - | - | - | - |" in (tmp_path / "whole" / "needle.md").read_text()
    server.bodies.clear()
    server.script = lambda number, _: 401 if number > 3 else "red"
    cut = run(*words, "--requests", 1, "--output", tmp_path / "out")
    assert (cut.code, "check address, key and model" in cut.err) == (2, True)
    assert [path.name for path in (tmp_path / "out").glob("[!.]*")] == ["needle.part.jsonl"]
    server.bodies.clear()
    server.script = lambda *_: "red"
    assert run(*words, "--output", tmp_path / "out").code == 0
    assert len(server.bodies) == 4
    assert table(tmp_path / "out", "needle") == table(tmp_path / "whole", "needle")


def test_work_that_ends_early_lets_the_next_run_in_at_once(tmp_path):
    """Whatever still holds the journal: an error's traceback does, until it is collected."""
    facts = {"model": "nano", "model_sha256": "ab", "dtype": "float32", "endpoint": None}
    journals = [Journal(tmp_path, "skills", "oryx eval skills", {}) for _ in range(2)]
    journals[0].of(facts)
    with pytest.raises(OryxError, match="gone"), telling_of_stops(journals[0]):
        raise OryxError("the server is gone.")
    journals[1].of(facts)
    journals[1].close()


def test_blank_and_refused_answers_are_counted_and_wrong(run, server, tmp_path):
    said = ["...", "", 400, "red", "red", "red"]
    server.script = lambda number, _: said[number]
    words = ("eval", "skills", "--url", server.url, "--samples", 6, "--test", "color", "--requests", 1)
    assert run(*words, "--output", tmp_path).code == 0
    (result,) = table(tmp_path, "skills")[0]["results"]
    assert (result["num_unparsed"], result["num_samples"]) == (3, 6)
    answers = [json.loads(line) for line in (tmp_path / "skills.answers.jsonl").read_text().splitlines()]
    assert [one["score"] for one in answers[:3]] == [0, 0, 0]
    assert "refuses (400" in answers[2]["problem"]
    assert "3 of the answers say nothing and count as wrong" in (tmp_path / "skills.md").read_text()


def test_results_of_another_endpoint_are_kept(run, server, tmp_path):
    words = ("eval", "skills", "--url", server.url, "--samples", 1, "--test", "color", "--output", tmp_path)
    assert run(*words).code == 0
    before = (tmp_path / "skills.json").read_bytes()
    server.models = {"data": [{"id": "other", "owned_by": "oryx"}]}
    result = run(*words)
    assert (result.code, f"another model (nano at {server.url})" in result.err) == (2, True)
    assert (tmp_path / "skills.json").read_bytes() == before


def test_the_key_is_sent_and_written_nowhere(run, server, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_KEY", "sesame")
    words = ("eval", "skills", "--url", server.url, "--samples", 1, "--test", "color", "--output", tmp_path)
    assert run(*words, "--api-key-env", "MY_KEY").code == 0
    assert {headers.get("Authorization") for headers in server.headers} == {"Bearer sesame"}
    assert all(b"sesame" not in path.read_bytes() for path in tmp_path.iterdir())
    assert "--api-key-env MY_KEY" in table(tmp_path, "skills")[0]["command"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--dtype", "float32"), "--dtype: for weights on this machine"),
        (("--model", "/some/where"), "--model: for weights on this machine"),
        (("--api-key-env", "NO_SUCH_KEY"), "variable NO_SUCH_KEY of --api-key-env is not set"),
        (("--card", "card.md"), "--card is of weights on this machine"),
    ],
)
def test_refusals_with_url(refused, server, words, sentence, monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    assert sentence in refused("eval", "skills", "--url", server.url, "--test", "color", *words)
    assert server.bodies == []


def test_dials_are_for_oryx_alone(refused, server):
    server.models = {"data": [{"id": "gpt"}]}
    said = refused("eval", "skills", "--url", server.url, "--test", "color", "--compression", 4)
    assert "only that has a dial for --compression" in said


@pytest.mark.parametrize("task", ["needle", "rooms"])
def test_the_ratio_is_that_of_an_endpoint_that_has_no_dial(
    run, refused, server, rooms, tmp_path, monkeypatch, task
):
    monkeypatch.setitem(sys.modules, "oryx.data.synthetic.haystack", haystack_stand_in)
    server.models = {"data": [{"id": "gpt"}]}
    answer = {"choices": [{"message": {"content": "red"}, "finish_reason": "stop"}]}
    server.script = lambda *_: {**answer, "usage": {"prompt_tokens_details": {"visual_tokens": 32}}}
    words = ("eval", task, "--url", server.url, "--output", tmp_path)
    if task == "needle":
        words += ("--frames", "3", "--depths", "0,100", "--trials", 1)
    else:
        words += ("--folder", rooms, "--rooms", 1, "--views", 2, "--questions-per-room", 1)
    assert "only that has a dial for --compression" in refused(*words, "--compression", 8)
    assert server.bodies == []
    assert run(*words).code == 0
    content = json.loads((tmp_path / f"{task}.json").read_text())
    assert content["compression"] is None
    assert "--compression" not in content["command"]
    page = (tmp_path / f"{task}.md").read_text()
    assert "the endpoint's own compression" in page
    assert "Nonex" not in page


@pytest.mark.parametrize(("task", "ratio"), [("needle", 16), ("rooms", 4)])
def test_the_ratio_of_oryx_serve_is_told(run, server, rooms, tmp_path, monkeypatch, task, ratio):
    monkeypatch.setitem(sys.modules, "oryx.data.synthetic.haystack", haystack_stand_in)
    words = ("eval", task, "--url", server.url, "--output", tmp_path)
    if task == "needle":
        words += ("--frames", "3", "--depths", "0,100", "--trials", 1)
    else:
        words += ("--folder", rooms, "--rooms", 1, "--views", 2, "--questions-per-room", 1)
    assert run(*words).code == 0
    content = json.loads((tmp_path / f"{task}.json").read_text())
    assert content["compression"] == ratio
    assert f"--compression {ratio}" in content["command"]
    assert {body["mm_processor_kwargs"]["compression"] for body in server.bodies} == {ratio}


def test_options_of_url_need_it(refused):
    assert "--url-model goes with --url" in refused("eval", "skills", "--url-model", "x")
    assert "--api-key-env goes with --url" in refused("eval", "needle", "--api-key-env", "x")


def test_nobody_at_the_address(refused):
    assert "is this the address of an endpoint" in refused("eval", "needle", "--url", "http://127.0.0.1:9/v1")
