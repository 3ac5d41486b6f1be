"""lmms-eval's chat messages as ours."""

import pytest
from factories import make_picture

from oryx.errors import ConfigError
from oryx.evaluation.lmms.messages import media_paths, read_messages

PICTURE = make_picture()


def shown(*parts, several_images="images"):
    (message,) = read_messages([{"role": "user", "content": list(parts)}], several_images)
    assert message["role"] == "user"
    return message["content"]


def text(words):
    return {"type": "text", "text": words}


def image(source):
    return {"type": "image", "url": source}


def test_a_new_line_parts_the_visual_from_the_question():
    video = {"type": "video", "url": "a.mp4"}
    assert shown(video, text("What?")) == [{"type": "video", "video": "a.mp4"}, text("\nWhat?")]


def test_a_space_parts_pictures():
    parts = shown(image("a.png"), image(PICTURE), text("Alike?"))
    pictures = [{"type": "image", "image": "a.png"}, {"type": "image", "image": PICTURE}]
    assert parts == [pictures[0], text(" "), pictures[1], text("\nAlike?")]


def test_pictures_inside_a_text_keep_their_places():
    parts = shown(text("Is"), image("a.png"), text("as"), image("b.png"), text("is?"))
    assert [part.get("text", part.get("image")) for part in parts] == ["Is", "a.png", "as", "b.png", "is?"]


def test_text_alone_and_content_that_is_text():
    assert shown(text("Hi")) == [text("Hi")]
    assert read_messages([{"role": "system", "content": "Be brief."}]) == [
        {"role": "system", "content": [text("Be brief.")]}
    ]


@pytest.mark.parametrize("kind", ["video", "views"])
def test_several_pictures_as_one_visual(kind):
    parts = shown(image("a.png"), image("b.png"), text("What?"), several_images=kind)
    assert parts == [{"type": kind, kind: ["a.png", "b.png"]}, text("\nWhat?")]


def test_one_picture_stays_a_picture():
    assert shown(image("a.png"), text("What?"), several_images="views")[0]["type"] == "image"


def test_views_and_dials_of_a_part():
    views = {"type": "views", "views": ("a.png", "b.png"), "compression": 2}
    video = {"type": "video", "url": "a.mp4", "max_frames": 100}
    assert shown(views, video)[::2] == [
        {"type": "views", "views": ["a.png", "b.png"], "compression": 2},
        {"type": "video", "video": "a.mp4", "max_frames": 100},
    ]


def test_a_webm_is_a_video():
    """lmms-eval takes it for sound."""
    assert shown({"type": "audio", "url": "a.WebM"}) == [{"type": "video", "video": "a.WebM"}]


def test_a_path_inside_a_dict():
    assert shown({"type": "video", "url": {"path": "a.mp4"}}) == [{"type": "video", "video": "a.mp4"}]


def test_paths_are_found():
    messages = read_messages(
        [
            {
                "role": "user",
                "content": [
                    image(PICTURE),
                    image("a.png"),
                    {"type": "views", "views": ["b.png", PICTURE]},
                    {"type": "video", "url": "c.mp4"},
                    text("d.mp4"),
                ],
            }
        ]
    )
    assert media_paths(messages) == ["a.png", "b.png", "c.mp4"]


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ("Hi", "a message must be"),
        ({"role": "user", "content": [{"type": "audio", "url": "a.wav"}]}, "of type 'audio'; allowed: text,"),
        ({"role": "user", "content": ["Hi"]}, "a part of type None"),
        (
            {"role": "user", "content": [{"type": "video", "url": "a.mp4", "start_time": 1}]},
            "span of a video",
        ),
        ({"role": "user", "content": [{"type": "video", "url": {"url": "a", "video_end": 1}}]}, "span of a"),
    ],
)
def test_what_cannot_be_shown_is_a_sentence(message, sentence):
    with pytest.raises(ConfigError, match=sentence):
        read_messages([message])
