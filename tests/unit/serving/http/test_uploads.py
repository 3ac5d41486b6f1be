"""Files that come with a request."""

import base64
import io
import json
import shutil
import subprocess

import pytest
from fake_serving import serving
from http_calls import CHAT, Answer, call
from PIL import Image


@pytest.fixture(scope="module")
def running():
    with serving() as server:
        yield server


def form(*fields: tuple[str, str | bytes] | tuple[str, str | bytes, str] | tuple[str, str | bytes, str, str]):
    """(name, content[, file name[, type]]) -> body and content type of a form."""
    body = b""
    for name, content, *rest in fields:
        body += f'--cut\r\nContent-Disposition: form-data; name="{name}"'.encode()
        body += f'; filename="{rest[0]}"'.encode() if rest else b""
        body += f"\r\nContent-Type: {rest[1]}".encode() if len(rest) > 1 else b""
        body += b"\r\n\r\n" + (content.encode() if isinstance(content, str) else content) + b"\r\n"
    return body + b"--cut--\r\n", "multipart/form-data; boundary=cut"


def send(running, *fields) -> Answer:
    body, kind = form(*fields)
    return call(running, "POST", CHAT, body, Content_Type=kind)


def text_of(answer: Answer) -> str:
    return json.loads(answer.body)["choices"][0]["message"]["content"]


PNG = ("file", b"a picture", "a.png", "image/png")


def test_a_question_and_a_picture(running):
    answer = send(running, ("question", "what ünder?"), PNG)
    assert text_of(answer) == "what ünder?"
    assert json.loads(answer.body)["usage"]["prompt_tokens_details"]["visual_tokens"] == 10
    content = running.pool.jobs[-1].messages[-1]["content"]
    assert content[0] == {"type": "image", "image": b"a picture"}


def test_files_stand_in_front_in_their_order(running):
    request = {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "which?"}],
        "mm_processor_kwargs": {"compression": 4, "views": False},
        "max_tokens": 5,
    }
    files = [PNG, ("file", b"a video", "b.MP4", "application/octet-stream"), ("more", b"third", "c.jpg")]
    assert text_of(send(running, ("request", json.dumps(request)), *files)) == "which?"
    job = running.pool.jobs[-1]
    visuals = [part for part in job.messages[1]["content"] if part["type"] != "text"]
    assert visuals == [
        {"type": "image", "image": b"a picture"},
        {"type": "video", "video": b"a video"},
        {"type": "image", "image": b"third"},
    ]
    assert job.dials == {"compression": 4}
    assert running.engine.samplings[-1].max_tokens == 5


def test_files_may_be_named_where_they_belong(running):
    parts = [
        {"type": "text", "text": "before "},
        {"type": "image_url", "image_url": {"url": "attachment://before", "detail": "low"}},
        {"type": "input_image", "image_url": "attachment://after"},
    ]
    request = json.dumps({"messages": [{"role": "user", "content": parts}]})
    send(
        running,
        ("after", b"2", "x", "image/png"),
        ("request", request, "request.json"),
        ("before", b"1", "x.bin"),
    )
    content = running.pool.jobs[-1].messages[0]["content"]
    assert content[1] == {"type": "image", "image": b"1", "detail": "low"}
    assert content[3] == {"type": "image", "image": b"2"}


def test_a_question_may_come_with_settings(running):
    request = json.dumps({"mm_processor_kwargs": {"views": True}})
    send(running, ("question", "how many?"), ("request", request), PNG, PNG)
    assert running.pool.jobs[-1].messages[0]["content"][0]["views"] == [b"a picture"] * 2


@pytest.mark.parametrize("file_format", ["GIF", "PNG", "WEBP"])
def test_an_animated_picture_in_front_is_a_video_as_for_oryx_ask(running, file_format):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    for num_frames, kind in ((2, "video"), (1, "image")):
        file = io.BytesIO()
        frames[0].save(file, file_format, save_all=True, append_images=frames[1:num_frames])
        send(running, ("question", "what?"), ("file", file.getvalue(), f"a.{file_format.lower()}"))
        assert running.pool.jobs[-1].messages[0]["content"][0] == {"type": kind, kind: file.getvalue()}


@pytest.mark.parametrize(
    ("files", "name"),
    [
        ([("photo", b"unreadable", "a.png")], "the file 'photo' is no"),
        ([PNG, ("photo", b"unreadable", "a.png")], "visual 2 of 2: the file 'photo' is no"),
        ([PNG, ("file", b"unreadable", "a.png")], "visual 2 of 2: the file 'file[1]' is no"),
    ],
)
def test_a_file_that_cannot_be_read_goes_by_its_field(running, files, name):
    answer = send(running, ("question", "what?"), *files)
    assert answer.status == 400
    assert answer.error["message"].startswith(name)
    assert answer.error["code"] == "invalid_media"


def test_a_file_of_views_is_told_as_one_of_them(running):
    request = json.dumps({"mm_processor_kwargs": {"views": True}})
    answer = send(running, ("question", "?"), ("request", request), PNG, ("b", b"unreadable", "b.png"))
    assert answer.error["message"].startswith("one of the 2 views is no")


