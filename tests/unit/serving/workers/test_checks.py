"""Jobs that no worker need see."""

from pathlib import Path
from typing import Any

import pytest

from oryx.serving.encoding import EncodingJob, EncodingLimits
from oryx.serving.errors import RequestError
from oryx.serving.workers.checks import check_job

LIMITS = EncodingLimits(max_visuals=2, max_frames=3, max_total_bytes=100)


def job(*parts: Any, **settings: Any) -> EncodingJob:
    return EncodingJob(({"role": "user", "content": list(parts)},), **settings)


@pytest.mark.parametrize(
    "sound",
    [
        job({"type": "text", "text": "/etc/passwd"}),
        job("text", {"type": "image", "image": b"a"}),
        job({"type": "image", "image": Path("/a")}, {"type": "video", "video": [b"a", Path("b")]}),
        job({"type": "image_url", "image_url": {"url": b"a", "detail": "low"}}),
        job({"type": "video", "video": b"a", "subtitles": ["a line"]}, dials={"subtitles": True}),
        EncodingJob(({"role": "user", "content": "text"}, {"role": "assistant", "content": None})),
    ],
)
def test_sound_jobs_pass(sound: EncodingJob):
    check_job(sound, LIMITS)


@pytest.mark.parametrize(
    "source",
    [
        *("/etc/passwd", "file:///etc/passwd", "http://127.0.0.1/", "data:;base64,QUJD", 5, True, object()),
        *([["/a"]], [b"a", "/b"], [[b"a"]], [{"url": "/a"}], {"url": "/a"}, {"url": {"url": "/a"}}),
    ],
)
def test_a_source_that_the_server_did_not_open_is_refused(source: Any):
    for key in ("image", "video", "views", "url", "path", "base64", "image_url", "input_image", "video_url"):
        with pytest.raises(RequestError, match="the source of a visual"):
            check_job(job({"type": "image", key: source}), LIMITS)


@pytest.mark.parametrize("subtitles", ["/etc/passwd", "auto", 1.5, {"a": 1}, [Path("/a")], ["a", 5]])
def test_subtitles_name_no_file(subtitles: Any):
    for bad in (
        job({"type": "video", "video": b"a", "subtitles": subtitles}),
        job({"type": "video", "video": b"a"}, dials={"subtitles": subtitles}),
    ):
        with pytest.raises(RequestError, match="subtitles must be"):
            check_job(bad, LIMITS)


@pytest.mark.parametrize("content", [5, {"a": 1}, True, b"bytes", 1.5])
def test_messages_of_another_form(content: Any):
    with pytest.raises(RequestError, match="a role and a content"):
        check_job(EncodingJob(({"role": "user", "content": content},)), LIMITS)
    with pytest.raises(RequestError, match="a role and a content"):
        check_job(EncodingJob(("text",)), LIMITS)  # type: ignore[arg-type]


def test_limits_are_413():
    picture = {"type": "image", "image": b"a"}
    for large, what in (
        (job(*[picture] * 3), "3 media; at most 2"),
        (job({"type": "video", "video": [b"a"] * 4}), "4 pictures in one visual; at most 3"),
        (job({"type": "image", "image": bytes(101)}), "101 bytes of media; at most 100"),
        (job({"type": "image", "image": bytes(60)}, {"type": "video", "video": [bytes(50)]}), "110 bytes"),
    ):
        with pytest.raises(RequestError, match=what) as error:
            check_job(large, LIMITS)
        assert (error.value.status, error.value.code) == (413, "media_too_large")
