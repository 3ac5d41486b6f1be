"""What a record may look like in a file, whatever the file's format, and the `Record` that comes of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from oryx.data.marks import Mark
from oryx.data.sources.media import Opener, is_patch_list
from oryx.data.sources.messages import read_chat
from oryx.data.sources.needle import read_needle
from oryx.data.sources.record import MEDIA_KEYS, Record
from oryx.data.sources.settings import SourceSettings
from oryx.errors import ConfigError
from oryx.fields import build
from oryx.media.subtitles import Subtitle
from oryx.processing.markers import IMAGE_MARKER
from oryx.processing.visuals import with_dials

CAPTION_KEYS = ("caption", "text")
_COLUMNS = {"image": "image", "images": "image", "video": "video", "videos": "video"}
_FORMS = ("conversations", "messages", "texts")
_KNOWN = {"id", "visuals", *_COLUMNS, *_FORMS}
_KNOWN_OF_NEEDLES = {*_KNOWN, "video_long", "idx", "type", "question", "answer"}


def as_record(entry: Any, place: str, opener: Opener, settings: SourceSettings) -> Record:
    """The record of one entry, with all of its media below their root.

    An entry is one of
    - `conversations` (LLaVA: turns of from and value, with an `<image>` for each visual),
    - `messages` (chat: role and content, a text or a list of parts),
    - `texts` (The Cauldron: objects of user and assistant),
    - `caption` or `text`,
    - a needle record (see `Needle`),
    beside `image`, `images`, `video`, `videos` (one or a list) and `visuals` (dicts of a type, a source and
    its dials). Subtitles that are written out are texts or objects of start, end and text; marks are objects
    of view, y, x and text.

    Raises:
        ConfigError, MediaError: another form; the sentence does not name the place.
    """
    if not isinstance(entry, Mapping):
        raise ConfigError('a record must be an object, such as {"conversations": [...]}.')
    entry = {key: value for key, value in entry.items() if value is not None}
    if "video_long" in entry:
        video = opener.resolve(entry["video_long"])
        needle = read_needle(entry, video, settings.needle_frames, settings.dials)
        _check_characters([needle.question, needle.answer, entry.get("id")])
        beside = {key: value for key, value in entry.items() if key not in _KNOWN_OF_NEEDLES}
        return Record(place, [], [], entry.get("id"), settings.channel_order, needle, beside)
    waiting = _named_visuals(entry)
    if "conversations" in entry:
        turns, visuals = _check_turns(entry["conversations"]), waiting
    elif "messages" in entry:
        turns, visuals = read_chat(entry["messages"], waiting)
    elif "texts" in entry:
        turns, visuals = _read_texts(entry["texts"], len(waiting)), waiting
    else:
        turns, visuals = _read_caption(entry, waiting, settings.prompt), waiting
    resolved = [with_dials(_as_visual(visual, opener), settings.dials) for visual in visuals]
    # Media are left out: the path of a file may hold bytes that are no UTF-8.
    dials = [{key: visual[key] for key in visual if key not in MEDIA_KEYS} for visual in resolved]
    _check_characters([turns, dials, entry.get("id")])
    known = _KNOWN if any(key in entry for key in _FORMS) else {*_KNOWN, *CAPTION_KEYS}
    beside = {key: value for key, value in entry.items() if key not in known}
    return Record(place, resolved, turns, entry.get("id"), settings.channel_order, beside=beside)


def _named_visuals(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Visual dicts of everything that stands beside the conversation, media unresolved."""
    given = entry.get("visuals", [])
    if not isinstance(given, list | tuple) or not all(isinstance(visual, Mapping) for visual in given):
        raise ConfigError('"visuals" must be a list of objects.')
    visuals = list(given)
    for column, kind in _COLUMNS.items():
        value = entry.get(column)
        if value is None:
            continue
        if kind == "video" and is_patch_list(value):
            value = {"frames": value}
        is_several = isinstance(value, list | tuple)
        visuals += [{"type": kind, kind: item} for item in (value if is_several else [value])]
    return visuals


