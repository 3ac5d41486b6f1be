"""lmms-eval's requests, and what is wrong with them before anything is answered."""

import sys
from types import SimpleNamespace

import pytest
from factories import make_picture

from oryx.errors import ConfigError, MediaError
from oryx.evaluation.lmms.requests import (
    describe_duplicates,
    describe_missing,
    find_duplicates,
    find_missing,
    read_requests,
)

DOCS = {"videomme": {"test": [{"clip": "a.mp4"}, {"clip": "b.mp4"}, {"clip": "c.mp4"}]}}
GREEDY = {"temperature": 0}


class Table(list):
    """As much of a `datasets.Dataset` as is looked at."""

    @property
    def column_names(self):
        return list(self[0])

    def __getitem__(self, key):
        return [row[key] for row in self] if isinstance(key, str) else super().__getitem__(key)


def instance(*arguments, **metadata):
    return SimpleNamespace(args=arguments, metadata=metadata, task_name=arguments[-2])


def chat(make_messages, doc_id=0, task="videomme"):
    return instance("ctx", make_messages, GREEDY, doc_id, task, "test")


def ask(visual, kind="video"):
    content = [{"type": kind, "url": visual}, {"type": "text", "text": "What?"}]
    return lambda doc: [{"role": "user", "content": content}]


def test_chat_requests():
    seen = []

    def make(doc):
        seen.append(doc)
        return ask("a.mp4")(doc)

    (request,) = read_requests([chat(make, doc_id=1)], DOCS)
    assert not seen  # pictures are decoded when their turn comes
    assert (request.task, request.split, request.doc_id, request.generation) == (
        "videomme",
        "test",
        1,
        GREEDY,
    )
    parts = request.messages("images")[0]["content"]
    assert [part["type"] for part in parts] == ["video", "text"]
    assert seen == [{"clip": "b.mp4"}]
    assert request.name == "document 1 of videomme"


def test_simple_requests_become_messages():
    picture = make_picture()
    (request,) = read_requests(
        [instance("What?", GREEDY, lambda doc: [doc["clip"], "a.PNG", picture], 0, "videomme", "test")], DOCS
    )
    parts = request.messages("images")[0]["content"]
    shown = [(part["type"], part.get(part["type"])) for part in parts if part["type"] != "text"]
    assert shown == [("video", "a.mp4"), ("image", "a.PNG"), ("image", picture)]
    assert parts[-1] == {"type": "text", "text": "\nWhat?"}


def test_likelihood_requests_carry_the_answer():
    by_text = instance("What?", " red", lambda doc: None, 0, "videomme", "test")
    by_call = instance("What?", lambda doc: doc["clip"], lambda doc: None, 1, "videomme", "test")
    first, second = read_requests([by_text, by_call], DOCS)
    assert (first.continuation, second.continuation) == (" red", "b.mp4")
    assert first.messages("images")[0]["content"] == [{"type": "text", "text": "What?"}]


def test_padding_is_known():
    padding = instance("ctx", ask("a.mp4"), GREEDY, 0, "videomme", "test", __padding_only__=True)
    assert [one.is_padding for one in read_requests([chat(ask("a.mp4")), padding], DOCS)] == [False, True]


def test_requests_of_another_form_are_refused():
    with pytest.raises(ConfigError, match="a request of videomme has 2 parts"):
        read_requests([SimpleNamespace(args=("", "x"), metadata={}, task_name="videomme")], DOCS)


def exits(doc):
    sys.exit("video path:x.mp4 does not exist, please check")


def raises(doc):
    raise FileNotFoundError("Tried both")


def test_a_task_that_ends_the_program_is_a_media_error():
    for make, reason in ((exits, "x.mp4 does not exist"), (raises, "Tried both")):
        (request,) = read_requests([chat(make)], DOCS)
        with pytest.raises(MediaError, match=f"document 0 of videomme has no media .*{reason}"):
            request.messages("images")


def test_missing_files_are_found(tmp_path):
    here = tmp_path / "a.mp4"
    here.touch()
    asked = [chat(ask(str(here))), chat(ask(str(tmp_path / "b.mp4")), 1), chat(exits, 2)]
    missing = find_missing(read_requests(asked, DOCS), "images")
    assert list(missing) == [1, 2]
    sentence = describe_missing(missing, 3)
    assert sentence.startswith("2 of 3 requests have no media: document 1 of videomme: ")
    assert f"{tmp_path / 'b.mp4'} is not there; document 2 of videomme has no media" in sentence
    assert sentence.endswith("missing=skip, which counts these requests as wrong.")
    sentence = describe_missing(missing, 3, can_skip=False)
    assert sentence.endswith("a task that compares likelihoods cannot go without (missing=skip).")


def test_many_missing_files_are_counted():
    missing = {index: f"document {index}." for index in range(50)}
    sentence = describe_missing(missing, 60)
    assert "document 19; and 30 more." in sentence
    assert "document 20" not in sentence


def test_tasks_that_hold_their_pictures_are_not_looked_through():
    looked = []

    def make(doc):
        looked.append(doc)
        return ask(make_picture(), "image")(doc)

    assert find_missing(read_requests([chat(make), chat(make, 1)], DOCS), "images") == {}
    assert len(looked) == 1


def test_duplicate_ids_are_found():
    rows = Table([{"question_id": name} for name in ("1-1", "1-2", "1-1")])
    docs = {"textvqa_val": {"test": rows}, "other": {"test": rows}}
    asked = read_requests([chat(ask("a"), index, task) for index, task in enumerate(docs)], docs)
    found = find_duplicates(asked, docs)
    assert found == {"textvqa_val": ["1-1"]}  # of other tasks it is not known which column is the id
    sentence = describe_duplicates(found)
    assert sentence.startswith(
        "textvqa_val has several documents with question_id 1-1: each would be counted"
    )
    assert sentence.endswith("go on with duplicates=keep.")


def test_ids_that_differ_are_fine():
    docs = {"textvqa_val": {"test": Table([{"question_id": "1"}, {"question_id": "2"}])}}
    assert find_duplicates(read_requests([chat(ask("a"), task="textvqa_val")], docs), docs) == {}
