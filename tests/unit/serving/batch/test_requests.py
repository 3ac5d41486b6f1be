"""Rows to jobs: every form that a row may have, and a sentence for what it may not."""

import base64
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from oryx.errors import OryxError
from oryx.serving.batch.inputs import Row
from oryx.serving.batch.places import Places
from oryx.serving.batch.requests import RowDefaults, read_row
from oryx.serving.engine import Sampling

EXAMPLES = Path(__file__).parents[4] / "examples"


@pytest.fixture
def folder(tmp_path):
    """A picture, an animation, a video that nobody could read, and two views."""
    picture = Image.new("RGB", (8, 8), "red")
    picture.save(tmp_path / "a.png")
    picture.save(tmp_path / "b.JPG", "JPEG")
    picture.save(tmp_path / "plain.gif")
    picture.save(tmp_path / "moving.gif", save_all=True, append_images=[Image.new("RGB", (8, 8), "blue")])
    (tmp_path / "clip.mp4").write_bytes(b"no video")
    (tmp_path / "clip.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n")
    shutil.copy(tmp_path / "a.png", tmp_path / "unnamed")
    shutil.copy(EXAMPLES / "order.mp4", tmp_path / "bare")
    (tmp_path / "room").mkdir()
    for name in ("1.png", "2.png"):
        picture.save(tmp_path / "room" / name)
    return tmp_path


@pytest.fixture
def read(folder):
    """(row, defaults) -> job and sampling."""

    def start(content, places=None, **defaults):
        row = Row(0, 1, content.get("id", "x"), content)
        return read_row(row, RowDefaults(places or Places(folder), **defaults))

    return start


@pytest.fixture
def refuse(read):
    """Row -> the sentence about it."""

    def start(content, **defaults):
        with pytest.raises(OryxError) as caught:
            read(content, **defaults)
        return str(caught.value)

    return start


def content_of(read, **row):
    job, _ = read(row)
    (message,) = job.messages
    assert message["role"] == "user"
    return message["content"]


def text(words):
    return {"type": "text", "text": words}


def test_media_stand_in_front_of_the_question(read, folder):
    content = content_of(read, question="What?", media=["a.png", "clip.mp4"])
    assert content == [
        {"type": "image", "image": folder / "a.png"},
        text("\n"),
        {"type": "video", "video": folder / "clip.mp4"},
        text("\nWhat?"),
    ]
    assert content_of(read, question="What?") == [text("What?")]
    assert content_of(read, question="What?", media="a.png") == [
        {"type": "image", "image": folder / "a.png"},
        text("\nWhat?"),
    ]


def test_media_stand_where_the_question_says(read, folder):
    content = content_of(read, question="Is <image> like <image>?", media=["a.png", "b.JPG"])
    assert content == [
        text("Is "),
        {"type": "image", "image": folder / "a.png"},
        text(" like "),
        {"type": "image", "image": folder / "b.JPG"},
        text("?"),
    ]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.png", "image"),
        ("b.JPG", "image"),
        ("plain.gif", "image"),
        ("moving.gif", "video"),
        ("clip.mp4", "video"),
        ("unnamed", "image"),
        ("bare", "video"),
        ("room", "views"),
    ],
)
def test_a_file_is_what_it_is(read, folder, name, kind):
    first = content_of(read, question="What?", media=name)[0]
    assert first == {"type": kind, kind: folder / name}
    absolute = content_of(read, question="What?", media=str(folder / name))[0]
    assert absolute == first


def test_a_folder_of_which_frames_are_taken_is_a_video(read, folder):
    job, _ = read({"question": "What?", "media": "room", "max_frames": 2})
    assert job.messages[0]["content"][0] == {"type": "video", "video": folder / "room"}
    job, _ = read({"question": "What?", "media": "room"}, dials={"fps": 1})
    assert job.messages[0]["content"][0]["type"] == "video"


def test_all_pictures_are_one_scene_if_the_row_says_so(read, folder):
    content = content_of(read, question="How many?", media=["a.png", "room"], views=True)
    room = [folder / "room" / "1.png", folder / "room" / "2.png"]
    assert content == [{"type": "views", "views": [folder / "a.png", *room]}, text("\nHow many?")]


def test_data_urls_are_their_bytes(read, folder):
    data = (folder / "a.png").read_bytes()
    url = "data:image/png;base64," + base64.b64encode(data).decode()
    assert content_of(read, question="What?", media=url)[0] == {"type": "image", "image": data}
    part = {"type": "image_url", "image_url": {"url": url}}
    job, _ = read({"messages": [{"role": "user", "content": [part]}]})
    assert job.messages[0]["content"] == [{"type": "image", "image": data}]


