"""Streaming encode: the tokens of one pass, flat memory, and nothing left behind."""

import gc
import os
import threading

import numpy as np
import pytest
import torch
from factories import make_conversation, make_picture, make_visual

import oryx
from oryx.engine import encode as home
from oryx.engine.encode import encode_tokens
from oryx.errors import ConfigError, MediaError
from oryx.model.modeling import VISUAL_KEYS
from oryx.processing.geometry import VIDEO
from oryx.processing.pixels import MAX_WORKERS
from oryx.processing.visuals import encode_visual


def in_one_pass(model, processor, visual):
    batch = processor.encode_conversation(make_conversation("<image>"), [visual], supervise=None)
    with torch.no_grad():
        return model.get_visual_embeds(**{key: batch[key] for key in VISUAL_KEYS})[0]


VISUALS = [
    make_visual(seed=1),
    make_visual(seed=2, detail="low"),
    make_visual("video", seed=3, num_frames=7),
    make_visual("video", seed=4, num_frames=4, compression=[1, 16, 4, 2]),
    {"type": "views", "views": [make_picture(16 * k, 48 - 8 * k, k) for k in (1, 3, 2, 1)], "compression": 2},
]


@pytest.mark.parametrize("chunk_patches", [1, 100, 8192])
@pytest.mark.parametrize("visual", VISUALS, ids=["image", "low", "video", "ratios", "sizes"])
def test_chunks_give_the_tokens_of_one_pass(model, processor, visual, chunk_patches):
    expected = in_one_pass(model, processor, visual)
    actual = oryx.encode(model, processor, visual, chunk_patches)
    # Products over other numbers of rows round differently.
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)
    assert not actual.requires_grad
    tokens = encode_tokens(model, processor, visual, chunk_patches)
    assert torch.equal(tokens.embeds, actual)
    assert tokens.views == encode_visual(visual, processor.rule).views


def test_many_small_frames_go_in_stretches(model, processor, monkeypatch):
    monkeypatch.setattr(home, "CHUNK_VIEWS", 2)
    visual, steps = make_visual("video", num_frames=5), []
    actual = oryx.encode(model, processor, visual, progress=lambda *step: steps.append(step))
    torch.testing.assert_close(actual, in_one_pass(model, processor, visual), atol=1e-5, rtol=1e-5)
    assert steps == [(2, 5), (4, 5), (5, 5)]


def test_patches_made_elsewhere(model, processor):
    encoded = encode_visual(VISUALS[2], processor.rule)
    assert torch.equal(oryx.encode(model, processor, encoded), oryx.encode(model, processor, VISUALS[2]))


def test_tokens_are_not_kept_twice(model, processor):
    """Of frames of one size the room is known from the start, and nothing else holds the tokens."""
    visual = make_visual("video", num_frames=30, compression=1)
    embeds = oryx.encode(model, processor, visual, chunk_patches=64)
    assert embeds.untyped_storage().nbytes() == embeds.numel() * embeds.element_size()


def test_room_taken_for_larger_frames_is_given_back(model, processor):
    frames = [make_picture(32, 32), *(make_picture(16, 16, seed) for seed in range(9))]
    embeds = oryx.encode(model, processor, {"type": "video", "video": frames, "compression": 1}, 64)
    assert embeds.untyped_storage().nbytes() <= 1.1 * embeds.numel() * embeds.element_size()


def test_the_caller_can_refuse_before_the_tower_runs(model, processor, monkeypatch):
    monkeypatch.setattr(model, "encode_views", lambda *_: pytest.fail("the tower ran"))
    visual = make_visual("video", num_frames=6)
    seen = []

    def check(num_tokens):
        seen.append(num_tokens)
        raise ConfigError("too long")

    with pytest.raises(ConfigError, match="too long"):
        encode_tokens(model, processor, visual, 64, check=check)
    assert seen == [encode_visual(visual, processor.rule).num_tokens]


def test_times_of_frames(model, processor, video):
    tokens = encode_tokens(model, processor, {"type": "video", "video": str(video()), "max_frames": 3})
    assert tokens.times == pytest.approx((0.0, 1.0, 2.2))
    assert tokens.kind == VIDEO
    assert encode_tokens(model, processor, make_visual()).times is None


def resources():
    """Files and threads that are open, without what waits for the garbage collector from tests before."""
    gc.collect()
    return held()


def held():
    threads = {thread.ident for thread in threading.enumerate() if thread.name == "oryx-prefetch"}
    return set(os.listdir("/proc/self/fd")), threads


def left_since(before):
    return [now - then for now, then in zip(held(), before)]


needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files are listed in /proc")


