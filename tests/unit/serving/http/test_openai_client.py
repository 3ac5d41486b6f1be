"""What the official client sees."""

import asyncio
import base64

import openai
import pytest
from fake_serving import Running, eventually, serving

from oryx.serving.engine import Sampling

PICTURE = "data:image/png;base64," + base64.b64encode(b"a picture").decode()
OTHER = "data:image/png;base64," + base64.b64encode(b"another").decode()
VIDEO = "data:video/mp4;base64," + base64.b64encode(b"a video").decode()


@pytest.fixture(scope="module")
def running():
    with serving() as server:
        yield server


@pytest.fixture
def client(running: Running):
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0) as made:
        yield made


def ask(client: openai.OpenAI, content, **more):
    return client.chat.completions.create(
        model="nano", messages=[{"role": "user", "content": content}], **more
    )


def image(url: str, **more) -> dict:
    return {"type": "image_url", "image_url": {"url": url, **more}}


def text(words: str) -> dict:
    return {"type": "text", "text": words}


def test_an_answer_with_its_usage(client):
    answer = ask(client, "one two three")
    assert answer.choices[0].message.content == "one two three"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.object, answer.model) == ("chat.completion", "nano")
    assert answer.usage.model_dump(exclude_none=True) == {
        "prompt_tokens": 13,
        "completion_tokens": 3,
        "total_tokens": 16,
        "prompt_tokens_details": {"visual_tokens": 0},
    }


def test_a_stream_is_the_same_answer_piece_by_piece(client):
    chunks = list(ask(client, "one two ünï", stream=True))
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["", "one ", "two ", "ünï", None]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None] * 4 + ["stop"]
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_stream_ends_with_its_usage_if_asked(client):
    *chunks, last = ask(client, "one two", stream=True, stream_options={"include_usage": True})
    assert all(chunk.usage is None for chunk in chunks)
    assert last.choices == []
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (7, 2)
    assert last.usage.prompt_tokens_details.visual_tokens == 0


def test_visual_tokens_are_the_same_streamed_and_whole(client):
    parts = [image(PICTURE), {"type": "video_url", "video_url": {"url": VIDEO}}, text("what?")]
    whole = ask(client, parts).usage
    *_, last = ask(client, parts, stream=True, stream_options={"include_usage": True})
    assert whole.prompt_tokens_details.visual_tokens == 20
    assert whole.prompt_tokens > 20
    assert last.usage == whole


def test_pictures_and_videos_reach_the_encoder_in_order(client, running):
    parts = [
        text("first "),
        image(PICTURE, detail="low"),
        {"type": "input_image", "image_url": OTHER, "detail": "auto", "compression": 16},
        {"type": "video_url", "video_url": {"url": VIDEO}},
        text("what?"),
    ]
    answer = ask(client, parts, extra_body={"mm_processor_kwargs": {"compression": 4, "budget": "2GB"}})
    assert answer.usage.prompt_tokens_details.visual_tokens == 30
    job = running.pool.jobs[-1]
    assert job.messages[0]["content"] == [
        text("first "),
        {"type": "image", "image": b"a picture", "detail": "low"},
        text("\n"),
        {"type": "image", "image": b"another", "compression": 16},
        text("\n"),
        {"type": "video", "video": b"a video"},
        text("\n"),
        text("what?"),
    ]
    assert (job.dials, job.budget) == ({"compression": 4}, "2GB")


def test_a_line_break_of_the_clients_own_stands_for_ours(client, running):
    ask(client, [image(PICTURE), text("\nwhat?")])
    assert running.pool.jobs[-1].messages[0]["content"][1:] == [text("\nwhat?")]


def test_every_dial_passes_through(client, running):
    dials = {
        "compression": 8,
        "max_frames": 3,
        "fps": 0.5,
        "max_pixels": 9999,
        "detail": "low",
        "focus": "1-2",
        "keyframes": True,
        "fast_resize": True,
        "timestamps": True,
    }
    extra = {"mm_processor_kwargs": dials | {"prompt_style": "eval", "budget": None}}
    ask(client, [{"type": "video_url", "video_url": {"url": VIDEO}}, text("what?")], extra_body=extra)
    job = running.pool.jobs[-1]
    assert (job.dials, job.prompt_style, job.budget) == (dials, "eval", None)


def test_views_are_one_visual(client, running):
    extra = {"mm_processor_kwargs": {"views": True, "compression": 4}}
    answer = ask(client, [image(PICTURE), text("and"), image(OTHER), text("?")], extra_body=extra)
    assert answer.usage.prompt_tokens_details.visual_tokens == 10
    job = running.pool.jobs[-1]
    views = {"type": "views", "views": [b"a picture", b"another"]}
    assert job.messages[0]["content"] == [views, text("\n"), text("and"), text("?")]


def test_roles_and_history(client, running):
    first = ask(client, "hello")
    client.chat.completions.create(
        model="nano",
        messages=[
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [image(PICTURE), text("hello")]},
            first.choices[0].message.model_dump(),
            {"role": "user", "content": "and now?", "name": "me"},
        ],
    )
    messages = running.pool.jobs[-1].messages
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "user"]
    assert messages[2]["content"] == [text("hello")]


def test_an_answer_may_be_begun_by_the_client(client, running):
    client.chat.completions.create(
        model="nano",
        messages=[{"role": "user", "content": "hi"}, {"role": "assistant", "content": "It is"}],
        extra_body={"continue_final_message": True, "add_generation_prompt": False},
    )
    assert running.pool.jobs[-1].continue_final_message


def test_answers_are_greedy_unless_told_otherwise(client, running):
    ask(client, "hi")
    assert running.engine.samplings[-1] == Sampling()


