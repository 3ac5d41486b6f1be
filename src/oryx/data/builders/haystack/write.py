"""Haystacks on disk, for other programs: each a video in patch files or a folder, and its record."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from oryx.data.builders.frame_store import make_store
from oryx.data.builders.haystack.needles import Needles, needle_index
from oryx.data.builders.haystack.sources import DrawnHaystack, Haystack
from oryx.errors import ConfigError, OryxError
from oryx.files import is_free, staged_folder

RECORDS = "haystacks.jsonl"
_QUALITY = 95


def write_haystacks(
    output: Path,
    haystack: Haystack,
    needles: Needles,
    lengths: Sequence[int],
    depths: Sequence[float],
    trials: int,
    layout: str = "patch",
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Write a video for every length, depth and trial, and `haystacks.jsonl` beside them.

    A record is one of the LLaVA layout, whose `visuals` say that all frames are wanted; beside it stand
    `depth` (percent), `frame` (the needle's) and `num_frames`. Drawn frames are PNG, frames of videos JPEG;
    they are written as they are made.

    Raises:
        ConfigError: the output is there already, or a layout or number that cannot be.
        MediaError: the haystack has too few frames.
        OryxError: the disk is full; nothing is left then.
    """
    is_png = isinstance(haystack, DrawnHaystack)
    if trials < 1:
        raise ConfigError(f"trials is {trials}; at least 1 is needed.")
    if not is_free(output):
        raise ConfigError(f"the output {output} is there already; choose another one.")
    haystack.check(max(lengths) - 1)
    try:
        with staged_folder(output) as staging:
            store = make_store(staging, layout, suffix=".png" if is_png else ".jpg")
            records = []
            cases = list(itertools.product(lengths, enumerate(depths), range(trials)))
            for number, (length, (place, depth), trial) in enumerate(cases):
                if progress:
                    progress(number, len(cases))
                needle = needles(place * trials + trial)
                index = needle_index(depth, length)
                pictures = _with_needle(haystack.frames(length - 1), needle.image, index)
                video = store.write(number, (_encode(picture, is_png) for picture in pictures))
                records.append(
                    {
                        "id": f"haystack_{number:06d}",
                        "visuals": [{"type": "video", "video": video, "max_frames": length}],
                        "conversations": [
                            {"from": "human", "value": f"<image>\n{needle.question}"},
                            {"from": "gpt", "value": needle.answer},
                        ],
                        "depth": depth,
                        "frame": index,
                        "num_frames": length,
                    }
                )
            lines = "".join(json.dumps(record) + "\n" for record in records)
            (staging / RECORDS).write_text(lines, encoding="utf-8")
    except OSError as error:
        reason = error.strerror or error
        raise OryxError(f"{output} cannot be written ({reason}); nothing was left there.") from None
    return records


def _with_needle(frames: Iterator[Image.Image], needle: Image.Image, index: int) -> Iterator[Image.Image]:
    yield from itertools.islice(frames, index)
    yield needle
    yield from frames


def _encode(image: Image.Image, is_png: bool) -> bytes:
    file = io.BytesIO()
    if is_png:
        image.save(file, "PNG")
    else:
        image.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
