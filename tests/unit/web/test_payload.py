"""Questions as chat requests."""

from __future__ import annotations

import pytest

from oryx.errors import AlignmentError
from oryx.web.payload import make_payload
from oryx.web.planning import Limits, Media
from oryx.web.replies import Request
from oryx.web.settings import Settings


def request_of(media, question="What?", earlier=(), settings=None):
    return Request("me/A", media, settings or Settings(), question, tuple(earlier))


def test_the_dials_and_the_conversation_travel(video):
    settings = Settings(compression=16, max_frames=5, tokens=90, max_new_tokens=12)
    payload = make_payload(request_of(video, "Last?", [("First?", "red")], settings), "m", Limits())
    assert payload["mm_processor_kwargs"] == {"compression": 16, "max_frames": 5, "budget": {"tokens": 90}}
    assert payload["max_tokens"] == 12
    assert [message["role"] for message in payload["messages"]] == ["user", "assistant", "user"]
    assert payload["messages"][0]["content"][0]["type"] == "video_url"
    assert payload["messages"][2]["content"] == "Last?"


def test_views_are_pictures_of_one_scene(room):
    payload = make_payload(request_of(room), "m", Limits())
    parts = payload["messages"][0]["content"]
    assert [part["type"] for part in parts] == ["image_url"] * 4 + ["text"]
    assert payload["mm_processor_kwargs"] == {"views": True}


def test_markers_place_media(scene):
    two = Media(scene.paths * 2)
    parts = make_payload(request_of(two, "From <image> to <image>?"), "m", Limits())["messages"][0]["content"]
    assert [part.get("text", "picture") for part in parts] == ["From ", "picture", " to ", "picture", "?"]
    with pytest.raises(AlignmentError):
        make_payload(request_of(two, "Only <image>?"), "m", Limits())
