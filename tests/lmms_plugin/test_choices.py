"""Tasks that are lmms-eval's but for what they read in an answer: without a letter it scores nothing."""

from types import SimpleNamespace

import pytest
from lmms_eval.tasks import TaskManager
from lmms_eval.tasks.mlvu.utils import mlvu_aggregate_results_dev
from lmms_eval.tasks.mmbench import en_utils
from lmms_eval.tasks.videomme.utils import videomme_aggregate_results, videomme_doc_to_text

from oryx.evaluation.lmms import TASKS
from oryx.evaluation.lmms.tasks.mlvu import utils as mlvu
from oryx.evaluation.lmms.tasks.mmbench import utils as mmbench
from oryx.evaluation.lmms.tasks.videomme import utils as videomme

VIDEOMME = {
    "options": ["A. Red circle.", "B. Green star.", "C. Blue square.", "D. A dog."],
    "answer": "C",
    "domain": "Knowledge",
    "sub_category": "Astronomy",
    "task_type": "Temporal Perception",
    "question_id": "0-1",
    "duration": "long",
    "videoID": "x",
}
MLVU = {"question": "What?\n(A) one\n(B) two\n(C) six\n(D) ten", "answer": "C", "task_type": "ego"}
MMBENCH = {
    "index": 1,
    "question": "What?",
    "hint": "nan",
    "answer": "C",
    **dict(zip("ABCD", ["one", "two", "six", "nan"])),
    "category": "ocr",
    "L2-category": "perception",
    "source": "made",
    "split": "dev",
}


def in_videomme(answer):
    scores = videomme.process_results(VIDEOMME, [answer])
    return videomme_aggregate_results([scores["videomme_perception_score"]]), scores["unparsed"]


def in_mlvu(answer):
    scores = mlvu.process_results(MLVU, [answer])
    return 7 * mlvu_aggregate_results_dev([scores["mlvu_percetion_score"]]), scores["unparsed"]


def in_mmbench(answer, folder):
    scores = mmbench.process_results(MMBENCH, [answer])
    args = SimpleNamespace(output_path=str(folder))
    found = en_utils.mmbench_aggregate_dev_results_static([scores["gpt_eval_score"]], args)
    assert sorted(scores) == ["gpt_eval_score", "unparsed"]
    return found, scores["unparsed"]


@pytest.mark.parametrize(
    ("answer", "score", "unparsed"),
    [
        ("Cannot tell", 0, 1),
        ("", 0, 1),
        ("C", 100, 0),
        ("C) six", 100, 0),
        ("(C)", 100, 0),
        ("B", 0, 0),
        ("A dog", 0, 1),
    ],
)
def test_only_a_letter_scores(answer, score, unparsed, tmp_path):
    for found in (in_videomme(answer), in_mlvu(answer), in_mmbench(answer, tmp_path)):
        assert found == (pytest.approx(score), unparsed)


def test_a_long_answer_may_name_the_text_of_an_option():
    assert in_videomme("I believe it is the blue square.") == (100, 0)


def test_the_long_videos_are_asked_about_without_subtitles():
    """lmms-eval's own videomme_long shows them."""
    config = TaskManager(include_path=str(TASKS))._get_config("oryx_videomme_long")
    assert config["doc_to_text"].__name__ == videomme_doc_to_text.__name__
    asked = config["doc_to_text"](
        {**VIDEOMME, "question": "What?"}, config["lmms_eval_specific_kwargs"]["default"]
    )
    assert "subtitles are listed" not in asked
