"""Conversations to token ids: ChatML, with every visual expanded in place.

Ids are expanded, never strings: each stretch of text between visuals is tokenised on its own, as the
reference does, so a tokenizer that merges two newlines cannot join a text with what stands around a visual.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from transformers import PreTrainedTokenizerBase

from oryx.errors import AlignmentError, ConfigError
from oryx.processing.geometry import nearest
from oryx.processing.markers import IMAGE_MARKER, TEXT_TYPES
from oryx.processing.visuals import EncodedVisual

IGNORED = -100
"""Label of a position that is not supervised."""
VIDEO_MARKER = "<video>"
DEFAULT_SYSTEM_PROMPT = "You are a helpful assistant."

RAW = "raw"
"""Role of a text that is no ChatML: it has no markers of its own, and special tokens in it count as such."""

PromptStyle = Literal["train", "eval"]
Supervise = Literal["assistant", "published"]

_ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "system": "system",
}
_TURN = re.compile(
    r"<\|im_start\|>(?P<role>system|user|assistant)\n(?P<text>.*?)(?P<end><\|im_end\|>\n|\Z)", re.DOTALL
)
_CACHED_CHARACTERS, _CACHED_TEXTS = 256, 8192


@dataclass(frozen=True)
class Turn:
    """One turn. A piece is a stretch of text, or the index of one of the conversation's visuals."""

    role: str
    """"system", "user", "assistant", or `RAW` for text that is no ChatML."""
    pieces: tuple[str | int, ...]
    is_open: bool = False
    """An open turn has no end marker: the model goes on writing it."""


@dataclass(frozen=True)
class EncodedChat:
    """Ids of a conversation at full length, its labels if supervised, and where each visual stands."""

    ids: list[int]
    labels: list[int] | None
    spans: list[tuple[int, int]]
    """(start, stop) of each visual, in order, without the newline that style "train" puts behind it."""


class ChatEncoder:
    """Turns to ids with one tokenizer.

    Args:
        tokenizer: knows `<|im_start|>` and `<|im_end|>`.
        image_token_id: stands at every position of a visual.
        prompt_style: "train" puts a newline token of its own after each visual, "eval" does not.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, image_token_id: int, prompt_style: PromptStyle = "train"
    ) -> None:
        self.tokenizer = tokenizer
        self.image_token_id = image_token_id
        self.prompt_style = check_prompt_style(prompt_style)
        self._cache: dict[str, list[int]] = {}
        start, end = (self._marker_id(marker) for marker in ("<|im_start|>", "<|im_end|>"))
        self.newline = self.text_ids("\n")
        self.end = [end, *self.newline]
        # User and assistant headers are tokenised whole and the system's in parts, as the reference does:
        # with a tokenizer that puts a space before words the two ways differ.
        self.headers = {
            "system": [start, *self.text_ids("system"), *self.newline],
            "user": [*self._parsed_ids("<|im_start|>user"), *self.newline],
            "assistant": [*self._parsed_ids("<|im_start|>assistant"), *self.newline],
        }

    def text_ids(self, text: str) -> list[int]:
        """Ids of plain text. Special tokens spelled out in it stay text, so nobody can forge a turn."""
        ids = self._cache.get(text)
        if ids is None:
            ids = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
            # Questions and answers repeat a lot in training; long texts do not.
            if len(text) <= _CACHED_CHARACTERS and len(self._cache) < _CACHED_TEXTS:
                self._cache[text] = ids
        return ids

    def encode(
        self, turns: Sequence[Turn], num_tokens: Sequence[int], supervise: Supervise | None = None
    ) -> EncodedChat:
        """Ids, labels and spans of a conversation.

        Args:
            turns: the system turn included, if there is to be one.
            num_tokens: positions each visual takes.
            supervise: "assistant" labels the assistant's words and its end marker; "published" labels start
                marker, end marker and the newline after it in every turn, and the assistant's words.
        """
        out = _Writer(self.image_token_id)
        for turn in turns:
            if turn.role == RAW:
                self._add_pieces(out, turn.pieces, num_tokens, self._parsed_ids, supervised=False)
                continue
            speaks = turn.role == "assistant"
            header = self.headers[turn.role]
            out.add(header[:1], supervise == "published")
            out.add(header[1:], False)
            self._add_pieces(out, turn.pieces, num_tokens, self.text_ids, supervised=speaks)
            if not turn.is_open:
                out.add(self.end[:1], speaks or supervise == "published")
                out.add(self.end[1:], supervise == "published")
        return out.finish(supervise is not None, len(num_tokens))

    def _add_pieces(
        self,
        out: "_Writer",
        pieces: Sequence[str | int],
        num_tokens: Sequence[int],
        to_ids: Callable[[str], list[int]],
        supervised: bool,
    ) -> None:
        for piece in pieces:
            if isinstance(piece, str):
                out.add(to_ids(piece), supervised)
            else:
                out.add_visual(piece, num_tokens[piece])
                if self.prompt_style == "train":
                    out.add(self.newline, False)

    def _parsed_ids(self, text: str) -> list[int]:
        # Said outright: a fast tokenizer keeps the setting of the call before.
        return self.tokenizer(text, add_special_tokens=False, split_special_tokens=False).input_ids

    def _marker_id(self, marker: str) -> int:
        index = self.tokenizer.convert_tokens_to_ids(marker)
        if not isinstance(index, int) or index == self.tokenizer.unk_token_id:
            raise ConfigError(
                f"the tokenizer has no token {marker!r}, which every turn of a conversation needs."
            )
        return index


class _Writer:
    """Collects ids with their labels and the visuals' spans."""

    def __init__(self, image_token_id: int) -> None:
        self.image_token_id = image_token_id
        self.ids: list[int] = []
        self.labels: list[int] = []
        self.spans: dict[int, tuple[int, int]] = {}

    def add(self, ids: list[int], supervised: bool) -> None:
        self.ids += ids
        self.labels += ids if supervised else [IGNORED] * len(ids)

    def add_visual(self, index: int, num_tokens: int) -> None:
        self.spans[index] = (len(self.ids), len(self.ids) + num_tokens)
        self.add([self.image_token_id] * num_tokens, False)

    def finish(self, supervised: bool, num_visuals: int) -> EncodedChat:
        return EncodedChat(
            self.ids, self.labels if supervised else None, [self.spans[index] for index in range(num_visuals)]
        )


