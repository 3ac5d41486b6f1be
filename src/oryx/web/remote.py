"""Answers from any server that speaks OpenAI's chat completions, streamed."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import replace
from threading import Event
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx

from oryx.errors import ConfigError, OryxError
from oryx.web.line import POLL_SECONDS, Line
from oryx.web.payload import make_payload
from oryx.web.planning import Limits, without_folders
from oryx.web.replies import BROKEN, Reply, Request

logger = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
SILENT_SECONDS = 600.0
"""A server that says nothing for so long has failed."""
_LONGEST_SENTENCE = 500
_DONE: dict[str, Any] = {}
"""Stands for the event that ends a stream."""


class RemoteError(OryxError):
    """The server refused, or does not answer."""


class RemoteAsker:
    """Asks a server at a base address such as http://127.0.0.1:8000/v1.

    Args:
        url: may hold `user:password@`, which is sent (HTTP Basic) and never shown.
        api_key: sent as a bearer token; None sends none.
        model_name: what the server calls the model; None asks for the first that it lists.
        line: how many may be asked there at a time.

    Raises:
        ConfigError: an address that is none, a password beside a key, or a server that does not answer when
            asked for its models.
    """

    def __init__(
        self,
        url: str,
        api_key: str | None = None,
        model_name: str | None = None,
        limits: Limits | None = None,
        line: Line | None = None,
    ) -> None:
        self.url, self._auth = split_url(url)
        if self._auth is not None and api_key:
            raise ConfigError("--url holds a password and --api-key-file a key; a request can carry but one.")
        self.limits = limits or Limits()
        self.line = line or Line(room=8)
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.model_name = model_name or self._first_model()

    async def ask(self, request: Request, stop: Event) -> AsyncGenerator[Reply, None]:
        """The reply as it grows; leaving the iteration closes the connection."""
        try:
            place = self.line.enter()
        except OryxError as error:
            yield Reply("failed", status=str(error))
            return
        began = time.perf_counter()
        latest = Reply(status="sending")
        try:
            async for ahead in self.line.wait(place, stop):
                yield Reply(status=f"{ahead} before you")
            began = time.perf_counter()
            yield latest
            async with aclosing(_until(stop, self._stream(request, began))) as replies:
                async for latest in replies:
                    yield latest
            state: Any = "stopped" if stop.is_set() and latest.new_tokens is None else "done"
            latest = replace(latest, state=state, status="")
        except OryxError as error:
            sentence = without_folders(str(error), request.media.paths)
            latest = replace(latest, state="failed", status=sentence)
        except httpx.HTTPError as error:
            sentence = _cut_off(_reason(error)) if latest.text else self._no_answer(error)
            latest = replace(latest, state="failed", status=sentence)
        except Exception:
            logger.exception("a question could not be asked")
            latest = replace(latest, state="failed", status=BROKEN)
        finally:
            self.line.leave(place)
        yield replace(latest, seconds=time.perf_counter() - began)

    def forget(self, owner: str) -> None:
        """Nothing is kept here."""

    async def _stream(self, request: Request, began: float) -> AsyncGenerator[Reply, None]:
        body = await asyncio.to_thread(make_payload, request, self.model_name, self.limits)
        reply, finish, is_whole = Reply("answering"), None, False
        timeout = httpx.Timeout(SILENT_SECONDS, connect=CONNECT_SECONDS)
        async with (
            httpx.AsyncClient(timeout=timeout, headers=self._headers, auth=self._auth) as client,
            client.stream("POST", f"{self.url}/chat/completions", json=body) as response,
        ):
            if response.status_code != 200:
                raise RemoteError(_refusal(response.status_code, await response.aread()))
            async for event in _events(response):
                is_whole = is_whole or event is _DONE
                if "error" in event:
                    raise RemoteError(_sentence(event))
                for choice in event.get("choices") or ():
                    finish = choice.get("finish_reason") or finish
                    text = (choice.get("delta") or {}).get("content")
                    if text:
                        first = reply.first_seconds or time.perf_counter() - began
                        reply = replace(reply, text=reply.text + text, first_seconds=first)
                        yield reply
                usage = event.get("usage")
                if usage:
                    details = usage.get("prompt_tokens_details") or {}
                    reply = replace(
                        reply,
                        visual_tokens=details.get("visual_tokens"),
                        prompt_tokens=usage.get("prompt_tokens"),
                        kept_tokens=details.get("cached_tokens"),
                        new_tokens=usage.get("completion_tokens"),
                    )
        if finish is None and not reply.text:
            raise RemoteError(f"{self.url} ended the answer before it began.")
        if finish is None and not is_whole:
            raise RemoteError(_cut_off("the server ended it too early"))
        yield replace(reply, text=reply.text.strip(), is_cut_off=finish == "length")

    def _first_model(self) -> str:
        try:
            response = httpx.get(
                f"{self.url}/models", headers=self._headers, auth=self._auth, timeout=CONNECT_SECONDS
            )
            body = response.json() if response.status_code == 200 else None
        except httpx.HTTPError as error:
            raise ConfigError(self._no_answer(error)) from None
        except ValueError:
            body = None
        if response.status_code != 200:
            raise ConfigError(f"{self.url}/models: {_refusal(response.status_code, response.content)}")
        names = [model.get("id") for model in (body or {}).get("data") or () if isinstance(model, Mapping)]
        if not names or not isinstance(names[0], str):
            raise ConfigError(f"{self.url} lists no model; name one with --url-model.")
        return names[0]

    def _no_answer(self, error: httpx.HTTPError) -> str:
        return f"{self.url} does not answer ({_reason(error)})."


def split_url(url: str) -> tuple[str, tuple[str, str] | None]:
    """An address without the name and password that it may hold, and these.

    Raises:
        ConfigError: no address of a server; the sentence does not repeat a password.
    """
    _, at, rest = url.rpartition("@")
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
        is_address = is_address and parts.port != 0  # raises where it is no number
    except ValueError:
        is_address = False
    if not is_address or parts.query or parts.fragment:
        shown = f"...@{rest}" if at else url
        raise ConfigError(f"--url is {shown!r}; it must be as in http://127.0.0.1:8000/v1.")
    netloc = parts.netloc.rpartition("@")[2]
    auth = None if parts.username is None else (unquote(parts.username), unquote(parts.password or ""))
    return f"{parts.scheme}://{netloc}{parts.path}".rstrip("/"), auth


async def _until(stop: Event, replies: AsyncGenerator[Reply, None]) -> AsyncGenerator[Reply, None]:
    """The replies until `stop` is set, also while none comes; the one on its way is given up then."""
    coming: asyncio.Future[Reply] | None = None
    try:
        while not stop.is_set():
            coming = coming or asyncio.ensure_future(anext(replies))
            done, _ = await asyncio.wait({coming}, timeout=POLL_SECONDS)
            if done:
                try:
                    reply = coming.result()
                except StopAsyncIteration:
                    return
                coming = None
                yield reply
    finally:
        if coming is not None and not coming.done():
            coming.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration):
                await coming
        await replies.aclose()


async def _events(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """JSON objects of a stream of server-sent events, and `_DONE`."""
    async for line in response.aiter_lines():
        data = line.removeprefix("data:").strip() if line.startswith("data:") else ""
        if not data:
            continue
        if data == "[DONE]":
            yield _DONE
            continue
        try:
            event = json.loads(data)
        except ValueError:
            raise RemoteError("the server streams something that is no chat completion.") from None
        if isinstance(event, dict):
            yield event


def _cut_off(reason: str) -> str:
    return f"the answer is cut off: {reason}."


def _reason(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "it took too long"
    return str(error).rstrip(".") or type(error).__name__


def _refusal(status: int, body: bytes) -> str:
    try:
        return _sentence(json.loads(body))
    except ValueError:
        return f"the server refuses with status {status}."


def _sentence(body: Any) -> str:
    """The message of an error in OpenAI's shape, or of one like it."""
    error = body.get("error", body) if isinstance(body, Mapping) else None
    message = error.get("message") if isinstance(error, Mapping) else error
    if not isinstance(message, str) or not message.strip():
        return "the server refuses without a reason."
    return " ".join(message.split())[:_LONGEST_SENTENCE]