def test_messages_keep_their_parts_and_dials(read, folder):
    messages = [
        {"role": "developer", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "image", "image": "a.png", "compression": 4},
                {"type": "text", "text": "\nAnd"},
                {"type": "video_url", "video_url": {"url": "clip.mp4"}, "subtitles": "clip.srt"},
                {"type": "text", "text": "what?"},
                {"type": "views", "views": ["a.png", "b.JPG"]},
            ],
        },
        {"role": "assistant", "content": "Red."},
        {"role": "user", "content": "Why?"},
    ]
    expected = (
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "image", "image": folder / "a.png", "compression": 4},
                text("\nAnd"),
                {"type": "video", "video": folder / "clip.mp4", "subtitles": folder / "clip.srt"},
                text("\n"),
                text("what?"),
                {"type": "views", "views": [folder / "a.png", folder / "b.JPG"]},
            ],
        },
        *messages[2:],
    )
    assert read({"messages": messages})[0].messages == expected
    assert read({"messages": json.dumps(messages)})[0].messages == expected  # a column of a table


def test_dials_of_a_row_go_before_those_of_the_batch(read, folder):
    row = {"question": "What?", "media": "a.png", "compression": 4, "budget": "2GB", "subtitles": "clip.srt"}
    job, _ = read(row, dials={"compression": 16, "fps": 2.0, "budget": 100, "prompt_style": "eval"})
    assert job.dials == {"compression": 4, "fps": 2.0, "subtitles": folder / "clip.srt"}
    assert (job.budget, job.prompt_style) == ("2GB", "eval")


def test_rows_of_openai_s_batches_are_read(read, folder):
    part = {"type": "image_url", "image_url": {"url": "a.png", "detail": "low"}}
    body = {
        "model": "gpt",
        "messages": [{"role": "user", "content": [part, text("What?")]}],
        "max_completion_tokens": 9,
        "mm_processor_kwargs": {"compression": 2, "budget": 50},
        "metadata": {"any": "thing"},
    }
    row = {"custom_id": "x", "method": "POST", "url": "/v1/chat/completions", "body": body}
    job, sampling = read(row)
    assert job.messages[0]["content"] == [
        {"type": "image", "image": folder / "a.png", "detail": "low"},
        text("\n"),
        text("What?"),
    ]
    assert (dict(job.dials), job.budget, sampling.max_tokens) == ({"compression": 2}, 50, 9)


def test_sampling_of_a_row_goes_before_that_of_the_batch(read):
    defaults = Sampling(max_tokens=5, top_p=0.5)
    _, sampling = read({"question": "x", "max_tokens": 7, "stop": "END", "top_k": -1}, sampling=defaults)
    assert sampling == Sampling(max_tokens=7, top_p=0.5, stop=("END",))
    assert read({"question": "x"})[1] == Sampling(max_tokens=256)
    assert read({"question": "x", "stop": ["a", "b"]})[1].stop == ("a", "b")