def read_conversation(conversation: Sequence[Mapping[str, Any]], num_visuals: int) -> list[Turn]:
    """Turns of a list of `{"from": ..., "value": ...}`; the n-th `<image>` is visual n.

    A value of None leaves the last turn, which must be the assistant's, open.

    Raises:
        ConfigError: a turn of another form, or an unknown role.
        AlignmentError: more or fewer `<image>` than visuals.
    """
    turns: list[Turn] = []
    count = 0
    for index, item in enumerate(conversation):
        if not isinstance(item, Mapping) or "from" not in item or "value" not in item:
            raise ConfigError(f'turn {index} must be {{"from": ..., "value": ...}}, not {item!r}.')
        role, value = _role(item["from"], index), item["value"]
        if value is None:
            if role != "assistant" or index != len(conversation) - 1:
                raise ConfigError(
                    f"turn {index} has no value: only the assistant's last turn may be left open."
                )
            turns.append(Turn(role, (), is_open=True))
            continue
        if not isinstance(value, str):
            raise ConfigError(f"the value of turn {index} must be text or None, not {type(value).__name__}.")
        pieces, count = _split(value, count)
        turns.append(Turn(role, pieces))
    if not turns:
        raise ConfigError("a conversation needs at least one turn.")
    check_count(IMAGE_MARKER, count, num_visuals)
    return turns


def read_messages(
    messages: Sequence[Mapping[str, Any]],
    add_generation_prompt: bool = False,
    continue_final_message: bool = False,
) -> tuple[list[Turn], list[Any]]:
    """Turns and visuals, in order, of chat messages whose content is text or a list of parts.

    Every part that is not text is a visual, with its dials, or an `EncodedVisual`. Text is taken as it is,
    `<image>` in it too.
    """
    turns: list[Turn] = []
    visuals: list[Any] = []
    for index, message in enumerate(messages):
        if not isinstance(message, Mapping) or "role" not in message:
            raise ConfigError(f'message {index} must be {{"role": ..., "content": ...}}, not {message!r}.')
        content = message.get("content") or ""
        pieces: list[str | int] = []
        for number, part in enumerate([content] if isinstance(content, str) else content):
            text = part if isinstance(part, str) else _text_of(part, number, index)
            if text is None:
                pieces.append(len(visuals))
                visuals.append(part)
            elif pieces and isinstance(pieces[-1], str):
                pieces[-1] += text
            elif text:
                pieces.append(text)
        turns.append(Turn(_role(message["role"], index), tuple(pieces)))
    if not turns:
        raise ConfigError("a conversation needs at least one message.")
    if continue_final_message:
        if add_generation_prompt:
            raise ConfigError("add_generation_prompt and continue_final_message exclude each other.")
        turns[-1] = replace(turns[-1], is_open=True)
    elif add_generation_prompt:
        turns.append(Turn("assistant", (), is_open=True))
    return turns, visuals


