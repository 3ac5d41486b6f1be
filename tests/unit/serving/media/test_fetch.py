"""Addresses: every way to send a server somewhere else, or to keep it busy. All traffic stays here."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest
from media_server import BadServer, is_this_machine, redirect, response

from oryx.serving.errors import RequestError
from oryx.serving.media.loader import MediaLoader
from oryx.serving.media.policy import MediaPolicy


async def to_this_machine(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


def fetch(answers: dict[str, Any], path: str = "/a.png", resolve: Any = to_this_machine, **settings: Any):
    """(body or refusal, what was asked, seconds) of one address of `media.test`."""

    async def run():
        async with BadServer() as server:
            hosts = (f"media.test:{server.port}", f"other.test:{server.port}")
            server.answers = {
                name: answer(server.port) if callable(answer) and answer.__name__ == "<lambda>" else answer
                for name, answer in answers.items()
            }
            policy = MediaPolicy(allowed_hosts=hosts, **{"total_seconds": 5.0, **settings})
            loader = MediaLoader(policy, resolve=resolve, is_allowed_address=is_this_machine)
            began = time.monotonic()
            try:
                result: Any = await loader.load(f"http://media.test:{server.port}{path}", "image")
            except RequestError as error:
                result = error
            return result, server, time.monotonic() - began

    return asyncio.run(run())


def test_a_body_arrives_and_the_name_is_kept():
    body, server, _ = fetch({"/a.png?x=1": response(b"picture")}, "/a.png?x=1#part")
    assert body == b"picture"
    assert server.asked == [f"/a.png?x=1 media.test:{server.port}"]
    assert b"accept-encoding: identity" in server.requests[0].lower()


def test_the_environment_has_no_say(monkeypatch, tmp_path):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    (tmp_path / ".netrc").write_text("machine media.test login me password secret")
    monkeypatch.setenv("HOME", str(tmp_path))
    body, server, _ = fetch({"/a.png": response(b"picture")})
    assert body == b"picture"
    assert b"authorization" not in server.requests[0].lower()


@pytest.mark.parametrize("answer", [["127.0.0.1"], ["10.0.0.1"], ["8.8.8.8", "169.254.169.254"], ["::1"], []])
def test_a_name_that_leads_inside_is_not_connected_to(answer: list[str]):
    """With the judge that servers have."""

    async def resolve(host: str, port: int) -> list[str]:
        return answer

    async def run() -> BadServer:
        async with BadServer() as server:
            policy = MediaPolicy(allowed_hosts=(f"media.test:{server.port}",))
            loader = MediaLoader(policy, resolve=resolve)
            with pytest.raises(RequestError, match="not on the public network") as error:
                await loader.load(f"http://media.test:{server.port}/a.png", "image")
            assert error.value.status == 400
            return server

    assert asyncio.run(run()).requests == []


def test_the_connection_goes_to_the_address_that_was_checked():
    """A name that is answered differently each time: nobody asks a second time."""
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["127.0.0.2"]

    body, _, _ = fetch({"/a.png": response(b"picture")}, resolve=rebinding)
    assert body == b"picture"
    assert asked == ["media.test"]


def test_every_redirect_is_checked_anew():
    addresses = {"media.test": ["127.0.0.1"], "other.test": ["127.0.0.2"]}

    async def resolve(host: str, port: int) -> list[str]:
        return addresses[host]

    answers = {
        "/a.png": lambda port: redirect(f"http://other.test:{port}/b.png"),
        "/b.png": response(b"picture"),
    }
    refused, server, _ = fetch(answers, resolve=resolve)
    assert "other.test is not on the public network" in str(refused)
    assert len(server.requests) == 1
    addresses["other.test"] = ["127.0.0.1"]
    body, server, _ = fetch(answers, resolve=resolve)
    assert body == b"picture"
    assert [asked.split()[1].split(":")[0] for asked in server.asked] == ["media.test", "other.test"]


@pytest.mark.parametrize("status", ["301 x", "302 x", "303 x", "307 x", "308 x"])
def test_a_redirect_may_be_relative(status: str):
    answers = {"/in/a.png": redirect("../b.png", status), "/b.png": response(b"picture")}
    assert fetch(answers, "/in/a.png")[0] == b"picture"


@pytest.mark.parametrize(
    "location",
    [
        *(
            "http://127.0.0.1/a",
            "http://evil.test/a",
            "//evil.test/a",
            "file:///etc/passwd",
            "ftp://media.test/a",
        ),
        *("http://media.test:22/a", "http://media.test/a", "http://user@media.test/a", "gopher://127.0.0.1/"),
        *(
            "data:image/png;base64,QUJD",
            "http://[::1]/",
            "http://2130706433/",
            "http://media.test\\@evil.test/",
        ),
        *("http://[", "http://media.test:99999/", "", "\u00e9"),
    ],
)
def test_a_redirect_elsewhere_is_not_followed(location: str):
    answer = (
        b"HTTP/1.1 302 Found\r\nLocation: " + location.encode("latin-1") + b"\r\nContent-Length: 0\r\n\r\n"
    )
    refused, server, _ = fetch({"/a.png": answer})
    assert isinstance(refused, RequestError)
    assert refused.status == 400
    assert all(asked.startswith("/a.png media.test") for asked in server.asked)


def test_redirects_end():
    refused, server, _ = fetch({"/a.png": redirect("/a.png")}, max_redirects=2)
    assert "redirected more than 2 times" in str(refused)
    assert len(server.requests) == 3
    refused, _, _ = fetch({"/a.png": redirect("/b.png"), "/b.png": response(b"x")}, max_redirects=0)
    assert "redirected" in str(refused)


async def endless(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        writer.write(bytes(65536))
        await writer.drain()


async def endless_chunks(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + bytes(65536) + b"\r\n")
        await writer.drain()


async def endless_headers(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X: " + b"y" * 1000 + b"\r\n")
        await writer.drain()


@pytest.mark.parametrize("answer", [endless, endless_chunks])
def test_an_endless_body_ends_at_the_limit(answer: Any):
    refused, _, seconds = fetch({"/a.png": answer}, max_bytes=10**6)
    assert (refused.status, refused.code) == (413, "media_too_large")
    assert seconds < 4


def test_endless_headers_end():
    refused, _, seconds = fetch({"/a.png": endless_headers})
    assert (refused.status, refused.code) == (400, "media_not_fetched")
    assert seconds < 4


async def drip(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


async def silent(writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(30)


async def continues(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("answer", [drip, silent, continues])
def test_a_slow_answer_ends_in_time(answer: Any):
    refused, _, seconds = fetch({"/a.png": answer}, total_seconds=0.4)
    assert "did not arrive within 0.4 s" in str(refused)
    assert 0.3 < seconds < 3


def test_a_resolver_that_hangs_ends_in_time():
    async def hang(host: str, port: int) -> list[str]:
        await asyncio.sleep(30)
        return []

    refused, _, seconds = fetch({}, resolve=hang, connect_seconds=0.2)
    assert "does not answer within 0.2 s" in str(refused)
    assert seconds < 3


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (response(b"no", "404 Not Found"), "answered with status 404"),
        (response(b"no", "500 Oops"), "answered with status 500"),
        (response(b"part", "206 Partial Content"), "answered with status 206"),
        (response(b"", "304 Not Modified"), "answered with status 304"),
        (response(b"\x1f\x8b", Content_Encoding="gzip"), "compressed answer"),
        (response(b"x", Content_Encoding="gzip, br"), "compressed answer"),
        (response(b""), "sent nothing"),
        (response(b"short", length=100), "cannot be fetched"),
        (b"not http at all\r\n\r\n", "cannot be fetched"),
        (b"", "cannot be fetched"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "cannot be fetched"),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", "answered with status 302"),
        (b"HTTP/1.1 101 Switching\r\n\r\n", "cannot be fetched"),
    ],
)
def test_what_is_no_file_is_refused(answer: bytes, why: str):
    refused, _, _ = fetch({"/a.png": answer})
    assert why in str(refused)
    assert (refused.status, refused.code) == (400, "media_not_fetched")


def test_a_length_beyond_the_limit_is_not_read():
    refused, _, _ = fetch({"/a.png": response(b"x", length=10**12)}, max_bytes=1000)
    assert refused.status == 413


def test_downloads_wait_for_each_other():
    running = most = 0

    async def count(writer: asyncio.StreamWriter) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.05)
        running -= 1
        writer.write(response(b"picture"))
        await writer.drain()

    async def run() -> list[Any]:
        async with BadServer() as server:
            server.answers = {"/a.png": count}
            policy = MediaPolicy(allowed_hosts=(f"media.test:{server.port}",), max_fetches=2)
            loader = MediaLoader(policy, resolve=to_this_machine, is_allowed_address=is_this_machine)
            return await loader.load_all([(f"http://media.test:{server.port}/a.png", "image")] * 6)

    assert asyncio.run(run()) == [b"picture"] * 6
    assert most == 2
