"""Frames encoded in stretches, and frames put in later, are those of the whole video."""

import random

import pytest
import torch
from factories import make_picture
from PIL import Image

import oryx
from oryx.engine import splice as home
from oryx.engine.encode import encode_tokens
from oryx.engine.splice import encode_frames, frame_offset, splice
from oryx.errors import ConfigError, MediaError


def whole(model, processor, frames, ratio):
    return encode_tokens(model, processor, {"type": "video", "video": frames, "compression": ratio})


@pytest.mark.parametrize("ratio", [4, 16])
def test_stretches_are_the_whole(model, processor, monkeypatch, ratio):
    monkeypatch.setattr(home, "CHUNK_FRAMES", 3)
    frames = [make_picture(32, 48, seed) for seed in range(8)]
    held = []

    def one_by_one():
        for frame in frames:
            held.append(frame)
            yield frame

    seen = []
    tokens = encode_frames(model, processor, one_by_one(), ratio, progress=seen.append)
    expected = whole(model, processor, frames, ratio)
    assert seen == [3, 6, 8]
    assert (tokens.views, tokens.kind) == (expected.views, expected.kind)
    torch.testing.assert_close(tokens.embeds, expected.embeds, rtol=0, atol=1e-5)


@pytest.mark.parametrize("index", [0, 1, 3, 5])
def test_a_frame_put_in_is_as_if_it_had_been_there(model, processor, index):
    frames = [make_picture(32, 48, seed) for seed in range(5)]
    needle = make_picture(48, 32, 99)  # with another number of rows
    made = splice(
        encode_frames(model, processor, frames, 4), encode_frames(model, processor, [needle], 4), index
    )
    expected = whole(model, processor, [*frames[:index], needle, *frames[index:]], 4)
    assert made.views == expected.views
    assert made.stand_in().num_tokens == made.num_tokens == expected.num_tokens
    torch.testing.assert_close(made.embeds, expected.embeds, rtol=0, atol=1e-5)


def test_offsets_count_rows_newlines_and_separators(model, processor):
    tokens = encode_frames(model, processor, [make_picture(32, 48, seed) for seed in range(3)], 4)
    per_frame = tokens.views[0].num_tokens + 1
    assert [frame_offset(tokens.views, index) for index in range(4)] == [
        1 + index * per_frame for index in range(4)
    ]
    assert frame_offset(tokens.views, 3) == tokens.num_tokens - 1


def test_what_cannot_be(model, processor):
    tokens = encode_frames(model, processor, [make_picture(32, 48)], 4)
    with pytest.raises(ConfigError, match="no place 2 in a video of 1 frames"):
        splice(tokens, tokens, 2)
    with pytest.raises(MediaError, match="no frame"):
        encode_frames(model, processor, [], 4)
    with pytest.raises(ConfigError, match="ratios"):
        encode_frames(model, processor, [make_picture(32, 48)], 3)


@pytest.mark.slow
def test_nano_reads_the_spliced_video_as_the_whole():
    model, processor = oryx.load("nano", device="cpu")
    rng = random.Random(0)
    frames = [Image.new("RGB", (32, 32), (rng.randrange(90, 160),) * 3) for _ in range(150)]
    needle = Image.new("RGB", (32, 32), "white")
    needle.paste("red", (8, 8, 24, 24))
    video = encode_frames(model, processor, frames, 16)
    made = splice(video, encode_frames(model, processor, [needle], 16), 70)
    expected = oryx.encode(
        model,
        processor,
        {"type": "video", "video": [*frames[:70], needle, *frames[70:]], "compression": 16},
    )
    # Matrix products of another height round differently in float32, by a few units of the last place.
    assert float((made.embeds - expected).abs().max() / expected.abs().max()) < 1e-5