def test_a_data_url_that_cannot_be_read_goes_by_its_place(running):
    url = f"data:image/png;base64,{base64.b64encode(b'unreadable').decode()}"
    parts = [{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": url}]
    answer = call(running, "POST", CHAT, {"messages": [{"role": "user", "content": parts}]})
    assert answer.error["message"].startswith("the data URL of messages[0].content[1] is no")


def test_a_question_needs_no_file(running):
    assert text_of(send(running, ("question", "alone"))) == "alone"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ([PNG], 'has files but no question: it needs a field question (curl -F question="...")'),
        ([("max_tokens", "3")], "put it in the field request (curl -F 'request={\"max_tokens\": ...}')"),
        (
            [("compression", "4"), PNG],
            "'compression' is text and a dial: put it in the field request (curl -F",
        ),
        ([("compression", "4"), PNG], '\'request={"mm_processor_kwargs": {"compression": ...}}\''),
        ([("text", "what?"), PNG], "did you mean question"),
        ([("qestion", "what?"), PNG], "did you mean question"),
        ([("other", "what?"), PNG], "fields are files (curl -F other=@FILE)"),
        (
            [("question", "a"), ("a[0]", b"", "a.png"), ("a", b"", "a.png"), ("a", b"", "a.png")],
            "too much alike",
        ),
        ([("request", "{"), PNG], "the field request is no JSON"),
        ([("request", "[]"), PNG], "must be a JSON object"),
        ([("request", "{}"), PNG], "has files but no question: add one (curl -F question"),
        ([("request", '{"messages": 3}'), PNG], "a last message"),
        ([("request", '{"messages": [{"role": "user", "content": 3}]}'), PNG], "a last message"),
        ([("question", "a"), ("question", "b")], "'question' twice"),
        ([("question", "a"), ("request", '{"messages": []}')], "leave one of them out"),
        ([("question", b"\xff", "question.txt"), PNG], "question is not UTF-8"),
        ([("question", "a"), ("max_tokens", "3")], "'max_tokens' is text"),
        ([("question", "a"), ("doc", b"", "a.pdf", "application/pdf")], "neither a picture nor a video"),
        ([("question", "a"), ("doc", b"", "a")], "neither a picture nor a video"),
    ],
)
def test_forms_that_cannot_be(running, fields, words):
    answer = send(running, *fields)
    assert answer.status == 400
    assert words in answer.error["message"]


def named(*names: str) -> tuple[str, str]:
    parts = [{"type": "image_url", "image_url": {"url": f"attachment://{name}"}} for name in names]
    return "request", json.dumps({"messages": [{"role": "user", "content": parts}]})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ([named("a", "b"), ("a", b"1", "a.png")], "no attachment 'b'; the files are a"),
        ([named("a"), ("a", b"1", "a.png"), ("b", b"2", "b.png")], "nothing in the request names the file"),
        ([named("a"), ("a", b"1", "a.png"), ("a", b"2", "b.png")], "cannot mean both"),
    ],
)
def test_names_that_do_not_fit_the_files(running, fields, words):
    answer = send(running, *fields)
    assert answer.status == 400
    assert words in answer.error["message"]


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("multipart/form-data", b"--cut\r\n", 400),
        ("multipart/form-data; boundary=", b"--cut\r\n", 400),
        ("multipart/form-data; boundary=other", form(("question", "a"))[0], 400),
        ("multipart/form-data; boundary=cut", form(("question", "a"))[0][:-20], 400),
        ("multipart/form-data; boundary=cut", b"", 400),
        ("multipart/form-data; boundary=cut", b"\x00\xff" * 99, 400),
        ("multipart/form-data; boundary=cut", form(*[("file", b"x", "a.png")] * 1100)[0], 400),
        # This encoding can spell half of a character: a place for one to get through.
        ("multipart/form-data; boundary=cut; charset=utf-7", form(("question", "+2AA-"))[0], 400),
        ("multipart/form-data; boundary=cut; charset=utf-7", form(("+2AA-", "x"))[0], 400),
        (
            "multipart/form-data; boundary=cut; charset=utf-7",
            form(("request", "{}"), ("+2AA-", "x", "a"))[0],
            400,
        ),
        ("multipart/mixed; boundary=cut", form(("question", "a"))[0], 415),
        ("text/plain", b"{}", 415),
        ("application/x-www-form-urlencoded", b"question=a", 415),
        ("", b"{}", 415),
    ],
)
def test_bodies_that_are_no_form(running, kind, body, status):
    answer = call(running, "POST", CHAT, body, Content_Type=kind)
    assert answer.status == status
    assert answer.error["message"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl(running, tmp_path):
    picture = tmp_path / "scene.png"
    picture.write_bytes(b"a picture")
    line = ["curl", "-sS", f"{running.url}{CHAT}", "-F", "question=Where is it?", "-F", f"file=@{picture}"]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["choices"][0]["message"]["content"] == "Where is it?"
    assert running.pool.jobs[-1].messages[0]["content"][0] == {"type": "image", "image": b"a picture"}


def test_a_codec_of_the_clients_choice_is_refused(running):
    body, kind = form(("question", "what?"))
    answer = call(running, "POST", CHAT, body, Content_Type=f"{kind}; charset=punycode")
    assert answer.status == 400
    assert "charset" in answer.error["message"]
    assert call(running, "POST", CHAT, body, Content_Type=f'{kind}; charset="UTF-8"').status == 200
