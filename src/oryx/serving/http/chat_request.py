"""A chat request: OpenAI's parameters checked one by one, each mistake told in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError
from pydantic_core import PydanticCustomError

from oryx.processing.geometry import nearest
from oryx.serving.engine import PENALTIES, SEEDS
from oryx.serving.errors import RequestError
from oryx.serving.http.dials import REQUEST_DIALS, Dials, read_dials
from oryx.serving.http.sentences import sentence_of

MAX_PARTS = 10_000
"""Messages and their parts, in one request."""

# Parameters of OpenAI's that keep books and change no answer.
_IGNORED = (
    *("user", "metadata", "store", "service_tier", "safety_identifier", "parallel_tool_calls"),
    *("prompt_cache_key", "prompt_cache_retention"),
)
# Parameters that are not supported, with the values that ask for nothing.
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "min_p": (0,),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "audio": (),
    "prediction": (),
    "reasoning_effort": (),
    "verbosity": (),
    "web_search_options": (),
}
_WHY = {
    "n": "one answer is given to a request: n can only be 1",
    "tools": "this server calls no tools",
    "functions": "this server calls no functions",
    "response_format": 'answers are plain text: response_format can only be {"type": "text"}',
    "logprobs": "this server gives no log probabilities",
}


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def _as_url(value: Any) -> Any:
    return {"url": value} if isinstance(value, str) else value


class Address(_Model):
    """Where a medium is: a data URL, an address or a path that the server has opened, or `attachment://`."""

    url: Annotated[str, StringConstraints(min_length=1)]
    detail: Literal["auto", "high", "low"] | None = None


class TextPart(_Model):
    """A stretch of text."""

    type: Literal["text", "input_text", "output_text"]
    text: str


class ImagePart(_Model):
    """A picture; dials may stand beside it."""

    model_config = ConfigDict(extra="allow")

    type: Literal["image_url", "input_image"]
    image_url: Annotated[Address, BeforeValidator(_as_url)]


class VideoPart(_Model):
    """A video; dials may stand beside it."""

    model_config = ConfigDict(extra="allow")

    type: Literal["video_url"]
    video_url: Annotated[Address, BeforeValidator(_as_url)]


Part = TextPart | ImagePart | VideoPart


def _as_parts(content: Any) -> Any:
    if content is None:
        return []
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise PydanticCustomError("content", "must be text or a list of parts")
    return [{"type": "text", "text": part} if isinstance(part, str) else part for part in content]


class Message(_Model):
    """One message; its content is always a list of parts here."""

    role: Literal["system", "developer", "user", "assistant"]
    content: Annotated[list[Annotated[Part, Field(discriminator="type")]], BeforeValidator(_as_parts)] = []
    name: str | None = None


class StreamOptions(_Model):
    """How a stream ends."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


def _as_stops(stop: Any) -> Any:
    return [stop] if isinstance(stop, str) else stop


Stop = Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class ChatRequest(_Model):
    """What a client may say, besides what `_IGNORED` and `_NEUTRAL` name."""

    model: str | None = None
    messages: Annotated[list[Message], Field(min_length=1, max_length=10_000)]
    mm_processor_kwargs: dict[str, Any] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, le=2**31 - 1)] | None = None
    repetition_penalty: Annotated[float, Field(ge=PENALTIES[0], le=PENALTIES[1])] | None = None
    stop: Annotated[list[Stop], Field(max_length=16), BeforeValidator(_as_stops)] | None = None
    seed: Annotated[int, Field(ge=SEEDS[0], le=SEEDS[1])] | None = None
    ignore_eos: bool | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    continue_final_message: bool | None = None
    add_generation_prompt: bool | None = None


@dataclass(frozen=True)
class Checked:
    """A request in which every parameter is in range, and its dials."""

    body: ChatRequest
    dials: Dials


