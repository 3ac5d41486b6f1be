"""Signs of a cut: each on its own, and none in what a whole file may well look like."""

from types import SimpleNamespace

import pytest

from oryx.media.cut import find_loss

MKV = "matroska,webm"


def loss(end=10.0, gap=0.1, is_broken=False, num_frames=100, **facts):
    given = {"name": MKV, "size": 1000, "seconds": 10.0, "tag": None, "frames": 0, "duration": None, **facts}
    container = SimpleNamespace(
        format=SimpleNamespace(name=given["name"]), size=given["size"], duration=int(given["seconds"] * 1e6)
    )
    metadata = {} if given["tag"] is None else {"DURATION": given["tag"]}
    stream = SimpleNamespace(
        frames=given["frames"], duration=given["duration"], time_base=0.001, metadata=metadata
    )
    return find_loss(container, stream, num_frames, end, gap, is_broken)


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"end": 9.6},
        {"end": 7.0, "gap": 2.5},  # the last frame may be shown as long as another was
        {"end": 5.0, "tag": "00:00:05.000000000"},  # the sound goes on
        {"end": 5.0, "duration": 5000},
        {"end": 5.0, "name": "mpegvideo"},  # libav guesses from the bit rate
        {"end": None, "seconds": 10.0},
        {"frames": 100, "end": 5.0},  # all that the header counts are there
        {"name": "mpegts", "size": 188 * 7},
        {"name": "mpegts", "size": 192 * 7},
        {"seconds": 0.0},
    ],
)
def test_a_whole_file_gives_no_reason(facts):
    assert loss(**facts) == ""


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"frames": 120}, "is cut off: only 100 of its 120 frames are there"),
        ({"is_broken": True}, "is cut off or damaged: its last packet is incomplete"),
        ({"name": "mpegts", "size": 188 * 7 + 1}, "is cut off or damaged: its last packet is incomplete"),
        ({"end": 5.0}, "shows no frame after 5.0 of the 10.0 seconds that its header promises"),
        ({"end": 5.0, "tag": "00:01:05.5"}, "shows no frame after 5.0 of the 65.5 seconds"),
        ({"end": 5.0, "tag": "soon"}, "shows no frame after 5.0 of the 10.0 seconds"),
    ],
)
def test_a_cut_file_gives_one(facts, sentence):
    assert loss(**facts).startswith(sentence)
