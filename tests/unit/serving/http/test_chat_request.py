"""Every parameter of a chat request: what is allowed, and the sentence for what is not."""

import json
import time

import pytest

from oryx.serving.errors import RequestError
from oryx.serving.http.chat_request import check_request
from oryx.serving.http.dials import REQUEST_DIALS
from oryx.serving.http.reading import parse_object

HELLO = [{"role": "user", "content": "hi"}]
URL = {"url": "data:,"}


def check(**fields):
    return check_request({"messages": HELLO, **fields}, max_images=2, max_videos=1)


def refusal(**fields) -> RequestError:
    with pytest.raises(RequestError) as caught:
        check(**fields)
    error = caught.value
    assert error.status == 400
    assert error.message.endswith(".")
    assert "\n" not in error.message
    assert "pydantic" not in error.message
    return error


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("temperature", "0.5", "must be a number, not '0.5'"),
        ("temperature", -0.1, "at least 0"),
        ("temperature", 10**400, "temperature"),
        ("max_tokens", 1.5, "must be a whole number, not 1.5"),
        ("max_tokens", True, "must be a whole number, not True"),
        ("max_completion_tokens", 0, "at least 1"),
        ("top_p", 0, "above 0"),
        ("top_p", 1.1, "at most 1"),
        ("top_k", -2, "at least -1"),
        ("repetition_penalty", 0, "at least 0.01"),
        ("seed", 2**63, "at most 9223372036854775807"),
        ("seed", "x" * 1000, "must be a whole number"),
        ("stream", "yes", "must be true or false"),
        ("ignore_eos", 1, "must be true or false"),
        ("stop", 5, "must be a list, not 5"),
        ("stop", ["a", ""], "stop[1] must not be empty"),
        ("stop", ["a"] * 17, "at most 16 entries, not 17"),
        ("stream_options", {"include_usag": True}, "stream_options.include_usag is not known"),
        ("stream_options", [], "must be an object, not a list"),
        ("model", 3, "must be text"),
        ("messages", [], "at least 1 entries"),
        ("messages", "hi", "must be a list, not 'hi'"),
        ("messages", [3], "messages[0] must be an object, not 3"),
        ("messages", [{"content": "hi"}], "messages[0].role is missing"),
        ("messages", [{"role": "tool", "content": "hi"}], "'system', 'developer', 'user' or 'assistant'"),
        ("messages", [{"role": "user", "content": 3}], "must be text or a list of parts, not 3"),
        ("messages", [{"role": "assistant", "tool_calls": [{}]}], "messages[0].tool_calls is not known"),
        ("mm_processor_kwargs", 3, "must be an object, not 3"),
    ],
)
def test_a_parameter_that_cannot_be(name, value, words):
    error = refusal(**{name: value})
    assert words in error.message
    assert error.param.startswith(name)
    assert len(error.message) < 300


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (3, "content[0] must be an object, not 3"),
        ({}, "must be an object with a type"),
        ({"type": "text"}, "content[0].text is missing"),
        ({"type": "text", "text": 3}, "content[0].text must be text, not 3"),
        ({"type": "video"}, "content[0].type is 'video'; did you mean 'video_url'"),
        (
            {"type": "input_audio", "input_audio": {}},
            "content[0].type is 'input_audio'; the known types are text, input_text, output_text, image_url,",
        ),
        ({"type": ["text"]}, "content[0].type is"),
        ({"type": "image_url"}, "content[0].image_url is missing"),
        ({"type": "image_url", "image_url": {}}, "content[0].image_url.url is missing"),
        ({"type": "image_url", "image_url": 3}, "content[0].image_url must be an object, not 3"),
        ({"type": "image_url", "image_url": ""}, "image_url.url must not be empty"),
        (
            {"type": "image_url", "image_url": {"url": "x", "detail": "big"}},
            "'auto', 'high' or 'low', not 'big'",
        ),
    ],
)
def test_a_part_that_cannot_be(part, words):
    assert words in refusal(messages=[{"role": "user", "content": [part]}]).message


@pytest.mark.parametrize("role", ["system", "developer", "assistant"])
def test_only_users_show_pictures(role):
    messages = [{"role": role, "content": [{"type": "image_url", "image_url": URL}]}]
    assert f"messages[0] is of role {role}" in refusal(messages=messages).message


@pytest.mark.parametrize(
    ("name", "neutral", "other"),
    [
        ("n", 1, 2),
        ("logprobs", False, True),
        ("top_logprobs", 0, 3),
        ("logit_bias", {}, {"1": 2}),
        ("frequency_penalty", 0.0, 0.5),
        ("presence_penalty", 0, -1),
        ("response_format", {"type": "text"}, {"type": "json_object"}),
        ("tools", [], [{"type": "function"}]),
        ("tool_choice", "auto", "required"),
        ("modalities", ["text"], ["text", "audio"]),
        ("reasoning_effort", None, "high"),
        ("user", "me", None),
        ("metadata", {"a": "b"}, None),
    ],
)
def test_what_is_not_supported_may_be_left_at_nothing(name, neutral, other):
    check(**{name: neutral})
    if other is not None:
        error = refusal(**{name: other})
        assert (error.code, error.param) == ("unsupported_parameter", name)


def test_null_is_the_same_as_left_out():
    names = ("model", "temperature", "stop", "stream_options", "mm_processor_kwargs", "n", "tools")
    assert check(**dict.fromkeys(names)).body == check().body


