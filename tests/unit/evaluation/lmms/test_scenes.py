"""The 3D tasks of lmms-eval: the file that says where records are, what is asked, how answers count."""

import functools

import pytest
import yaml
from made_qa import write_scanqa, write_sqa3d

from oryx.evaluation.lmms.__main__ import main
from oryx.evaluation.lmms.tasks.scenes import utils
from oryx.evaluation.scenes import captions
from oryx.evaluation.scenes.captions import CAPTION_METRICS
from oryx.evaluation.scenes.evaluate import rules_of


class _Loader(yaml.SafeLoader):
    """Keeps the names of functions."""


_Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


@pytest.mark.parametrize(("benchmark", "write"), [("scanqa", write_scanqa), ("sqa3d", write_sqa3d)])
def test_the_file_says_where_the_records_are(benchmark, write, tmp_path, capsys):
    records = write(tmp_path)
    assert main([benchmark, str(records)]) == 0
    folder = tmp_path / "lmms_eval"
    assert capsys.readouterr().out == f"{folder}\n"
    settings = yaml.safe_load((folder / f"{benchmark}.yaml").read_text())
    assert settings["task"] == f"oryx_{benchmark}"
    assert settings["dataset_kwargs"]["data_files"]["test"] == str(records)
    assert settings["lmms_eval_specific_kwargs"]["default"]["root"] == str(tmp_path)
    with open(settings["include"]) as file:
        template = yaml.load(file, _Loader)
    metrics = [entry["metric"] for entry in template["metric_list"]]
    assert metrics == [*rules_of(benchmark), *CAPTION_METRICS, "unparsed"]
    assert all(hasattr(utils, metric) for metric in CAPTION_METRICS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scanqa"], "usage: python -m"),
        (["other", "RECORDS"], "usage: python -m"),
        (["sqa3d", "RECORDS"], "is of scanqa, not of sqa3d"),
        (["scanqa", "/no/such"], "cannot be read"),
    ],
)
def test_refusals(arguments, message, tmp_path, capsys):
    records = write_scanqa(tmp_path)
    assert main([word.replace("RECORDS", str(records)) for word in arguments]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert message in told.err
    assert not (tmp_path / "lmms_eval").exists()


DOC = {
    "id": "val-0",
    "scene": "one",
    "visuals": [{"type": "views", "views": ["a/0.jpg", "a/1.jpg"], "compression": 8}],
    "conversations": [{"from": "human", "value": "<image>\nNote.\nWhere?"}, {"from": "gpt", "value": None}],
    "question": "Where is it?",
    "answers": ["by the desk", "desk"],
}


def test_messages_show_the_views_at_the_ratio_of_the_record():
    (message,) = utils.doc_to_messages(DOC, {"root": "/records"})
    assert message["content"] == [
        {"type": "views", "views": ["/records/a/0.jpg", "/records/a/1.jpg"], "compression": 8},
        {"type": "text", "text": "Note.\nWhere?"},
    ]
    assert utils.doc_to_target(DOC) == "by the desk"


def test_answers_count_by_each_rule():
    results = utils.scanqa_results(DOC, [" the desk "])
    assert {rule: results[rule] for rule in rules_of("scanqa")} == {
        "em": 0.0,
        "em_cleaned": 1.0,
        "em_refined": 1.0,
    }
    assert results["unparsed"] == 0
    assert utils.sqa3d_results(DOC, ["near desk"])["loose"] == 1
    empty = utils.sqa3d_results(DOC, ["?!"])
    assert (empty["unparsed"], empty["em_refined"], empty["loose"]) == (1, 0, 0)


def test_scores_are_made_once_for_all_metrics(monkeypatch, caplog):
    calls = []
    made = {
        "scanqa": dict.fromkeys(CAPTION_METRICS, captions.Score(0.5, (0.4, 0.6))),
        "leo": dict.fromkeys(CAPTION_METRICS, captions.Score(0.25, (0.2, 0.3))),
        "llava3d": dict.fromkeys(CAPTION_METRICS),
    }
    monkeypatch.setattr(utils, "caption_scores", lambda *words: calls.append(words) or made)
    monkeypatch.setattr(utils, "_scores", functools.lru_cache(utils._scores.__wrapped__))
    values = [utils.scanqa_results(DOC, ["desk"])["cider"]]
    assert [getattr(utils, metric)(values) for metric in CAPTION_METRICS] == [0.5] * 7
    assert calls == [(("desk",), (("by the desk", "desk"),), ("one",))]
    assert "3D, EM of 'place': 1.0000 of 1" in caplog.text
    assert "3D, cider as leo has it: 0.2500" in caplog.text
    assert "llava3d" not in caplog.text


def test_without_java_a_metric_says_so(monkeypatch):
    monkeypatch.setattr(captions, "has_java", lambda: False)
    values = [utils.scanqa_results(DOC, ["by the desk"])["cider"]]
    assert utils.meteor(values).startswith("needs Java")
