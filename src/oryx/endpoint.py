"""A model behind an address: any endpoint that speaks the OpenAI chat protocol."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import logging
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from oryx import __version__
from oryx.errors import ConfigError, OryxError

logger = logging.getLogger(__name__)

MAX_ANSWER_BYTES = 2**20
_BLOCK = 2**14
_REFUSED = (401, 402, 403, 404, 405)
_BUSY = (408, 409, 425, 429)


class EndpointError(OryxError):
    """No answer to one request: the endpoint is out of reach or busy (`is_outage`), or refuses this one."""

    def __init__(self, message: str, is_outage: bool, wait: float | None = None) -> None:
        super().__init__(message)
        self.is_outage = is_outage
        self.wait = wait
        """Seconds that the server asks to wait."""


@dataclass(frozen=True)
class ChatReply:
    """What the model said."""

    text: str
    is_cut_off: bool
    """The limit on tokens ended it."""
    usage: Mapping[str, Any]
    """The server's counts of tokens, as it gives them; empty where it gives none."""


@dataclass
class ChatEndpoint:
    """A model behind `{base_url}/chat/completions`, as vLLM, llama.cpp, OpenAI and others serve it."""

    base_url: str
    """Such as `http://localhost:8000/v1`."""
    model: str | None = None
    """None asks the server; it must then serve exactly one."""
    key: str | None = field(default=None, repr=False)
    """Sent as a bearer token; None for servers that want none."""
    timeout: float = 120.0
    """Seconds for one answer; a server that drips may take as long again for each line of its head."""
    _limit_name: str = field(default="max_tokens", init=False)

    def __post_init__(self) -> None:
        self.base_url = self.base_url.rstrip("/").removesuffix("/chat/completions")
        try:
            parts = urllib.parse.urlsplit(self.base_url)
            is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
            self.base_url.encode("ascii")
            (parts.hostname or "").encode("idna")
        except ValueError:  # a UnicodeError too
            is_address = False
        if not is_address or any(character.isspace() for character in self.base_url):
            raise ConfigError(f"{self.base_url} is no address of an endpoint; http://host/v1 is needed.")
        if not 0 < self.timeout < float("inf"):
            raise ConfigError(f"timeout is {self.timeout}; it must be above 0.")
        if self.key is not None and not (self.key.isascii() and self.key.isprintable()):
            raise ConfigError("the API key holds characters that no key has.")

    @property
    def name(self) -> str:
        """The model, at its address."""
        return f"{self.model or 'the model'} at {self.base_url}"

    def connect(self) -> list[dict[str, Any]]:
        """What the server lists as its models; finds out the model's name where none was given.

        A server that says when to ask again, as `oryx serve` does while it loads its model, is asked again
        for `timeout` seconds.

        Raises:
            ConfigError: the server is out of reach or refuses, or serves none or several models and none was
                named.
        """
        deadline = time.monotonic() + self.timeout
        while True:
            try:
                answer = self._call("/models", None)
                break
            except EndpointError as error:
                if error.wait is None:
                    raise ConfigError(f"{error}; is this the address of an endpoint?") from None
                left = deadline - time.monotonic()
                if left <= 0:
                    raise ConfigError(f"{error}; it said so for {self.timeout:g} s.") from None
                logger.warning("%s; it is asked again for up to %g s.", error, self.timeout)
                time.sleep(min(max(error.wait, 0.1), left))
        try:
            entries = [dict(entry) for entry in answer["data"]]
            served = [str(entry["id"]) for entry in entries]
        except (KeyError, TypeError, ValueError):
            raise ConfigError(f"{self.base_url} does not list its models; name one.") from None
        if self.model is None:
            if len(served) != 1:
                listed = ", ".join(served[:10]) or "none"
                raise ConfigError(
                    f"{self.base_url} serves {len(served)} models ({listed}); name one of them."
                )
            self.model = served[0]
        return entries

    def chat(
        self, content: Sequence[Mapping[str, Any]], max_tokens: int, extra: Mapping[str, Any] | None = None
    ) -> ChatReply:
        """The reply to one message of a user.

        Args:
            content: its parts, as the protocol has them.
            max_tokens: cap on the answer.
            extra: further keys of the request.

        Raises:
            EndpointError: none came; another try may help.
            ConfigError: none will ever come: a wrong key, address or model.
        """
        messages = [{"role": "user", "content": list(content)}]
        request = {"model": self.model, "messages": messages, **(extra or {})}
        limit = self._limit_name  # which another thread may change meanwhile
        try:
            answer = self._call("/chat/completions", {**request, limit: max_tokens})
        except EndpointError as error:
            # Newer models of OpenAI know the limit by another name only.
            if "max_completion_tokens" not in str(error) or limit == "max_completion_tokens":
                raise
            self._limit_name = "max_completion_tokens"
            answer = self._call("/chat/completions", {**request, "max_completion_tokens": max_tokens})
        return _reply_of(answer, self.base_url)

    def _call(self, path: str, body: dict[str, Any] | None) -> Any:
        """The JSON that the server answers with."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "User-Agent": f"oryx/{__version__}"}
        request = urllib.request.Request(self.base_url + path, data, headers)
        if self.key is not None:  # for this server alone, wherever it sends us
            request.add_unredirected_header("Authorization", f"Bearer {self.key}")
        deadline = time.monotonic() + self.timeout
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as response:
                answer = _read(response, deadline)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(error, deadline) from None
        except TimeoutError:
            raise EndpointError(f"{self.base_url} did not answer in {self.timeout:g} s", True) from None
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise EndpointError(f"{self.base_url} did not answer in {self.timeout:g} s", True) from None
            raise EndpointError(f"{self.base_url} cannot be reached ({reason})", True) from None
        try:
            return json.loads(answer)
        except (ValueError, RecursionError):
            raise EndpointError(f"{self.base_url} answered with something that is no JSON", False) from None

    def _refused(self, error: urllib.error.HTTPError, deadline: float) -> OryxError:
        try:
            said = b"".join(_blocks(error, deadline, _BLOCK)).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException):
            said = ""
        with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
            said = json.loads(said)["error"]["message"]
        reason = f"{error.code} {error.reason}" + (f": {' '.join(str(said).split())[:200]}" if said else "")
        if error.code in _REFUSED:
            path = urllib.parse.urlsplit(self.base_url).path
            hint = ": most end in /v1" if error.code == 404 and not path.strip("/") else ""
            return ConfigError(f"{self.base_url} refuses ({reason}); check address, key and model{hint}.")
        is_outage = error.code in _BUSY or error.code >= 500
        wait = error.headers.get("Retry-After", "") if error.headers else ""
        seconds = float(wait) if wait.replace(".", "", 1).isdecimal() else None
        return EndpointError(f"{self.base_url} refuses ({reason})", is_outage, seconds)


def media_part(kind: str, mime: str, data: bytes) -> dict[str, Any]:
    """A file as a part of a message; `kind` is "image" or "video"."""
    url = f"data:{mime};base64,{base64.b64encode(data).decode('ascii')}"
    return {"type": f"{kind}_url", f"{kind}_url": {"url": url}}


def _read(response: Any, deadline: float) -> bytes:
    """The body, unless it is endless or drips."""
    body = b"".join(_blocks(response, deadline, MAX_ANSWER_BYTES + 1))
    if time.monotonic() > deadline:
        raise TimeoutError
    if len(body) > MAX_ANSWER_BYTES:
        raise http.client.HTTPException("an answer without end")
    return body


def _blocks(response: Any, deadline: float, most: int) -> Iterator[bytes]:
    """What comes until then, or about so many bytes: a socket's own timeout starts anew with every byte."""
    size = 0
    while size < most and time.monotonic() <= deadline and (block := response.read1(_BLOCK)):
        size += len(block)
        yield block


def _reply_of(answer: Any, where: str) -> ChatReply:
    try:
        choice = answer["choices"][0]
        content = choice["message"]["content"]
        reason = choice.get("finish_reason")
        usage = answer.get("usage")
    except (KeyError, IndexError, TypeError, AttributeError):
        raise EndpointError(f"{where} answered without choices[0].message.content", False) from None
    if isinstance(content, list):  # parts, as of some servers
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    if reason == "content_filter":
        raise EndpointError(f"{where} withheld its answer (content filter)", False)
    text = content if isinstance(content, str) else ""
    return ChatReply(text, reason == "length", usage if isinstance(usage, dict) else {})
