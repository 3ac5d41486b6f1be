"""What the server takes from a worker that a file may have taken over."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oryx.processing.collate import EncodedSample
from oryx.serving.encoding import EncodingLimits
from oryx.serving.errors import RequestError
from oryx.serving.workers.answers import read_plan, read_sample
from oryx.serving.workers.channel import ARRAYS, BrokenReplyError
from oryx.serving.workers.encode import encode_job
from oryx.serving.workers.samples import PromptForm
from oryx.serving.workers.worker import Reply

LIMITS = EncodingLimits()


@pytest.fixture(scope="module")
def form(processor) -> PromptForm:
    """Of nano's prompts."""
    num_ids = 1 + max(processor.tokenizer.get_vocab().values())
    return PromptForm(num_ids, processor.image_token_id, 3 * processor.rule.patch_size**2)


@pytest.fixture(scope="module")
def honest(processor, ask, examples: Path, png: bytes) -> EncodedSample:
    """A picture and a video."""
    picture, video = {"type": "image", "image": png}, {"type": "video", "video": examples / "order.mp4"}
    return encode_job(processor, ask(picture, {**video, "max_frames": 3}), LIMITS, examples)


def reply(sample: EncodedSample, **arrays: Any) -> Reply:
    """A sample as its worker would send it, some of it exchanged or (None) left out."""
    own = {name: getattr(sample, name) for name in ARRAYS} | arrays
    sent = {name: value for name, value in own.items() if value is not None}
    return Reply({"kind": "prompt", "spans": [list(span) for span in sample.spans]}, sent)


def test_an_honest_answer_is_taken_whole(honest, form):
    taken = read_sample(reply(honest), form, LIMITS)
    for name in (field.name for field in fields(honest)):
        assert np.array_equal(getattr(taken, name), getattr(honest, name)), name


def changed(name: str, change: Callable[[np.ndarray], Any]) -> Callable[[EncodedSample, PromptForm], Reply]:
    def make(honest: EncodedSample, _: PromptForm) -> Reply:
        return reply(honest, **{name: change(getattr(honest, name).copy())})

    return make


def with_id(place: int, new: Callable[[PromptForm], int]) -> Callable[[EncodedSample, PromptForm], Reply]:
    def make(honest: EncodedSample, form: PromptForm) -> Reply:
        ids = honest.ids.copy()
        ids[place] = new(form)
        return reply(honest, ids=ids)

    return make


def with_spans(
    change: Callable[[list[tuple[int, int]]], Any],
) -> Callable[[EncodedSample, PromptForm], Reply]:
    def make(honest: EncodedSample, _: PromptForm) -> Reply:
        whole = reply(honest)
        return Reply({**whole.fields, "spans": change(honest.spans)}, whole.arrays)

    return make


def put(array: np.ndarray, value: int) -> np.ndarray:
    array.flat[0] = value
    return array


LIES = {
    "an id beyond the vocabulary": with_id(-1, lambda form: form.num_ids),
    "an id of 10**12": with_id(-1, lambda _: 10**12),
    "an id below 0": with_id(0, lambda _: -5),
    "a placeholder in the text": with_id(0, lambda form: form.placeholder),
    "text in a visual": lambda honest, form: with_id(honest.spans[0][0], lambda _: 1)(honest, form),
    "ids of bytes": changed("ids", lambda ids: ids.astype(np.uint8)),
    "ids in rows": changed("ids", lambda ids: ids[None]),
    "no ids": changed("ids", lambda _: None),
    "ids cut off": changed("ids", lambda ids: ids[:40]),
    "a grid of a million rows": changed("grids", lambda grids: put(grids, 10**6)),
    "a grid whose area overflows": changed("grids", lambda grids: grids * 2**31),
    "a grid of nothing": changed("grids", lambda grids: put(grids, 0)),
    "a grid below nothing": changed("grids", lambda grids: -grids),
    "a grid turned around": changed("grids", lambda grids: grids[:, ::-1]),
    "one grid too few": changed("grids", lambda grids: grids[:-1]),
    "grids of three sides": changed("grids", lambda grids: np.pad(grids, ((0, 0), (0, 1)))),
    "an unknown ratio": changed("compressions", lambda ratios: put(ratios, 3)),
    "another ratio": changed("compressions", lambda ratios: put(ratios, 2)),
    "one ratio too few": changed("compressions", lambda ratios: ratios[:-1]),
    "seven views": changed("visual_lengths", lambda lengths: put(lengths, 7)),
    "no view": changed("visual_lengths", lambda lengths: lengths - lengths[0]),
    "views that add up": changed("visual_lengths", lambda lengths: lengths + np.array([-9, 9])),
    "an unknown kind": changed("visual_kinds", lambda kinds: put(kinds, 7)),
    "another kind": changed("visual_kinds", lambda kinds: 1 - kinds),
    "one kind too few": changed("visual_kinds", lambda kinds: kinds[:-1]),
    "one patch too few": changed("patches", lambda patches: patches[:-1]),
    "patches of one value": changed("patches", lambda patches: patches[:, :1]),
    "patches of numbers": changed("patches", lambda patches: patches.astype(np.int64)),
    "no patches": changed("patches", lambda _: None),
    "no spans": with_spans(lambda _: []),
    "spans that are none": with_spans(lambda _: [3, None]),
    "spans without end": with_spans(lambda spans: [spans[0], (spans[1][0], float("inf"))]),
    "spans of everything": with_spans(lambda spans: [spans[0], (spans[1][0], 10**9)]),
    "spans from behind": with_spans(lambda spans: [(start - 10**6, stop - 10**6) for start, stop in spans]),
    "spans the other way": with_spans(lambda spans: spans[::-1]),
    "a span twice": with_spans(lambda spans: [spans[0], spans[0]]),
}


@pytest.mark.parametrize("lie", LIES)
def test_no_lie_becomes_a_prompt(lie, honest, form):
    with pytest.raises(BrokenReplyError):
        read_sample(LIES[lie](honest, form), form, LIMITS)


@pytest.mark.parametrize("name", ["max_visuals", "max_patches"])
def test_limits_hold_for_the_worker_too(name, honest, form):
    with pytest.raises(BrokenReplyError):
        read_sample(reply(honest), form, replace(LIMITS, **{name: 1}))


REFUSED = {"kind": "refused", "message": "the picture is none.", "status": 400, "code": "invalid_media"}


@pytest.mark.parametrize("read", [lambda sent: read_sample(sent, PromptForm(1, 0, 3), LIMITS), read_plan])
def test_refusals_are_checked(read, caplog):
    with pytest.raises(RequestError, match="the picture is none") as caught:
        read(Reply({**REFUSED, "detail": "first\nERROR: of another"}, {}))
    assert (caught.value.status, caught.value.code) == (400, "invalid_media")
    assert "\n  | first\n  | ERROR: of another" in caplog.text  # no line that could be the log's own
    with pytest.raises(RequestError) as long:
        read(Reply({**REFUSED, "message": "x" * 10**6}, {}))
    assert len(long.value.message) <= 1003
    for lie in (
        {"status": 200},
        {"status": -1},
        {"status": 99_999},
        {"status": "400"},
        {"status": None},
        {"message": ["x"]},
        {"code": ["any"]},
        {"kind": "plan", "plan": "x"},
        {"kind": "anything"},
        {"kind": None},
    ):
        with pytest.raises(BrokenReplyError):
            read(Reply({**REFUSED, **lie}, {}))
