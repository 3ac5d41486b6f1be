"""Samples become messages: of any endpoint, and of `oryx serve`, which is told the dials."""

import base64
import io
import json
import threading

import av
import numpy as np
import pytest
from fake_chat import FakeServer
from PIL import Image

from oryx.data.synthetic import Sample
from oryx.endpoint import ChatEndpoint, EndpointError
from oryx.errors import ConfigError
from oryx.evaluation.endpoint_answers import EndpointAnswerer, lossless_video, message_of, refuse_dials
from oryx.media.image import open_image

TURNS = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "a dog"}]
NO_TEMPERATURE = json.dumps({"error": {"message": "'temperature' does not support 0"}}).encode()
OURS = {"data": [{"id": "nano", "owned_by": "oryx"}]}


@pytest.fixture
def server():
    fake = FakeServer()
    yield fake
    fake.close()


def noise(seed, height=18, width=22):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def picture(**more):
    return Sample(
        "object", [{"type": "image", "image": noise(0), "compression": 4, "detail": "low", **more}], TURNS
    )


def decoded(part):
    ((kind, url),) = ((key, part[key]["url"]) for key in ("image_url", "video_url") if key in part)
    head, data = url.split(",")
    return kind, head, base64.b64decode(data)


def test_a_video_file_keeps_every_bit():
    frames = [noise(number, 31, 17) for number in range(5)]
    with av.open(io.BytesIO(lossless_video(frames))) as container:
        there = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(there) == 5
    assert all((one == np.asarray(frame)).all() for one, frame in zip(there, frames))


def test_pictures_for_any_endpoint():
    content, extra = message_of(picture(), {}, is_oryx=False)
    assert set(content[0]) == {"type", "image_url"}
    kind, head, data = decoded(content[0])
    assert (kind, head) == ("image_url", "data:image/png;base64")
    assert (np.asarray(Image.open(io.BytesIO(data))) == np.asarray(noise(0))).all()
    assert content[1] == {"type": "text", "text": "What is it?"}
    assert extra == {}


def test_oryx_is_told_the_dials():
    content, extra = message_of(picture(), {"max_pixels": 512}, is_oryx=True)
    assert (content[0]["compression"], content[0]["detail"]) == (4, "low")
    assert extra == {"mm_processor_kwargs": {"max_pixels": 512}}


def test_videos_are_files_for_oryx_and_pictures_for_others():
    video = Sample("v", [{"type": "video", "video": [noise(0), noise(1)], "compression": 16}], TURNS)
    (file, _), extra = message_of(video, {}, is_oryx=True)
    assert (file["type"], file["compression"]) == ("video_url", 16)
    assert extra == {"mm_processor_kwargs": {"max_frames": 2}}
    content, extra = message_of(video, {}, is_oryx=False)
    assert [part["type"] for part in content] == ["image_url", "image_url", "text"]
    assert extra == {}


def test_views_are_a_scene_for_oryx():
    views = Sample("r", [{"type": "views", "views": [noise(0), noise(1)], "compression": 4}], TURNS)
    content, extra = message_of(views, {}, is_oryx=True)
    assert [part["type"] for part in content] == ["image_url", "image_url", "text"]
    assert extra == {"mm_processor_kwargs": {"views": True, "compression": 4}}
    assert message_of(views, {}, is_oryx=False)[1] == {}


