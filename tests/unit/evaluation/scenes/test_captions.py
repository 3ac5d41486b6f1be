"""Caption metrics against the scripts that benchmarks publish, and against a count by hand.

`golden/captions.json` holds what scripts published on GitHub say of the 200 answers of `made_answers`:

    scanqa   evals_json and eval_pycoco of scripts/score.py, ATR-DBI/ScanQA 0a9f162
    llava3d  clean_answer, answer_match and calc_scanqa_score of llava/eval/scanqa_evaluator.py,
             ZCMax/LLaVA-3D 91d979d
    leo      evaluator/scanqa_eval.py, with ngram_metrics, of embodied-generalist/embodied-generalist 567f2d8
    sqa3d    clean_answer and compute_accuracy of LLM/eval_sqa3d_llm.py, SilongYong/SQA3D a98da8f;
             kinds by get_sqa_question_type of LEO's data/data_utils.py

They were run as they are, with pycocoevalcap 1.2 and Java 17, on the answers as lists in the scripts' own
formats. Three things were replaced: NLTK's lemmatizer (the F-value is not compared), the modules that
load data or name folders, and in LEO's answers a space for the line break, which its METEOR cannot take.
"""

import json
import math
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from made_answers import made_answers

from oryx.errors import ConfigError
from oryx.evaluation.scenes import captions, evaluate, java
from oryx.evaluation.scenes.captions import CAPTION_METRICS, open_meteor, score_captions, what_lacks
from oryx.evaluation.scenes.evaluate import PROTOCOLS

pytest.importorskip("pycocoevalcap")

GOLDEN = json.loads((Path(__file__).parents[3] / "golden" / "captions.json").read_text())
MADE = made_answers()

needs_java = pytest.mark.skipif(not java.has_java(), reason="needs Java")


def _scores(answers, references, clusters, tokens="spaces"):
    return score_captions(answers, references, clusters, tokens, None)


@pytest.fixture(scope="module")
def meteor():
    """It takes many seconds to start."""
    with open_meteor() as meteor:
        yield meteor


@pytest.fixture(scope="module")
def scores(meteor):
    """By protocol, of the made answers."""
    answers, references = [made.answer for made in MADE], [made.references for made in MADE]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "open_meteor", lambda: nullcontext(meteor))
        return evaluate.caption_scores(answers, references, [made.scene for made in MADE])


@pytest.mark.parametrize("metric", CAPTION_METRICS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_scores_are_those_of_the_published_script(scores, protocol, metric):
    score = scores[protocol][metric]
    if metric in what_lacks(PROTOCOLS[protocol][1]):
        assert score is None
        pytest.skip("needs Java")
    assert score.value == pytest.approx(GOLDEN[protocol]["scores"][metric], abs=1e-9)
    low, high = score.interval
    assert low < score.value < high


def test_counted_by_hand():
    # BLEU-1: 2 of 3 words, and not too short: of two references as near in length the shorter one counts.
    # ROUGE-L: the best precision and the best recall, be they of different references; beta is 1.2.
    scores = _scores(["dark brown", "chair"], [["dark brown chair", "dark"], ["table"]], [0, 1])
    assert scores["bleu_1"].value == pytest.approx(2 / 3)
    assert scores["rouge_l"].value == pytest.approx((1 + 0) / 2)
    # CIDEr: every word is in one of two answers' references, so all weigh log 2. Against "dark brown chair"
    # the cosine of single words is 2 / sqrt(2 * 3), of pairs 1 / sqrt(2); lengths differ by one pair. Against
    # "dark" it is 1 / sqrt(2) for single words.
    first = (2 / math.sqrt(6) + 1 / math.sqrt(2)) * math.exp(-1 / 72)
    second = 1 / math.sqrt(2) * math.exp(-1 / 72)
    assert scores["cider"].value == pytest.approx(10 * (first + second) / 4 / 2 / 2)


def test_an_interval_is_of_the_scorer_on_drawn_clusters():
    made = MADE[60:90]
    names = sorted({one.scene for one in made})
    answers, references = [one.answer for one in made], [list(one.references) for one in made]
    scenes = [one.scene for one in made]
    score = _scores(answers, references, scenes)["bleu_2"]
    rng, values = np.random.default_rng(1), []
    for _ in range(200):
        drawn = [index for name in rng.choice(names, len(names)) for index in _of(scenes, name)]
        sample = [answers[index] for index in drawn], [references[index] for index in drawn]
        values.append(captions._bleu(*sample, ["one"] * len(drawn))["bleu_2"].value)
    assert score.interval == pytest.approx(tuple(np.quantile(values, (0.025, 0.975))), abs=0.06)


def _of(scenes, name):
    return [index for index, scene in enumerate(scenes) if scene == name]


def test_empty_answers_and_references_are_scored():
    scores = _scores(["", "a"], [["", ""], [""]], [0, 1])
    assert scores["cider"].value == 0
    assert scores["bleu_4"].value == pytest.approx(0, abs=1e-8)


def test_without_java_metrics_are_none_and_never_zero(monkeypatch):
    monkeypatch.setattr(captions, "has_java", lambda: False)
    told = what_lacks("ptb")
    assert set(told) == set(CAPTION_METRICS)
    assert told["meteor"].startswith("Java (such as ")
    assert list(what_lacks("spaces")) == ["meteor"]
    with open_meteor() as meteor:
        assert meteor is None
    assert _scores(["a"], [["a"]], [0], "ptb") == dict.fromkeys(CAPTION_METRICS)
    scores = _scores(["a"], [["a"]], [0])
    assert scores["meteor"] is None
    assert scores["bleu_1"].value == pytest.approx(1)


def test_without_the_extra_all_need_it(monkeypatch):
    monkeypatch.setattr(captions, "find_spec", lambda _: None)
    assert set(what_lacks("spaces").values()) == {'`pip install "oryx-mllm[eval]"`'}
    assert _scores(["a"], [["a"]], [0]) == dict.fromkeys(CAPTION_METRICS)


@needs_java
def test_line_breaks_of_any_kind_do_not_shift_the_texts(meteor):
    texts = ["a\u2028b", "c\rd", "", "e\x85f", "two\nlines", "The Café, (it's)!", ""]
    assert java.tokenize(texts) == ["a b", "c d", "", "e f", "two lines", "the café -lrb- it 's -rrb-", ""]
    assert meteor.score(meteor.counts("a\rb ||| c", ["a b c"])) == pytest.approx(1)
    assert meteor.score(meteor.counts("x", ["a ||| b"])) == 0


@needs_java
def test_nothing_is_written_where_pycocoevalcap_lies():
    from pycocoevalcap.tokenizer import ptbtokenizer

    folder = Path(ptbtokenizer.__file__).parent
    before = folder.stat().st_mtime_ns
    java.tokenize(["a b"])
    assert folder.stat().st_mtime_ns == before


def test_a_java_that_fails_is_a_sentence(monkeypatch, tmp_path):
    program = tmp_path / "java"
    program.write_text('#!/bin/sh\n[ "$1" = -version ] && exit 0\necho "Error: no memory." >&2\nexit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert java.has_java()
    with pytest.raises(ConfigError, match=r"^the PTB tokenizer failed: Error: no memory\.$"):
        java.tokenize(["a"])
    with java.Meteor() as meteor, pytest.raises(ConfigError, match="METEOR ended too early"):
        meteor.counts("a", ["a"])
    program.write_text("#!/bin/sh\nexit 1\n")
    assert not java.has_java()