def check_request(payload: Mapping[str, Any], max_images: int, max_videos: int) -> Checked:
    """A request from its JSON object. None is the same as left out.

    Raises:
        RequestError: an unknown parameter, with the nearest one; a type or a range that is wrong; something
            that this server does not do; more pictures or videos than allowed.
    """
    fields = {name: value for name, value in payload.items() if value is not None and name not in _IGNORED}
    for name in [name for name in fields if name in _NEUTRAL]:
        _check_neutral(name, fields.pop(name))
    for name in fields:
        if name not in ChatRequest.model_fields:
            raise _unknown(name)
    if isinstance(fields.get("messages"), list):
        _check_length(fields["messages"])
        fields["messages"] = [_without_nulls(message) for message in fields["messages"]]
    try:
        body = ChatRequest.model_validate(fields)
    except ValidationError as error:
        raise sentence_of(error) from None
    _check_roles(body)
    _check_counts(body, max_images, max_videos)
    return Checked(body, read_dials(body.mm_processor_kwargs or {}))


def _unknown(name: str) -> RequestError:
    if name in REQUEST_DIALS:
        example = f'{{"mm_processor_kwargs": {{"{name}": ...}}}}'
        why = f"{name} is a dial: put it in mm_processor_kwargs, as in {example}"
    elif name == "extra_body":
        why = "extra_body is an argument of the Python client: in JSON, what it holds goes at the top level"
    else:
        known = tuple(ChatRequest.model_fields)
        why = f"{name[:60]!r} is no parameter of a chat request; {nearest(name[:60], known)}"
    return RequestError(f"{why}.", code="unknown_parameter", param=name[:60])


def _check_length(messages: list[Any]) -> None:
    """Before any of them is looked at: a mistake in each of a million would be a million mistakes."""
    contents = (message.get("content") for message in messages if isinstance(message, dict))
    count = len(messages) + sum(len(content) for content in contents if isinstance(content, list))
    if count > MAX_PARTS:
        raise RequestError(
            f"the request has {count:,} messages and parts; at most {MAX_PARTS:,} are allowed.",
            code="too_many_parts",
            param="messages",
        )


def _check_neutral(name: str, value: Any) -> None:
    if any(type(value) is type(allowed) and value == allowed for allowed in _NEUTRAL[name]) or (
        name.endswith("penalty") and value == 0.0
    ):
        return
    why = _WHY.get(name, f"{name} is not supported")
    raise RequestError(f"{why}; leave it out.", code="unsupported_parameter", param=name)


def _without_nulls(message: Any) -> Any:
    """Clients send answers back as they got them, with every field that was empty."""
    if not isinstance(message, dict):
        return message
    empty: tuple[Any, ...] = (None, [])
    return {key: value for key, value in message.items() if key in ("role", "content") or value not in empty}


def _check_roles(body: ChatRequest) -> None:
    for index, message in enumerate(body.messages):
        if message.role != "user" and any(not isinstance(part, TextPart) for part in message.content):
            raise RequestError(
                f"messages[{index}] is of role {message.role} and holds a picture or a video; "
                "only messages of role user may.",
                param=f"messages[{index}]",
            )
    if body.continue_final_message:
        if body.messages[-1].role != "assistant":
            raise RequestError(
                "continue_final_message needs an assistant's message at the end.",
                param="continue_final_message",
            )
        if body.add_generation_prompt:
            raise RequestError(
                "continue_final_message and add_generation_prompt exclude each other.",
                param="add_generation_prompt",
            )
    elif body.add_generation_prompt is False:
        raise RequestError(
            "add_generation_prompt can only be false beside continue_final_message.",
            param="add_generation_prompt",
        )


def _check_counts(body: ChatRequest, max_images: int, max_videos: int) -> None:
    parts = [part for message in body.messages for part in message.content]
    for kind, name, most in ((ImagePart, "pictures", max_images), (VideoPart, "videos", max_videos)):
        count = sum(isinstance(part, kind) for part in parts)
        if count > most:
            raise RequestError(
                f"the request has {count} {name}; at most {most} are allowed.",
                code=f"too_many_{name}",
                param="messages",
            )
