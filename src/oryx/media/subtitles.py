"""Subtitles: SubRip (.srt) and WebVTT (.vtt) files as timed plain text."""

import codecs
import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from oryx.errors import MediaError
from oryx.media.image import open_file

SUFFIXES = (".srt", ".vtt")

# 01:02:03,456 in SubRip; 01:02:03.456 or 02:03.456 in WebVTT. Files in the wild mix the two.
TIME = r"(?:(\d+):)?([0-5]?\d):([0-5]?\d)(?:[.,](\d{1,3}))?"
TIMING = re.compile(rf"\s*{TIME}\s*-->\s*{TIME}(?:\s.*)?$")
MARKUP = re.compile(r"<[^<>\n]*>|\{\\[^{}\n]*\}")  # <i>, <v Speaker>, <00:01.000>, {\an8}


@dataclass(frozen=True)
class Subtitle:
    """Text shown from `start` until `end`, in seconds of the video."""

    start: float
    end: float
    text: str


def read_subtitles(path: str | Path) -> list[Subtitle]:
    """Read a SubRip or WebVTT file (told apart by content): plain text without markup, ordered by start.

    Raises:
        MediaError: missing, empty, without a single subtitle, or with a broken timing line.
    """
    with open_file(path, "a subtitle file (.srt or .vtt)") as file:
        data = file.read()
    lines = _decode(data).splitlines()
    subtitles = sorted(_parse(lines, str(path)), key=lambda subtitle: (subtitle.start, subtitle.end))
    if not subtitles:
        raise MediaError(
            f"'{path}' has no subtitle: SubRip (.srt) or WebVTT (.vtt) text with timings is needed"
        )
    return [subtitle for subtitle in subtitles if subtitle.text]


def find_subtitles(video: str | Path) -> Path | None:
    """The subtitle file beside a video: `clip.srt` or `clip.vtt`, else one of a language (`clip.en.srt`)."""
    video = Path(video)
    if not video.parent.is_dir():
        return None
    beside = [path for path in video.parent.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file()]
    same_name = [path for path in beside if path.stem == video.stem]
    with_language = [path for path in beside if Path(path.stem).stem == video.stem and path not in same_name]
    return next(iter(sorted(same_name) + sorted(with_language)), None)


def _decode(data: bytes) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")  # what old SubRip files are written in


def _parse(lines: list[str], name: str) -> Iterator[Subtitle]:
    """Yield the subtitles: a timing line, then text up to an empty line; all else between is passed over."""
    place = 0
    while place < len(lines):
        line = lines[place]
        place += 1
        if re.match(r"(NOTE|STYLE|REGION)(\s|$)", line):  # a block of WebVTT that is never shown
            while place < len(lines) and lines[place].strip():
                place += 1
            continue
        if "-->" not in line:
            continue
        start, end = _parse_timing(line, f"'{name}', line {place}")
        text = []
        while place < len(lines) and lines[place].strip() and "-->" not in lines[place]:
            text.append(html.unescape(MARKUP.sub("", lines[place])).strip())
            place += 1
        if place < len(lines) and "-->" in lines[place] and text and text[-1].isdecimal():
            text.pop()  # the next subtitle's number, where the empty line before it is missing
        yield Subtitle(start, end, "\n".join(part for part in text if part))


def _parse_timing(line: str, where: str) -> tuple[float, float]:
    match = TIMING.match(line)
    if match is None:
        raise MediaError(f"{where}: '{line.strip()[:60]}' is not a timing like 00:00:01,000 --> 00:00:02,500")
    start, end = _seconds(match.groups()[:4]), _seconds(match.groups()[4:])
    if end < start:
        raise MediaError(f"{where}: '{line.strip()[:60]}' ends before it starts; the end must come after")
    return start, end


def _seconds(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, fraction = (part or "0" for part in parts)
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{fraction}")
