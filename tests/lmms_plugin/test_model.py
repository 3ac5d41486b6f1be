"""The model as lmms-eval calls it: what ends a run, and what lmms-eval's cache makes of answers."""

from types import SimpleNamespace

import pytest
from lmms_eval.caching.response_cache import ResponseCache
from lmms_plugin.harness import EXAMPLES
from lmms_plugin.made_images import picture
from loguru import logger

from oryx.evaluation.lmms.model import OryxChat, OryxSimple

TASK = "made"
GREEDY = {"max_new_tokens": 4, "temperature": 0}


def instance(number, *middle):
    arguments = ("What is it?", *middle, number, TASK, "test")
    return SimpleNamespace(args=arguments, task_name=TASK, doc_id=number, idx=0, metadata={})


def ask(number, generation=GREEDY, visual=None):
    """A question about a picture, or about a video that is not there."""
    part = {"type": "image", "url": picture("scene")} if visual is None else {"type": "video", "url": visual}
    content = [part, {"type": "text", "text": "What is it?"}]
    return instance(number, lambda doc: [{"role": "user", "content": content}], generation)


def weigh(number, visual=None):
    """An answer whose loss is wanted."""
    return instance(number, " red", lambda doc: [visual or picture("scene")])


def make(kind, **settings):
    model = kind(model="nano", **settings)
    model.task_dict = {TASK: {"test": [{}] * 9}}
    return model


@pytest.fixture
def log():
    lines = []
    sink = logger.add(lines.append, format="{message}")
    yield lines
    logger.remove(sink)


def test_missing_media_cannot_be_skipped_where_losses_are_compared(capsys):
    model = make(OryxSimple, missing="skip")
    with pytest.raises(SystemExit, match="2"):
        model.loglikelihood([weigh(0, str(EXAMPLES / "order.mp4")), weigh(1, "gone.mp4")])
    error = capsys.readouterr().err
    assert "1 of 2 requests have no media: document 1 of made: gone.mp4 is not there." in error
    assert "a task that compares likelihoods cannot go without" in error


def test_unreadable_media_end_a_comparison_of_losses_when_their_turn_comes(capsys):
    losses = make(OryxSimple, missing="skip").loglikelihood([weigh(0), weigh(1, "gone.mp4")])
    with pytest.raises(SystemExit, match="2"):
        list(losses)
    assert "oryx: document 1 of made: 'gone.mp4' does not exist" in capsys.readouterr().err


def test_wrong_generation_arguments_end_the_run_before_it_starts(capsys):
    with pytest.raises(SystemExit, match="2"):
        make(OryxChat).generate_until([ask(0), ask(1, {"max_new_token": 4})])
    assert "oryx: made: generation_kwargs has no 'max_new_token' for this model" in capsys.readouterr().err


LONG = {**GREEDY, "max_new_tokens": 10**7}


def test_a_prompt_that_is_too_long_ends_the_run(capsys):
    with pytest.raises(SystemExit, match="2"):
        list(make(OryxChat, missing="skip").generate_until([ask(0), ask(1, LONG)]))
    error = capsys.readouterr().err
    assert "oryx: document 1 of made: the prompt has" in error
    assert "give a budget" in error
    assert "too_long=skip" in error


def test_a_prompt_that_is_too_long_counts_as_wrong_where_one_goes_on(log):
    first, second = make(OryxChat, too_long="skip").generate_until([ask(0), ask(1, LONG)])
    assert first.text
    assert second.text == ""
    told = "".join(log)
    assert "document 1 of made: the prompt has" in told
    assert "made: 1 of the 2 answers made now are empty or name no option (1 of them were not asked)." in told


def cached(tmp_path, model, kind, requests):
    cache = ResponseCache(str(tmp_path / "cache.db"), str(tmp_path / "cache.audit.jsonl"))
    try:
        answers = cache.execute(model, kind, requests)
        return [getattr(answer, "text", answer) for answer in answers], cache.get_stats()["hits"]
    finally:
        cache.close()


def test_the_cache_gives_back_no_answer_that_it_did_not_take(tmp_path):
    """Its log holds the empty ones too, and lmms-eval fills the cache from it."""
    model = make(OryxChat, missing="skip")
    requests = [ask(0), ask(1, visual=str(tmp_path / "gone.mp4"))]
    first, _ = cached(tmp_path, model, "generate_until", requests)
    assert first[0]
    assert first[1] == ""
    requests[1] = ask(1)  # the video is there now
    again, hits = cached(tmp_path, model, "generate_until", requests)
    assert (again, hits) == ([first[0], first[0]], 1)


def test_the_cache_gives_back_no_broken_pairs(tmp_path):
    model = make(OryxSimple)
    first, _ = cached(tmp_path, model, "loglikelihood", [weigh(0)])
    again, hits = cached(tmp_path, model, "loglikelihood", [weigh(0)])
    assert hits == 0
    assert again == first
    assert isinstance(again[0], tuple)
