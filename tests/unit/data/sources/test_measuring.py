"""Lengths are known without decoding, and are those of the encoded samples."""

import av
import numpy as np
import pytest
from factories import make_processor
from PIL import Image

from oryx.data.sources.measuring import measure, measured_visual
from oryx.data.sources.record import Record
from oryx.errors import ConfigError
from oryx.processing.geometry import ResizeRule
from oryx.processing.visuals import encode_visual


def forbid_decoding(monkeypatch):
    def decode(*args, **kwargs):
        raise AssertionError("something was decoded")

    monkeypatch.setattr("oryx.media.image.to_rgb", decode)
    monkeypatch.setattr("oryx.media.video._read", decode)
    monkeypatch.setattr("oryx.processing.visuals.patchify", decode)


def assert_counted_as_encoded(visual, monkeypatch):
    encoded = encode_visual(visual, ResizeRule())
    with monkeypatch.context() as context:
        forbid_decoding(context)
        measured = measured_visual(visual, ResizeRule())
    assert measured.patches is None
    assert (measured.kind, measured.views, measured.note) == (encoded.kind, encoded.views, encoded.note)
    assert measured.num_tokens == encoded.num_tokens


@pytest.mark.parametrize("dials", [{}, {"detail": "low"}, {"compression": 4}, {"max_pixels": 64**2}])
@pytest.mark.parametrize("size", [(300, 200), (20, 90)])
def test_pictures_are_counted_without_decoding(tmp_path, monkeypatch, dials, size):
    Image.new("RGB", size).save(tmp_path / "a.png")
    assert_counted_as_encoded({"type": "image", "image": str(tmp_path / "a.png"), **dials}, monkeypatch)


@pytest.fixture
def clip(tmp_path):
    """A video of 9 frames at 5 a second, with subtitles beside it."""
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for number in range(9):
            pixels = np.full((48, 64, 3), 20 * number, dtype=np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    (tmp_path / "clip.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHello.\n")
    return str(tmp_path / "clip.mp4")


@pytest.mark.parametrize(
    "dials",
    [
        {},
        {"max_frames": 4, "compression": 16},
        {"fps": 2, "max_pixels": 64**2},
        {"timestamps": True, "subtitles": True},
    ],
)
def test_videos_are_counted_without_decoding(clip, monkeypatch, dials):
    assert_counted_as_encoded({"type": "video", "video": clip, **dials}, monkeypatch)


@pytest.mark.parametrize("kind", ["video", "views"])
def test_lists_of_pictures_are_counted_without_decoding(tmp_path, monkeypatch, kind):
    names = [str(tmp_path / f"{number}.png") for number in range(3)]
    for number, name in enumerate(names):
        Image.new("RGB", (64 + 40 * number, 300)).save(name)
    dials = {"compression": 2, **({"fps": 1, "timestamps": True} if kind == "video" else {})}
    assert_counted_as_encoded({"type": kind, kind: names, **dials}, monkeypatch)
    if kind == "views":
        assert_counted_as_encoded({"type": "views", "views": str(tmp_path)}, monkeypatch)


@pytest.mark.parametrize("dials", [{"fps": "2"}, {"max_frames": 0}, {"compression": 3}])
def test_counting_refuses_the_dials_that_encoding_would(tmp_path, dials):
    Image.new("RGB", (64, 48)).save(tmp_path / "a.png")
    with pytest.raises(ConfigError):
        measured_visual({"type": "video", "video": [str(tmp_path / "a.png")], **dials}, ResizeRule())


@pytest.mark.parametrize(
    "dials", [{"max_visual_tokens": 60}, {"focus": "2-4"}, {"focus": "auto", "max_frames": 8}]
)
def test_what_is_measured_is_what_is_encoded(dials):
    """Dials that the planner spends: rows are packed by the measured tokens."""
    processor = make_processor()
    rng = np.random.default_rng(0)
    frames = [Image.fromarray(rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)) for _ in range(10)]
    visual = {"type": "video", "video": frames, **dials}
    turns = [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "It."}]
    whole = processor.encode_sample(turns, [visual])
    measured = processor.encode_sample(turns, [measured_visual(visual, processor.rule)])
    assert len(measured) == len(whole)


@pytest.mark.parametrize(
    "turns",
    [
        [{"from": "human", "value": "What?"}, {"from": "gpt", "value": None}],
        [{"from": "human", "value": "What?"}, {"from": "assistant", "value": " "}],
        [{"from": "human", "value": "What?"}],
    ],
)
def test_a_record_of_which_nothing_is_learned_is_broken(turns):
    """Files for evaluation leave the answers open."""
    with pytest.raises(ConfigError, match=r"here: the assistant says nothing in it.*records for evaluation"):
        measure(Record("here", [], turns), make_processor())


def test_one_answer_of_several_is_enough():
    turns = [{"from": "human", "value": "What?"}, {"from": "gpt", "value": "It."}]
    length, _ = measure(
        Record("here", [], [*turns, turns[0], {"from": "gpt", "value": None}]), make_processor()
    )
    assert length > 0
