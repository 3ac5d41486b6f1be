"""A captioner behind an address: any endpoint that speaks the OpenAI chat protocol."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from oryx import __version__
from oryx.data.builders.needle.captioners import CaptionError
from oryx.errors import ConfigError, OryxError

MAX_ANSWER_BYTES = 2**20
_BLOCK = 2**14
_REFUSED = (401, 403, 404, 405)
_BUSY = (408, 409, 425, 429)


@dataclass
class OpenAICaptioner:
    """A model behind `{base_url}/chat/completions`, as vLLM, llama.cpp, OpenAI and others serve it."""

    base_url: str
    """Such as `http://localhost:8000/v1`."""
    model: str | None = None
    """None asks the server; it must then serve exactly one."""
    key: str | None = field(default=None, repr=False)
    """Sent as a bearer token; None for servers that want none."""
    timeout: float = 120.0
    """Seconds for one answer, from the connection to its last byte."""
    max_tokens: int = 400
    workers: int = 4
    is_deterministic: bool = field(default=False, init=False)
    _limit_name: str = field(default="max_tokens", init=False)

    def __post_init__(self) -> None:
        self.base_url = self.base_url.rstrip("/").removesuffix("/chat/completions")
        try:
            parts = urllib.parse.urlsplit(self.base_url)
            is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_address = False
        if not is_address or any(character.isspace() for character in self.base_url):
            raise ConfigError(f"{self.base_url} is no address of an endpoint; http://host/v1 is needed.")
        if not 0 < self.timeout < float("inf") or self.workers < 1 or self.max_tokens < 1:
            raise ConfigError("timeout, workers and max_tokens of a captioner must be above 0.")
        if self.key is not None and not (self.key.isascii() and self.key.isprintable()):
            raise ConfigError("the API key holds characters that no key has.")

    @property
    def name(self) -> str:
        """The model, at its address."""
        return f"{self.model or 'the model'} at {self.base_url}"

    def connect(self) -> None:
        """Find out the model's name where none was given.

        Raises:
            ConfigError: the server is out of reach or refuses, or serves none or several models.
        """
        if self.model is not None:
            return
        try:
            answer = self._call("/models", None)
        except CaptionError as error:
            raise ConfigError(f"{error}; is this the captioner's address?") from None
        try:
            served = [str(entry["id"]) for entry in answer["data"]]
        except (KeyError, TypeError):
            raise ConfigError(f"{self.base_url} does not list its models; name one.") from None
        if len(served) != 1:
            listed = ", ".join(served[:10]) or "none"
            raise ConfigError(f"{self.base_url} serves {len(served)} models ({listed}); name one of them.")
        self.model = served[0]

    def describe(self, pictures: Sequence[bytes], prompt: str) -> str:
        """See `Captioner`."""
        content: list[dict[str, Any]] = [
            {
                "type": "image_url",
                "image_url": {"url": "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")},
            }
            for jpeg in pictures
        ]
        content.append({"type": "text", "text": prompt})
        request = {"model": self.model, "messages": [{"role": "user", "content": content}]}
        limit = self._limit_name  # which another thread may change meanwhile
        try:
            answer = self._call("/chat/completions", {**request, limit: self.max_tokens})
        except CaptionError as error:
            # Newer models of OpenAI know the limit by another name only.
            if "max_completion_tokens" not in str(error) or limit == "max_completion_tokens":
                raise
            self._limit_name = "max_completion_tokens"
            answer = self._call("/chat/completions", {**request, "max_completion_tokens": self.max_tokens})
        return _text_of(answer, self.base_url)

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
                raise self._refused(error) from None
        except TimeoutError:
            raise CaptionError(f"{self.base_url} did not answer in {self.timeout:g} s", True) from None
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, TimeoutError):
                raise CaptionError(f"{self.base_url} did not answer in {self.timeout:g} s", True) from None
            raise CaptionError(f"{self.base_url} cannot be reached ({reason})", True) from None
        try:
            return json.loads(answer)
        except (ValueError, RecursionError):
            raise CaptionError(f"{self.base_url} answered with something that is no JSON", False) from None

    def _refused(self, error: urllib.error.HTTPError) -> OryxError:
        try:
            said = error.read(_BLOCK).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException):
            said = ""
        with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
            said = json.loads(said)["error"]["message"]
        reason = f"{error.code} {error.reason}" + (f": {' '.join(str(said).split())[:200]}" if said else "")
        if error.code in _REFUSED:
            return ConfigError(f"{self.base_url} refuses ({reason}); check address, key and model.")
        is_outage = error.code in _BUSY or error.code >= 500
        wait = error.headers.get("Retry-After", "") if error.headers else ""
        seconds = float(wait) if wait.replace(".", "", 1).isdecimal() else None
        return CaptionError(f"{self.base_url} refuses ({reason})", is_outage, seconds)


def _read(response: Any, deadline: float) -> bytes:
    """The body, unless it is endless or drips: a socket's own timeout starts anew with every byte."""
    blocks: list[bytes] = []
    size = 0
    while block := response.read1(_BLOCK):
        size += len(block)
        blocks.append(block)
        if time.monotonic() > deadline:
            raise TimeoutError
        if size > MAX_ANSWER_BYTES:
            raise http.client.HTTPException("an answer without end")
    return b"".join(blocks)


def _text_of(answer: Any, where: str) -> str:
    try:
        choice = answer["choices"][0]
        content = choice["message"]["content"]
        reason = choice.get("finish_reason")
    except (KeyError, IndexError, TypeError, AttributeError):
        raise CaptionError(f"{where} answered without choices[0].message.content", False) from None
    if isinstance(content, list):  # parts, as of some servers
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    if reason == "length":
        raise CaptionError(f"{where} did not come to an end: its answer was cut off", False)
    if reason == "content_filter":
        raise CaptionError(f"{where} withheld its answer (content filter)", False)
    return content if isinstance(content, str) else ""