@needs_proc
@pytest.mark.parametrize("where", ["never", "decode", "tower", "progress", "check", "first"])
def test_nothing_is_left_behind(model, processor, video, monkeypatch, where):
    """An error anywhere arrives as it is; thread, file and decoder are gone, even while the error is held."""
    path = video(num_frames=40, height=96, width=128)
    visual = {"type": "video", "video": str(path), "max_frames": 40}
    oryx.encode(model, processor, visual)  # whatever libraries open for good
    before = resources()
    error = ZeroDivisionError(where)

    def fail(*_):
        raise error

    if where == "decode":
        calls = []
        patchify = home.open_visual.__globals__["patchify"]

        def fail_later(*arguments):
            calls.append(1)
            return fail() if len(calls) == 20 else patchify(*arguments)

        monkeypatch.setitem(home.open_visual.__globals__, "patchify", fail_later)
    if where == "first":
        monkeypatch.setitem(home.open_visual.__globals__, "patchify", fail)
    if where == "tower":
        monkeypatch.setattr(model, "encode_views", fail)
    arguments = {name: fail for name in ("progress", "check") if name == where}
    if where == "never":
        encode_tokens(model, processor, visual, 64)
        assert left_since(before) == [set(), set()]
        return
    with pytest.raises(ZeroDivisionError) as raised:
        encode_tokens(model, processor, visual, 64, **arguments)
    assert raised.value is error
    assert left_since(before) == [set(), set()]


def test_a_broken_frame_is_a_media_error(model, processor):
    frames = [make_picture(), b"no picture", make_picture()]
    with pytest.raises(MediaError, match="not a picture"):
        oryx.encode(model, processor, {"type": "video", "video": frames})


def test_extended_tokens_are_those_of_all_frames(model, processor):
    frames = [make_picture(32, 48, seed) for seed in range(5)]
    parts = [
        encode_tokens(model, processor, {"type": "video", "video": own, "compression": 4, "fps": 2.0})
        for own in (frames[:2], frames[2:])
    ]
    whole = encode_tokens(model, processor, {"type": "video", "video": frames, "compression": 4})
    joined = parts[0].extended(parts[1])
    assert joined.views == whole.views
    torch.testing.assert_close(joined.embeds, whole.embeds, atol=1e-5, rtol=1e-5)
    assert joined.times == (0.0, 0.5, 0.0, 0.5, 1.0)


def test_the_queue_is_bounded_by_patches(model, processor, monkeypatch):
    """However slow the tower, decoded frames wait in an amount set by `chunk_patches`."""
    made, most = [], []
    patchify = home.open_visual.__globals__["patchify"]
    monkeypatch.setitem(home.open_visual.__globals__, "patchify", lambda *a: made.append(1) or patchify(*a))
    encode_views = model.encode_views
    taken = []

    def slow(patches, grids, ratios):
        threading.Event().wait(0.05)
        most.append(len(made) - len(taken))
        taken.extend(grids)
        return encode_views(patches, grids, ratios)

    monkeypatch.setattr(model, "encode_views", slow)
    visual = make_visual("video", num_frames=30)
    per_frame = encode_visual(visual, processor.rule).views[0].num_patches
    made.clear()
    oryx.encode(model, processor, visual, chunk_patches=2 * per_frame)
    # Two in the tower, one that closed its chunk, two that wait, one in the thread's hands, and those that
    # threads resize ahead.
    assert max(most) <= 6 + MAX_WORKERS


def test_frames_are_freed_without_the_garbage_collector(model, processor, video):
    """A ring of references would let decoded frames pile up to hundreds of megabytes."""
    visual = {"type": "video", "video": str(video(num_frames=12)), "max_frames": 12}
    gc.collect()
    gc.disable()
    try:
        oryx.encode(model, processor, visual)
        assert "VideoFrame" not in {type(item).__name__ for item in gc.get_objects()}
    finally:
        gc.enable()


def test_array_frames(model, processor):
    frames = np.stack([np.asarray(make_picture(32, 48, seed)) for seed in range(3)])
    listed = [make_picture(32, 48, seed) for seed in range(3)]
    expected = oryx.encode(model, processor, {"type": "video", "video": listed})
    assert torch.equal(oryx.encode(model, processor, {"type": "video", "video": frames}), expected)


@needs_proc
@pytest.mark.parametrize(
    ("dials", "error"), [({"compression": [4, 4]}, ConfigError), ({"subtitles": True}, MediaError)]
)
def test_a_refused_dial_leaves_no_file_open(model, processor, video, dials, error):
    path = video(num_frames=12)
    before = resources()
    with pytest.raises(error) as raised:
        oryx.encode(model, processor, {"type": "video", "video": str(path), **dials})
    assert left_since(before) == [set(), set()]
    assert raised.value.__traceback__ is not None  # which holds every frame that the error came through