def _check_turns(turns: Any) -> list[dict[str, Any]]:
    is_list = isinstance(turns, list | tuple) and len(turns) > 0
    if not is_list or not all(isinstance(turn, Mapping) and {"from", "value"} <= set(turn) for turn in turns):
        raise ConfigError('"conversations" must be a list of turns, each with "from" and "value".')
    return [dict(turn) for turn in turns]


def _read_texts(texts: Any, num_visuals: int) -> list[dict[str, Any]]:
    are_pairs = isinstance(texts, list | tuple) and all(
        isinstance(pair, Mapping)
        and isinstance(pair.get("user"), str)
        and isinstance(pair.get("assistant"), str)
        for pair in texts
    )
    if not are_pairs or not texts:
        raise ConfigError('"texts" must be a list of objects with the texts user and assistant.')
    turns = []
    for number, pair in enumerate(texts):
        markers = f"{IMAGE_MARKER}\n" * num_visuals if number == 0 else ""
        turns.append({"from": "human", "value": markers + pair["user"]})
        turns.append({"from": "gpt", "value": pair["assistant"]})
    return turns


def _read_caption(
    entry: Mapping[str, Any], visuals: Sequence[Mapping[str, Any]], prompt: str | None
) -> list[dict[str, Any]]:
    caption = next((entry[key] for key in CAPTION_KEYS if isinstance(entry.get(key), str)), None)
    if caption is None:
        raise ConfigError(
            'a record needs "conversations", "messages", "texts", a "caption" or the keys of a needle record.'
        )
    if not caption.strip():
        raise ConfigError("the caption is empty.")
    if not visuals:
        raise ConfigError("a caption needs a picture or a video.")
    if prompt is None:
        prompt = "Describe the video." if visuals[0].get("type") == "video" else "Describe the image."
    question = f"{IMAGE_MARKER}\n" * len(visuals) + prompt
    return [{"from": "human", "value": question}, {"from": "gpt", "value": caption.strip()}]


def _as_visual(visual: Mapping[str, Any], opener: Opener) -> dict[str, Any]:
    """The visual dict with its media resolved, and its marks and subtitles as what they are."""
    made = {key: value for key, value in visual.items() if value is not None}
    for key in MEDIA_KEYS:
        if key in made:
            made[key] = opener.resolve(made[key])
    if "marks" in made:
        made["marks"] = _as_marks(made["marks"])
    subtitles = made.get("subtitles")
    if isinstance(subtitles, str):
        made["subtitles"] = opener.below(subtitles)
    elif subtitles is not None and not isinstance(subtitles, bool):
        made["subtitles"] = _as_subtitles(subtitles)
    return made


def _as_marks(entries: Any) -> list[Mark]:
    if not isinstance(entries, list):
        raise ConfigError('"marks" must be a list of objects with view, y, x and text.')
    marks = [build(Mark, entry, lambda key: key, f"marks[{number}]") for number, entry in enumerate(entries)]
    for number, mark in enumerate(marks):
        if not (0 <= mark.y <= 1 and 0 <= mark.x <= 1):
            raise ConfigError(
                f"marks[{number}] is at y {mark.y:g} and x {mark.x:g}; both must be from 0 to 1."
            )
    return marks


def _as_subtitles(entries: Any) -> list[str | Subtitle]:
    if not isinstance(entries, list):
        raise ConfigError('"subtitles" must be true, a path, or a list of texts or objects.')
    return [
        entry if isinstance(entry, str) else build(Subtitle, entry, lambda key: key, f"subtitles[{number}]")
        for number, entry in enumerate(entries)
    ]


def _check_characters(said: Any) -> None:
    """Raises ConfigError for half a character, which neither a tokenizer nor a file takes."""
    for text in _texts(said):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            half = ascii(text[error.start])
            raise ConfigError(f"it holds {half}, half a character, as is left of a cut-off emoji.") from None


def _texts(value: Any) -> Iterator[str]:
    """All texts in plain values, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mark | Subtitle):
        yield value.text
    elif isinstance(value, Mapping):
        yield from _texts([*value, *value.values()])
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
