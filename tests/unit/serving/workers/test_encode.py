"""From jobs to prompts: the processor's own ids and patches, within limits that headers tell."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from oryx.errors import ConfigError, MediaError, OryxError
from oryx.processing.forecast import VisualForecast
from oryx.processing.geometry import View
from oryx.serving.encoding import EncodingJob, EncodingLimits
from oryx.serving.errors import RequestError
from oryx.serving.workers import encode
from oryx.serving.workers.encode import encode_job
from oryx.serving.workers.refusals import refusal_of
from oryx.serving.workers.samples import visual_keys

LIMITS = EncodingLimits()


def same(one: Any, other: Any) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("ids", "patches", "grids", "compressions", "visual_lengths", "visual_kinds")
    )


@pytest.fixture
def jobs(ask, examples: Path, png: bytes) -> dict[str, EncodingJob]:
    """One of every kind of request."""
    picture, video = {"type": "image", "image": png}, examples / "order.mp4"
    views = {"type": "views", "views": examples / "room"}
    talk = (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [picture, {"type": "text", "text": "\nWhat is it?"}]},
        {"role": "assistant", "content": "A gradient."},
        {"role": "user", "content": "Sure?"},
    )
    return {
        "text": ask(),
        "image": ask(picture),
        "images": ask(picture, {"type": "text", "text": " and "}, {**picture, "compression": 4}),
        "video": ask({"type": "video", "video": video}),
        "video bytes": ask({"type": "video_url", "video_url": {"url": video.read_bytes()}}),
        "timestamps": ask({"type": "video", "video": video, "timestamps": True, "max_frames": 4}),
        "views": ask(views),
        "dials": ask(picture, {"type": "video", "video": video}, dials={"compression": 16, "max_frames": 3}),
        "focus": ask({"type": "video", "video": video, "focus": "auto"}),
        "tokens": ask(picture, {"type": "video", "video": video}, budget=200),
        "memory": ask(picture, {"type": "video", "video": video}, views, budget="0.6GB"),
        "own budget": ask({**picture, "max_visual_tokens": 20}),
        "style": ask(picture, prompt_style="eval"),
        "talk": EncodingJob(talk),
        "opened": EncodingJob(
            (*talk, {"role": "assistant", "content": "Yes, it"}), continue_final_message=True
        ),
    }


@pytest.mark.parametrize(
    "name",
    ["text", "image", "images", "video", "video bytes", "timestamps", "views", "dials", "focus", "tokens",
     "memory", "own budget", "style", "talk", "opened"],
)  # fmt: skip
def test_a_job_is_what_the_processor_makes_of_it(name: str, jobs, processor, examples: Path):
    job = jobs[name]
    sample = encode_job(processor, job, LIMITS, examples)
    ends = {"add_generation_prompt": not job.continue_final_message,
            "continue_final_message": job.continue_final_message}  # fmt: skip
    settings = {"prompt_style": job.prompt_style, "budget": job.budget, **job.dials}
    batch = processor.apply_chat_template(
        list(job.messages), tokenize=True, return_dict=True, return_tensors="np", **ends, **settings
    )
    assert np.array_equal(sample.ids, batch["input_ids"][0])
    for key in ("patches", "grids", "compressions", "visual_lengths", "visual_kinds"):
        if key in batch:
            assert np.array_equal(getattr(sample, key), batch[key])
    assert same(sample, processor.encode_messages(list(job.messages), **ends, **settings))
    assert len(visual_keys(sample)) == len(sample.visual_lengths) == len(sample.spans)
    for start, stop in sample.spans:
        assert set(sample.ids[start:stop].tolist()) == {processor.image_token_id}


def test_keys_tell_content_and_dial(ask, processor, png: bytes, examples: Path):
    other = io.BytesIO()
    Image.radial_gradient("L").convert("RGB").resize((80, 64)).save(other, "PNG")

    def keys(*parts: Any, **settings: Any) -> list[str]:
        return visual_keys(encode_job(processor, ask(*parts, **settings), LIMITS, examples))

    picture = {"type": "image", "image": png}
    same_again = io.BytesIO()
    Image.open(io.BytesIO(png)).save(same_again, "BMP")
    (key,) = keys(picture)
    assert keys(picture, {"type": "image", "image": other.getvalue()}, picture)[::2] == [key, key]
    assert keys({"type": "image", "image": same_again.getvalue()}, question="And this?") == [key]
    others = [
        *keys({"type": "image", "image": other.getvalue()}),
        *keys({**picture, "compression": 2}),
        *keys({**picture, "detail": "low"}),
        *keys({**picture, "max_pixels": 4096}),
        *keys({"type": "views", "views": [png]}),
        *keys({"type": "views", "views": [png, png]}),
        *keys({"type": "video", "video": [png], "compression": 1}),
    ]
    assert len({key, *others}) == len(others) + 1


@pytest.fixture
def undecoded(monkeypatch):
    """Nothing is decoded: what is refused, is refused from headers."""
    monkeypatch.setattr("oryx.processing.processor.encode_visual", None)


@pytest.mark.parametrize(
    ("limits", "what", "status"),
    [
        ({"max_frames": 3}, "frames and views; at most 3", 413),
        ({"max_patches": 10}, "patches; at most 10", 413),
        ({"max_positions": 20}, "reads at most 21", 400),
    ],
)
def test_limits_are_held_before_anything_is_decoded(
    limits, what, status, ask, processor, examples, undecoded
):
    job = ask({"type": "video", "video": examples / "order.mp4", "max_frames": 4})
    with pytest.raises(OryxError, match=what) as error:
        encode_job(processor, job, replace(LIMITS, **limits), examples)
    assert refusal_of(error.value).status == status


def test_frames_are_counted_over_all_visuals(ask, processor, examples: Path, undecoded):
    video = {"type": "video", "video": examples / "order.mp4", "max_frames": 3}
    with pytest.raises(RequestError, match="6 frames and views"):
        encode_job(processor, ask(video, video), replace(LIMITS, max_frames=5), examples)


def test_a_prompt_longer_than_the_model_reads(ask, processor, png: bytes, undecoded):
    picture = {"type": "image", "image": png}
    with pytest.raises(ConfigError, match="the model reads at most 8,192: give a budget"):
        encode_job(processor, ask(*[picture] * 3, question="word " * 9000), LIMITS, None)
    with pytest.raises(ConfigError, match=r"the model reads at most 8,192: shorten the text\.$"):
        encode_job(processor, ask(question="word " * 9000), LIMITS, None)


def test_a_video_given_as_a_picture_is_told_where_it_belongs(ask, processor, png: bytes, examples: Path):
    video = examples / "order.mp4"
    told = r"is a video, not a picture: give it as a video \(video_url\)$"
    with pytest.raises(MediaError, match=f"^the file given as bytes {told}"):
        encode_job(processor, ask({"type": "image", "image": video.read_bytes()}), LIMITS, None)
    good = {"type": "image", "image": png}
    with pytest.raises(MediaError, match=f"^visual 2 of 2: .*{told}"):
        encode_job(processor, ask(good, {"type": "image", "image": video.read_bytes()}), LIMITS, None)
    with pytest.raises(MediaError, match="is not a picture that Pillow reads"):
        encode_job(processor, ask({"type": "image", "image": b"text"}), LIMITS, None)


def test_paths_are_for_the_root_only(ask, processor, examples: Path, tmp_path: Path, png: bytes):
    (tmp_path / "a.png").write_bytes(png)
    for kind in ("image", "video", "views"):
        job = ask({"type": kind, kind: tmp_path / "a.png"})
        for root in (None, examples):
            with pytest.raises(RequestError) as error:
                encode_job(processor, job, LIMITS, root)
            assert error.value.code == "file_not_allowed"
    with pytest.raises(RequestError, match="media root"):
        encode_job(processor, ask({"type": "views", "views": [png, tmp_path / "a.png"]}), LIMITS, examples)


def test_subtitles_beside_a_video_must_be_below_the_root_too(ask, processor, video, tmp_path: Path):
    (tmp_path / "root").mkdir()
    path = video("root/clip.mp4")
    beside = tmp_path / "root" / "clip.srt"
    beside.write_text("1\n00:00:00,000 --> 00:00:01,000\nhello\n")
    for settings in ({"dials": {"subtitles": True}}, {}):
        own = {} if settings else {"subtitles": True}
        job = ask({"type": "video", "video": path, **own}, **settings)
        sample = encode_job(processor, job, LIMITS, tmp_path / "root")
        assert "hello" in processor.tokenizer.decode(sample.ids)
    (tmp_path / "secret.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nsecret\n")
    beside.unlink()
    beside.symlink_to(tmp_path / "secret.srt")
    with pytest.raises(RequestError, match="media root"):
        encode_job(processor, job, LIMITS, tmp_path / "root")


def test_an_error_names_the_visual(ask, processor, png: bytes):
    good, bad = {"type": "image", "image": png}, {"type": "image", "image": png[:60]}
    with pytest.raises(MediaError, match=r"^visual 2 of 3: "):
        encode_job(processor, ask(good, bad, good), LIMITS, None)
    with pytest.raises(ConfigError, match=r"^compression 3"):
        encode_job(processor, ask({**good, "compression": 3}), LIMITS, None)


def test_forecasts_that_are_too_large_are_told_from_those_that_are_not():
    forecast = VisualForecast("views", "a", 64, 64, (View(64, 64, (4, 4), 1),) * 5)
    encode.check_visuals([forecast], replace(LIMITS, max_frames=5, max_patches=80))
    image = replace(forecast, kind="image")
    encode.check_visuals([image], replace(LIMITS, max_frames=1))
