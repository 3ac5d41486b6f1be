"""What a client is told, and what it is not."""

from pathlib import Path

import pytest

from oryx.errors import AlignmentError, ConfigError, MediaError
from oryx.processing.context import check_context
from oryx.serving.errors import RequestError
from oryx.serving.workers.refusals import OutOfTime, refusal_of

ROOT = Path("/srv/media")


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (ConfigError("compression 3 is none."), 400, "invalid_request"),
        (AlignmentError("two and three."), 400, "invalid_request"),
        (MediaError("it is broken."), 400, "invalid_media"),
        (MemoryError(), 413, "media_too_large"),
        (RuntimeError("can't start new thread"), 413, "media_too_large"),
        (OutOfTime(), 422, "decoding_too_slow"),
        (ValueError("/etc/passwd"), 422, "unprocessable"),
        (RequestError("as it is.", 413, code="own"), 413, "own"),
    ],
)
def test_errors_have_a_status_and_a_word(error: BaseException, status: int, code: str):
    refusal = refusal_of(error, ROOT, 5.0)
    assert (refusal.status, refusal.code) == (status, code)
    assert "/etc" not in str(refusal)


def test_too_long_a_prompt_has_openais_word():
    with pytest.raises(ConfigError) as error:
        check_context(100, 1, 50)
    assert refusal_of(error.value).code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("'/srv/media/in/a.png' is broken.", "'in/a.png' is broken."),
        ("'/srv/media' is a folder.", "the media root is a folder."),
        ("'/srv/media2/a.png' is broken.", "'a file of the server' is broken."),
        ("it is in /home/me/models/nano.", "it is in a file of the server."),
        ("cannot identify <_io.BytesIO object at 0x7f00de>", "cannot identify <_io.BytesIO>"),
        ("one of 1/2 and/or 3:4 at 10/20", "one of 1/2 and/or 3:4 at 10/20"),
        ("http://host/a/b is not fetched", "http://host/a/b is not fetched"),
    ],
)
def test_files_are_named_from_the_root_on(message: str, told: str):
    assert str(refusal_of(MediaError(message), ROOT)) == told.removesuffix(".") + "."


def test_messages_are_short():
    assert len(str(refusal_of(ConfigError("x" * 10**6)))) < 1100