def test_a_sampled_row_has_a_seed_of_its_own_that_stays(read):
    def seed_of(row_id, batch_seed=0, **row):
        defaults = Sampling(max_tokens=5, temperature=0.7, seed=batch_seed)
        return read({"id": row_id, "question": "x", **row}, sampling=defaults)[1].seed

    assert seed_of("a") == seed_of("a")
    assert len({seed_of("a"), seed_of("b"), seed_of("a", 1)}) == 3
    assert 0 <= seed_of("a") < 2**31
    assert seed_of("a", seed=3) == 3


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"question": "x", "compresion": 4}, "no key 'compresion'; did you mean 'compression'"),
        ({"question": "x", "label": 4}, "a row has no key 'label'"),
        ({}, "needs messages, or a question"),
        ({"question": " "}, "needs messages, or a question"),
        ({"question": 5}, "needs messages, or a question"),
        ({"question": "x", "messages": [{"role": "user", "content": "x"}]}, "either messages or a question"),
        ({"question": "x", "media": {"a": 1}}, "media must be a path or a list of paths"),
        ({"question": "x", "media": [""]}, "media must be a path or a list of paths"),
        ({"question": "x", "media": "none.png"}, "'none.png' does not exist; relative paths start from /"),
        ({"question": "x", "media": "a\0b"}, "does not exist"),
        ({"question": "x", "media": "y" * 5000}, "is no path"),
        ({"question": "x", "media": "http://a.org/b.png"}, "is not fetched from the network"),
        ({"question": "x", "media": "data:image/png;base64,?"}, "does not decode"),
        ({"question": "<image> <image>", "media": "a.png"}, "the question has 2 <image> but 1 media"),
        ({"question": "x", "media": "clip.mp4", "views": True}, "a video is among them"),
        ({"question": "x", "views": "yes"}, "views must be true or false"),
        ({"question": "x", "budget": "5 apples"}, "budget"),
        ({"question": "x", "fps": -1}, "fps must be a number above 0"),
        ({"question": "x", "subtitles": "none.srt"}, "'none.srt' does not exist"),
        ({"messages": []}, "a list of at least one message"),
        ({"messages": "{"}, "a text that is no JSON"),
        ({"messages": ["x"]}, "message 0 must be"),
        ({"messages": [{"role": "user", "content": 5}]}, "the content of message 0 must be text or a list"),
        ({"messages": [{"role": "user", "content": [5]}]}, "part 0 of message 0 must be text or an object"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "part 0 of message 0 has no text"),
        ({"messages": [{"role": "user", "content": [{"type": "sound"}]}]}, "type cannot be 'sound'"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "image": "a.png", "fps": 1}]}]},
            "a visual of type 'image' has no key 'fps'",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "image": 5}]}]},
            "the source of part 0 of message 0 must be a path",
        ),
        ({"question": "x", "max_tokens": 0}, "max_tokens is 0; at least 1 is needed"),
        ({"question": "x", "max_tokens": "many"}, "max_tokens is 'many'; it must be a whole number"),
        ({"question": "x", "max_tokens": 1, "max_new_tokens": 2}, "say the same; leave one out"),
        ({"question": "x", "temperature": -1}, "temperature is -1.0; 0 (greedy) or a finite number above"),
        ({"question": "x", "top_p": 0}, "top_p is 0.0; a number above 0 and up to 1"),
        ({"question": "x", "top_k": -2}, "top_k is -2"),
        ({"question": "x", "repetition_penalty": 0}, "repetition_penalty is 0.0; a number from"),
        ({"question": "x", "stop": [""]}, "a stop text is empty"),
        ({"question": "x", "stop": 5}, "stop is 5; it must be a list"),
        ({"question": "x", "seed": 2**64}, "seed is 18446744073709551616; a whole number of 64 bits"),
        ({"custom_id": "x"}, "the body of a row of OpenAI's batch format must be an object"),
        ({"custom_id": "x", "body": {}, "url": "/v1/embeddings"}, "must be a POST to /v1/chat/completions"),
        ({"custom_id": "x", "body": {"n": 2}}, "n must be 1"),
        ({"custom_id": "x", "body": {"tools": []}}, "the body of a row has no key 'tools'"),
        ({"custom_id": "x", "body": {"mm_processor_kwargs": {"ratio": 1}}}, "mm_processor_kwargs has no key"),
        ({"custom_id": "x", "body": {"mm_processor_kwargs": 1}}, "must be an object of dials"),
        ({"custom_id": "x", "body": {"messages": [], "max_tokens": 1}, "question": "x"}, "no key 'question'"),
    ],
)
def test_what_is_wrong_with_a_row_is_said(refuse, row, sentence):
    assert sentence in refuse(row)


def test_keys_that_are_not_to_be_read_are_not(read):
    job, _ = read({"question": "x", "label": 4, "split": "test"}, ignored=frozenset({"label", "split"}))
    assert job.messages[0]["content"] == [text("x")]


def test_a_video_is_not_opened_to_tell_what_it_is(read, monkeypatch):
    def fail(*_, **__):
        raise AssertionError("opened")

    monkeypatch.setattr("oryx.media.container.open_container", fail)
    for name in ("clip.mp4", "bare"):
        assert content_of(read, question="x", media=name)[0]["type"] == "video"


def test_nothing_outside_of_the_fence_is_named(read, folder):
    inside = Places(folder / "room", (folder / "room").resolve())
    (folder / "room" / "link.png").symlink_to(folder / "a.png")
    for name in ("../a.png", str(folder / "a.png"), "link.png", "../none.png"):
        with pytest.raises(OryxError, match="is outside of the media root"):
            read({"question": "x", "media": name}, inside)
    assert content_of(lambda row: read(row, inside), question="x", media="1.png")