def test_upright_jpeg_files_go_as_they_are_and_others_as_png(tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    noise(0).save(tmp_path / "a.jpg")
    noise(0).save(tmp_path / "b.jpg", exif=turned)
    noise(0).save(tmp_path / "c.webp", lossless=True)
    files = [tmp_path / name for name in ("a.jpg", "b.jpg", "c.webp")]
    (*parts, _), _ = message_of(
        Sample("r", [{"type": "views", "views": list(map(str, files))}], TURNS), {}, True
    )
    sent = [decoded(part) for part in parts]
    assert [head for _, head, _ in sent] == [f"data:image/{kind};base64" for kind in ("jpeg", "png", "png")]
    assert sent[0][2] == files[0].read_bytes()
    for path, (_, _, data) in zip(files, sent):
        assert (np.asarray(open_image(data)) == np.asarray(open_image(path))).all()


def ask(server, number=3, **how):
    answerer = EndpointAnswerer(ChatEndpoint(server.url, timeout=5), pause=0.001, **how)
    return [one for _, one in sorted(answerer.answer([picture()] * number, 7, {}), key=lambda one: one[0])]


def test_answers_come_in_their_order_and_greedily(server):
    server.script = lambda number, body: {
        "choices": [{"message": {"content": f" a dog {len(body['messages'])}\n"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens_details": {"visual_tokens": 30}},
    }
    answers = ask(server, requests=3)
    assert [(one.text, one.visual_tokens, one.problem) for one in answers] == [("a dog 1", 30, None)] * 3
    assert {(body["model"], body["max_tokens"], body["temperature"]) for body in server.bodies} == {
        ("seer", 7, 0)
    }


def test_an_endpoint_that_is_busy_is_asked_again(server):
    server.script = lambda number, _: 503 if number < 3 else "a dog"
    assert [one.text for one in ask(server, 1)] == ["a dog"]
    assert len(server.bodies) == 4


def test_an_endpoint_that_is_away_ends_the_run(server):
    server.script = lambda *_: 503
    with pytest.raises(EndpointError, match=r"refuses \(503"):
        ask(server, 1)
    assert len(server.bodies) == 6


def test_a_question_that_is_refused_has_no_answer_and_a_reason(server):
    server.script = lambda number, _: 400 if number == 1 else "a dog"
    answers = ask(server, requests=1)
    assert [one.text for one in answers] == ["a dog", "", "a dog"]
    assert "refuses (400" in answers[1].problem


def test_when_all_is_refused_the_run_ends(server):
    server.script = lambda *_: 400
    with pytest.raises(EndpointError, match="10 questions were refused one after the other"):
        ask(server, 30)
    assert len(server.bodies) < 30


def test_a_model_without_a_temperature(server):
    def script(_, body):
        if "temperature" in body:
            return 400, {}, NO_TEMPERATURE
        return "a dog"

    server.script = script
    assert [one.text for one in ask(server, 2, requests=1)] == ["a dog"] * 2
    assert len(server.bodies) == 3


def test_a_model_without_a_temperature_that_refuses_several_at_once(server):
    together = threading.Barrier(4)

    def script(_, body):
        if "temperature" in body:
            together.wait(5)
            return 400, {}, NO_TEMPERATURE
        return "a dog"

    server.script = script
    assert [one.text for one in ask(server, 4, requests=4)] == ["a dog"] * 4
    assert len(server.bodies) == 8


def test_asking_without_a_temperature_is_no_further_try(server):
    """Busy to the last try, which the temperature spoils: it is asked once more without."""

    def script(number, body):
        if number < 5:
            return 503
        return (400, {}, NO_TEMPERATURE) if "temperature" in body else "a dog"

    server.script = script
    assert [one.text for one in ask(server, 1)] == ["a dog"]
    assert len(server.bodies) == 7


def test_answers_are_given_as_they_come(server):
    """Three questions at once, of which one is never answered: the others are there before the run ends."""
    server.script = lambda number, _: 503 if number == 0 or number > 2 else "a dog"
    answerer = EndpointAnswerer(ChatEndpoint(server.url, timeout=5), 3, pause=0.001)
    came = answerer.answer([picture()] * 3, 7, {})
    assert [next(came)[1].text, next(came)[1].text] == ["a dog"] * 2
    with pytest.raises(EndpointError, match=r"refuses \(503"):
        next(came)


def test_a_server_that_loads_its_model_is_waited_for(server, caplog):
    loading = (503, {"Retry-After": "0.1"}, b"the model is still loading")
    server.refusals = [loading] * 3
    assert EndpointAnswerer(ChatEndpoint(server.url)).facts["model"] == "seer"
    assert "the model is still loading); it is asked again for up to 120 s." in caplog.text
    server.refusals = [loading] * 99
    with pytest.raises(ConfigError, match=r"the model is still loading\); it said so for 0\.2 s\."):
        EndpointAnswerer(ChatEndpoint(server.url, timeout=0.2))
    server.refusals = [(503, {}, b"away")]
    with pytest.raises(ConfigError, match=r"away\); is this the address of an endpoint\?"):
        EndpointAnswerer(ChatEndpoint(server.url))


def test_an_address_without_its_path(server):
    server.refusals = [(404, {}, b"not found")] * 2
    for url, told in ((server.url, "model."), (server.url.removesuffix("/v1"), "model: most end in /v1.")):
        with pytest.raises(ConfigError) as caught:
            EndpointAnswerer(ChatEndpoint(url))
        assert str(caught.value).endswith(f"check address, key and {told}")


def test_oryx_is_known_by_its_list_of_models(server):
    assert not EndpointAnswerer(ChatEndpoint(server.url)).is_oryx
    with pytest.raises(ConfigError, match="no oryx serve, and only that has a dial for --detail"):
        refuse_dials(EndpointAnswerer(ChatEndpoint(server.url)), {"--detail": "low", "--compression": []})
    server.models = OURS
    answerer = EndpointAnswerer(ChatEndpoint(server.url))
    refuse_dials(answerer, {"--detail": "low"})
    assert answerer.is_oryx
    assert answerer.facts == {
        "model": "nano",
        "endpoint": server.url,
        **dict.fromkeys(("model_sha256", "config_sha256", "num_parameters", "dtype", "device")),
    }
    with pytest.raises(ConfigError, match="at least 1"):
        EndpointAnswerer(ChatEndpoint(server.url), requests=0)
