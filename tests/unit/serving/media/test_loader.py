"""What `load` makes of each kind of source, and the room that all media of a request share."""

import asyncio
import base64
from pathlib import Path

import pytest

from oryx.errors import ConfigError, OryxError
from oryx.serving.errors import RequestError
from oryx.serving.media import loader as loader_module
from oryx.serving.media.loader import MediaLoader
from oryx.serving.media.policy import MediaPolicy


def load(source: object, kind: str = "image", **policy: object) -> bytes | Path:
    return asyncio.run(MediaLoader(MediaPolicy(**policy)).load(source, kind))  # type: ignore[arg-type]


def refusal(source: object, kind: str = "image", **policy: object) -> RequestError:
    with pytest.raises(RequestError) as error:
        load(source, kind, **policy)
    assert str(error.value).endswith(".")
    return error.value


def data_url(data: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize(
    "media_type",
    ["image/png", "", "IMAGE/PNG", "text/html", "image/png;charset=utf-8", "no type at all", ";;"],
)
def test_a_data_url_of_any_type(media_type: str):
    assert load(data_url(b"picture", media_type)) == b"picture"
    assert (
        load(data_url(b"video", media_type).replace("data:", "DATA:").replace(";base64", ";BASE64"))
        == b"video"
    )


@pytest.mark.parametrize(
    "source",
    [
        *("data:", "data:image/png", "data:image/png;base64", "data:,picture", "data:image/png,picture"),
        *(
            "data:;base64,",
            "data:;base64,====",
            "data:;base64,QUJ",
            "data:;base64,QUJD\n",
            "data:;base64,QU JD",
        ),
        *(
            "data:;base64,QUJD-_",
            "data:;base64,QUJDé",
            "data:" + "x" * 300 + ";base64,QUJD",
            "data:;base64;,QUJD",
        ),
        *("data:;base64,QQ==QUJD", "data:;base64,QUJD%20"),
    ],
)
def test_a_data_url_that_is_none(source: str):
    error = refusal(source)
    assert (error.status, error.code, error.param) == (400, "invalid_data_url", "messages")


def test_the_size_of_a_data_url_is_known_before_it_is_decoded(monkeypatch):
    assert load(data_url(bytes(1000)), max_bytes=1000) == bytes(1000)
    monkeypatch.setattr("base64.b64decode", None)
    for source in (data_url(bytes(1003)), "data:;base64," + "?" * 4000):
        error = refusal(source, max_bytes=1000)
        assert (error.status, error.code) == (413, "media_too_large")
        assert "1,000 bytes" in str(error)


def test_nothing_but_data_by_default(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"picture")
    for source in (str(tmp_path / "a.png"), f"file://{tmp_path}/a.png", "a.png", "/etc/passwd", "~/a.png"):
        error = refusal(source)
        assert "opens none to requests; allowed are data: URLs." in str(error)
    for source in ("http://example.com/a.png", "HTTPS://example.com/a.png"):
        assert "this server fetches nothing" in str(refusal(source))
    for source in (
        "ftp://example.com/a",
        "gopher://x/",
        "jar://a",
        "rtsp://camera/1",
        "s3://bucket/a",
        "a+b://c",
    ):
        assert "unknown scheme" in str(refusal(source))
    for source in (
        "concat:/etc/passwd",
        "javascript:alert(1)",
        "subfile,,start,0,end,9,,:/etc/passwd",
        "|id",
    ):
        assert refusal(source, media_root=tmp_path).status == 400
    for source in ("", None, 5, b"a", ["a"], {"url": "a"}):
        assert "as text" in str(refusal(source))


def test_files_of_the_root(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(b"picture")
    (tmp_path / "views").mkdir()
    assert load("a.png", media_root=tmp_path) == b"picture"
    assert load("a.png", "video", media_root=tmp_path) == tmp_path / "a.png"
    assert load("views", "views", media_root=tmp_path) == tmp_path / "views"
    assert "views are a folder" in str(refusal(data_url(b"x"), "views"))


def test_media_of_a_request_share_their_room(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(bytes(60))
    loader = MediaLoader(MediaPolicy(media_root=tmp_path, max_bytes=60, max_total_bytes=150, max_visuals=3))
    sources = [(data_url(bytes([number] * 40)), "image") for number in range(3)]
    assert asyncio.run(loader.load_all(sources)) == [bytes([number] * 40) for number in range(3)]
    for more in ([("a.png", "image")] * 3, [*sources[:2], (data_url(bytes(61)), "image")]):
        with pytest.raises(RequestError) as error:
            asyncio.run(loader.load_all(more))
        assert error.value.status == 413
    with pytest.raises(RequestError, match="has 4 media; at most 3"):
        asyncio.run(loader.load_all([*sources, sources[0]]))
    assert asyncio.run(loader.load_all([])) == []


def test_fetching_needs_its_library(monkeypatch):
    monkeypatch.setattr(loader_module, "find_spec", lambda name: None)
    MediaLoader(MediaPolicy())
    with pytest.raises(ConfigError, match=r"oryx-mllm\[serve\]"):
        MediaLoader(MediaPolicy(allowed_hosts=("example.com",)))


def test_a_refusal_is_one_of_ours_and_looks_like_openais():
    error = refusal("ftp://x/")
    assert isinstance(error, OryxError)
    assert error.to_dict()["error"] == {
        "message": str(error),
        "type": "invalid_request_error",
        "param": "messages",
        "code": "invalid_media",
    }