def read_rendered(text: str, image_token: str) -> tuple[list[Turn], list[str]]:
    """A prompt string back to turns (one `RAW` turn if it is not ChatML), and the marker of each visual."""
    marker = re.compile("|".join(re.escape(name) for name in (IMAGE_MARKER, VIDEO_MARKER, image_token)))
    markers: list[str] = []

    def split(stretch: str) -> tuple[str | int, ...]:
        pieces: list[str | int] = []
        start = 0
        for match in marker.finditer(stretch):
            pieces += [stretch[start : match.start()], len(markers)]
            markers.append(VIDEO_MARKER if match.group() == VIDEO_MARKER else IMAGE_MARKER)
            start = match.end()
        return tuple(piece for piece in (*pieces, stretch[start:]) if piece != "")

    matches = list(_TURN.finditer(text))
    if not matches or "".join(match.group() for match in matches) != text:
        return [Turn(RAW, split(text), is_open=True)], markers
    return [Turn(match["role"], split(match["text"]), is_open=not match["end"]) for match in matches], markers


def render(turns: Sequence[Turn], markers: Sequence[str]) -> str:
    """The ChatML string of a conversation, with each visual's marker in place."""
    out = []
    for turn in turns:
        body = "".join(piece if isinstance(piece, str) else markers[piece] for piece in turn.pieces)
        out.append(f"<|im_start|>{turn.role}\n{body}" + ("" if turn.is_open else "<|im_end|>\n"))
    return "".join(out)


def jinja_template(system_prompt: str) -> str:
    """What `render` writes after a system turn, as the Jinja template that other engines read."""
    opening = render([Turn("system", (system_prompt,))], ()) if system_prompt else ""
    return (
        "{%- if messages[0]['role'] != 'system' -%}{{ " + json.dumps(opening) + " }}{%- endif -%}"
        "{%- for message in messages -%}{{ '<|im_start|>' + message['role'] + '\\n' }}"
        "{%- if message['content'] is string -%}{{ message['content'] }}{%- else -%}"
        "{%- for part in message['content'] -%}"
        "{%- if part['type'] == 'text' -%}{{ part['text'] }}"
        "{%- elif part['type'].startswith('image') -%}{{ '<image>' }}"
        "{%- else -%}{{ '<video>' }}{%- endif -%}"
        "{%- endfor -%}{%- endif -%}{{ '<|im_end|>\\n' }}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}"
    )


def with_system_prompt(turns: list[Turn], system_prompt: str) -> list[Turn]:
    """The turns after a system turn, unless they begin with their own or the prompt is empty."""
    if not system_prompt or turns[0].role == "system":
        return turns
    return [Turn("system", (system_prompt,)), *turns]


def with_notes(turns: Sequence[Turn], notes: Sequence[str]) -> list[Turn]:
    """The turns with each visual's note (frame times, subtitles) on lines of its own behind the visual."""

    def annotate(pieces: Sequence[str | int]) -> tuple[str | int, ...]:
        out: list[str | int] = []
        for piece in pieces:
            if isinstance(piece, str) and out and isinstance(out[-1], str):
                out[-1] += piece
            else:
                out.append(piece)
            if isinstance(piece, int) and notes[piece]:
                out.append("\n" + notes[piece])
        return tuple(out)

    return [replace(turn, pieces=annotate(turn.pieces)) for turn in turns] if any(notes) else list(turns)


def check_count(marker: str, num_markers: int, num_visuals: int) -> None:
    """Raises AlignmentError with both counts if they differ."""
    if num_markers != num_visuals:
        raise AlignmentError(
            f"the text has {num_markers} {marker} but {num_visuals} visuals came with it; "
            f"each {marker} stands for one."
        )


def check_prompt_style(style: Any) -> PromptStyle:
    """The style itself, or a ConfigError."""
    if style not in ("train", "eval"):
        raise ConfigError(f'prompt_style must be "train" or "eval", not {style!r}.')
    return style


def check_supervise(supervise: Any) -> Supervise | None:
    """The rule of supervision itself, or a ConfigError."""
    if supervise not in ("assistant", "published", None):
        raise ConfigError(f'supervise must be "assistant", "published" or None, not {supervise!r}.')
    return supervise


def _role(name: Any, index: int) -> str:
    role = _ROLES.get(name) if isinstance(name, str) else None
    if role is None:
        raise ConfigError(f"turn {index} is from {name!r}, which is no role; {nearest(name, list(_ROLES))}.")
    return role


def _text_of(part: Any, number: int, index: int) -> str | None:
    """The text of a content part, or None for a visual."""
    if isinstance(part, EncodedVisual):
        return None
    if not isinstance(part, Mapping):
        raise ConfigError(
            f"part {number} of message {index} must be text or a dict, not {type(part).__name__}."
        )
    if part.get("type") not in TEXT_TYPES:
        return None
    if not isinstance(part.get("text"), str):
        raise ConfigError(f"part {number} of message {index} is of type {part['type']!r} but has no text.")
    return part["text"]


def _split(text: str, count: int) -> tuple[tuple[str | int, ...], int]:
    """Pieces of a text, its visuals numbered from `count` on, and the next number."""
    pieces: list[str | int] = []
    for index, chunk in enumerate(text.split(IMAGE_MARKER)):
        if index:
            pieces.append(count)
            count += 1
        if chunk:
            pieces.append(chunk)
    return tuple(pieces), count