def test_an_unknown_parameter_is_told_with_the_nearest():
    error = refusal(max_token=3)
    assert (error.code, error.param) == ("unknown_parameter", "max_token")
    assert "did you mean 'max_tokens'" in error.message


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "compression",
            'compression is a dial: put it in mm_processor_kwargs, as in {"mm_processor_kwargs": ',
        ),
        ("views", "views is a dial"),
        ("extra_body", "an argument of the Python client: in JSON, what it holds goes at the top level"),
    ],
)
def test_what_belongs_elsewhere_is_told_its_place(name, words):
    error = refusal(**{name: 4})
    assert (error.code, error.param) == ("unknown_parameter", name)
    assert words in error.message


@pytest.mark.parametrize(
    ("dial", "value", "words"),
    [
        ("compression", 3, "1, 2, 4, 8, 16"),
        ("compression", "4", "1, 2, 4, 8, 16"),
        ("compression", [4, {}], "1, 2, 4, 8, 16"),
        ("max_frames", 0, "at least 1"),
        ("max_pixels", 10**300, "is above"),
        ("fps", True, "above 0"),
        ("detail", "big", "'auto' or 'high' or 'low'"),
        ("budget", "lots", "visual tokens such as 4096"),
        ("budget", {"cores": 3}, "no 'cores'"),
        ("budget", [[[]]], "budget"),
        ("focus", "9" * 5000, "5,000 characters"),
        ("focus", {"a": 1}, "times such as"),
        ("focus", ["1-2"] * 30_000, "30,000 entries"),
        ("keyframes", "yes", "true or false"),
        ("fast_resize", 1, "true or false"),
        ("timestamps", [], "true or false"),
        ("views", "yes", "true or false"),
        ("prompt_style", "odd", "'train' or 'eval'"),
        ("max_visual_tokens", -1, "at least 1"),
    ],
)
def test_a_dial_that_cannot_be(dial, value, words):
    error = refusal(mm_processor_kwargs={dial: value})
    assert words in error.message
    assert error.param == f"mm_processor_kwargs.{dial}"
    assert error.code == "invalid_dial"


def test_a_dial_that_is_nested_without_end():
    nested: list = []
    for _ in range(900):
        nested = [nested]
    assert "nested more than 4 deep" in refusal(mm_processor_kwargs={"compression": nested}).message


def test_a_dial_is_quoted_as_far_as_anybody_reads():
    assert len(refusal(mm_processor_kwargs={"focus": ["x" * 1000] * 1000}).message) < 600


@pytest.mark.parametrize("name", ["compresion", "subtitles", "marks", "image", "", "x" * 1000])
def test_an_unknown_dial(name):
    error = refusal(mm_processor_kwargs={name: 1})
    assert error.code == "unknown_dial"
    assert len(error.message) < 400


def test_dials_that_can_be():
    given = {
        "compression": [4, 16],
        "budget": {"tokens": 100, "memory": "2GB"},
        "focus": [[1, 2.5]],
        "detail": "auto",
        "max_frames": None,
    }
    dials = check(mm_processor_kwargs=given).dials
    assert dials.visual == {"compression": [4, 16], "focus": [[1, 2.5]]}
    assert (dials.budget, dials.views) == (given["budget"], False)
    assert set(given) < set(REQUEST_DIALS)


def test_answers_of_the_client_come_back_as_they_were_sent():
    answer = {"role": "assistant", "content": "x", "refusal": None, "annotations": [], "tool_calls": None}
    assert check(messages=[*HELLO, answer]).body.messages[1].role == "assistant"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"continue_final_message": True}, "continue_final_message"),
        ({"add_generation_prompt": False}, "add_generation_prompt"),
    ],
)
def test_beginnings_of_answers_that_cannot_be(fields, param):
    assert refusal(**fields).param == param


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no JSON: Expecting value at line 1"),
        (b'{"a": 1,}', "no JSON"),
        (b"[1]", "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'{"a": NaN}', "a number of it is none"),
        (b'{"a": -Infinity}', "a number of it is none"),
        (b'{"a": ' + b"9" * 5000 + b"}", "a number of it is none"),
        (b'{"a": "\xff"}', "not UTF-8"),
        ('{"a": "x"}'.encode("utf-16"), "not UTF-8"),
        (b'{"a": "\\ud800"}', "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[" * 1_000_000, "1,000,000 commas and opening brackets"),
        (b'\xef\xbb\xbf{"a": 1}', "no JSON"),
    ],
)
def test_bodies_that_are_no_object(body, words):
    with pytest.raises(RequestError, match="the body") as caught:
        parse_object(body, "the body")
    assert words in caught.value.message


@pytest.mark.parametrize("value", ["[]", "{}", "1", '""', '{"a": 1}'])
def test_more_values_than_anybody_needs_are_not_read(value):
    body = f'{{"a": [{",".join([value] * 3_000_000)}]}}'.encode()
    began = time.process_time()
    with pytest.raises(RequestError, match="commas and opening brackets; at most 200,000"):
        parse_object(body, "the body")
    assert time.process_time() - began < 0.5


def test_characters_beyond_the_first_plane_are_whole():
    assert parse_object(json.dumps({"a": "😀"}).encode(), "the body") == {"a": "😀"}


@pytest.mark.parametrize("content", [[""] * 300_000, [1] * 300_000])
def test_more_parts_than_anybody_needs_are_refused_unread(content):
    began = time.process_time()
    error = refusal(messages=[{"role": "user", "content": content}])
    assert error.code == "too_many_parts"
    assert time.process_time() - began < 0.5


def test_more_messages_than_anybody_needs_are_refused_unread():
    assert refusal(messages=[1] * 20_000).code == "too_many_parts"