def test_sampling_passes_through(client, running):
    more = {"top_k": 5, "repetition_penalty": 1.5, "ignore_eos": True}
    ask(client, "hi", temperature=0.5, top_p=0.9, seed=7, stop="end", max_tokens=9, extra_body=more)
    expected = Sampling(9, 0.5, 0.9, 5, 1.5, ("end",), 7, True)
    assert running.engine.samplings[-1] == expected
    ask(client, "hi", max_completion_tokens=3, max_tokens=9, stop=["a", "b"], extra_body={"top_k": -1})
    assert running.engine.samplings[-1] == Sampling(3, stop=("a", "b"))


def test_an_answer_may_be_cut_at_its_length(client):
    answer = ask(client, "one two three", max_tokens=2)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("one two ", "length")


def test_without_a_length_an_answer_has_the_room_that_is_left():
    from fake_serving import FakeEngine

    with (
        serving(engine=FakeEngine(max_positions=30)) as running,
        openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0) as client,
    ):
        ask(client, "x" * 25)
        assert running.engine.samplings[-1].max_tokens == 5
        with pytest.raises(openai.BadRequestError) as caught:
            ask(client, "x" * 30)
        assert caught.value.code == "context_length_exceeded"
        assert "30 tokens" in caught.value.body["message"]
        assert caught.value.body["message"].endswith("at most 30: shorten the text.")
        with pytest.raises(openai.BadRequestError, match=r"at most 30: shorten the text or lower max_tokens"):
            ask(client, "x" * 25, max_tokens=6)
        with pytest.raises(openai.BadRequestError, match=r"at most 30: give a budget, .* or max_tokens"):
            ask(client, [image(PICTURE), text("x")], max_tokens=25)


def test_the_model_is_listed(client):
    assert [model.id for model in client.models.list()] == ["nano"]
    assert client.models.retrieve("nano").owned_by == "oryx"
    with pytest.raises(openai.NotFoundError, match=r"'other'.*'nano'"):
        client.models.retrieve("other")


@pytest.mark.parametrize(
    ("more", "param", "words"),
    [
        ({"temperature": 3}, "temperature", "at most 2"),
        ({"max_tokens": 0}, "max_tokens", "at least 1"),
        ({"max_tokens": 5000}, "messages", "reads at most 4,096"),
        ({"n": 2}, "n", "n can only be 1"),
        ({"logprobs": True}, "logprobs", "no log probabilities"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools", "no tools"),
        ({"response_format": {"type": "json_object"}}, "response_format", "plain text"),
        ({"extra_body": {"temprature": 1}}, "temprature", "did you mean 'temperature'"),
        ({"extra_body": {"mm_processor_kwargs": {"compresion": 4}}}, "mm_processor_kwargs", "'compression'"),
        (
            {"extra_body": {"mm_processor_kwargs": {"compression": 3}}},
            "mm_processor_kwargs.compression",
            "1, 2, 4",
        ),
        ({"extra_body": {"top_k": 13}}, None, "13 tokens"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_mistakes_are_told_in_one_sentence(client, more, param, words):
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, "hi", **more)
    error = caught.value.body
    assert words in error["message"]
    assert error["param"] == param
    assert error["message"].count("\n") == 0
    assert error["type"] == "invalid_request_error"


def test_media_that_cannot_be_read_or_are_not_allowed(client):
    bad = "data:image/png;base64," + base64.b64encode(b"bad").decode()
    with pytest.raises(openai.BadRequestError, match="no picture"):
        ask(client, [image(bad), text("what?")])
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, [text("look"), image("file:///etc/passwd")])
    assert (caught.value.code, caught.value.param) == ("media_not_allowed", "messages")
    with pytest.raises(openai.BadRequestError, match="no file came"):
        ask(client, [image("attachment://x")])


def test_another_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}])
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize("stream", [False, True])
def test_a_bug_is_told_without_its_inside(client, stream):
    with pytest.raises(openai.InternalServerError) as caught:
        list(ask(client, "break it", stream=stream))
    assert "secret" not in str(caught.value)
    assert "Traceback" not in str(caught.value)
    assert caught.value.type == "server_error"


def test_a_bug_in_the_midst_of_a_stream_is_its_last_event(client):
    stream = ask(client, "late trouble", stream=True)
    with pytest.raises(openai.APIError, match="inside the server") as caught:
        list(stream)
    assert "secret" not in str(caught.value)


def test_clients_at_the_same_time_get_their_own_answers(running):
    async def many() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0) as client:

            async def one(number: int) -> str:
                question = f"number {number} of many"
                content = [image(PICTURE), text(question)] if number % 3 else question
                if number % 2:
                    answer = await client.chat.completions.create(
                        model="nano", messages=[{"role": "user", "content": content}]
                    )
                    return answer.choices[0].message.content
                stream = await client.chat.completions.create(
                    model="nano", messages=[{"role": "user", "content": content}], stream=True
                )
                return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

            return [
                answer
                for _ in range(4)
                for answer in await asyncio.gather(*(one(number) for number in range(32)))
            ]

    assert asyncio.run(many()) == [f"number {number} of many" for number in range(32)] * 4


def test_a_client_that_leaves_a_stream_frees_its_place(client, running):
    stream = ask(client, "endless", stream=True, max_tokens=4000)
    next(iter(stream))
    assert len(running.engine.running) == 1
    stream.close()
    eventually(lambda: not running.engine.running, 1.0)


def test_a_client_that_does_not_wait_frees_its_place(running):
    with openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0, timeout=0.3) as client:
        with pytest.raises(openai.APITimeoutError):
            ask(client, "hold on")
        eventually(lambda: not running.engine.running, 1.0)
