"""Some records on one picture, to look at: the target frames, the question, the answer."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from oryx.data.builders.frame_store import FrameStore, read_frame
from oryx.data.builders.needle.folder import write_file
from oryx.data.lettering import own_font, wrap, write
from oryx.media.sampling import spread

MAX_RECORDS = 12
_HEIGHT, _FRAME_WIDTH, _TEXT_WIDTH, _GAP = 150, 240, 560, 8
_FONT_SIZE, _LINE = 13, 17
_GROUND, _INK, _FAINT = (28, 28, 28), (235, 235, 235), (150, 190, 230)


def draw_contact_sheet(
    records: Sequence[Mapping[str, Any]], clips: Sequence[Mapping[str, Any]], store: FrameStore, path: Path
) -> None:
    """Draw up to 12 records, spread over all, into a PNG file.

    Args:
        records, clips: events of the log.
        store: where the clips' frames are.

    Raises:
        OryxError: the file cannot be written.
    """
    if not records:
        return
    ordered = sorted(records, key=lambda event: event["job"])
    chosen = [ordered[place] for place in spread(len(ordered), MAX_RECORDS)]
    names = {clip["clip"]: clip["video"] for clip in clips}
    rows = [_draw_row(event, names.get(event["clip"], ""), store) for event in chosen]
    sheet = Image.new("RGB", (rows[0].width, len(rows) * (_HEIGHT + _GAP) + _GAP), _GROUND)
    for number, row in enumerate(rows):
        sheet.paste(row, (0, _GAP + number * (_HEIGHT + _GAP)))
    file = io.BytesIO()
    sheet.save(file, "PNG")
    write_file(path, file.getvalue())


def _draw_row(event: Mapping[str, Any], video: str, store: FrameStore) -> Image.Image:
    record = event["record"]
    row = Image.new("RGB", (2 * (_FRAME_WIDTH + _GAP) + _TEXT_WIDTH + 2 * _GAP, _HEIGHT), _GROUND)
    left = _GAP
    for index in record["idx"]:
        with Image.open(io.BytesIO(read_frame(store, record["video_long"], index))) as frame:
            frame.thumbnail((_FRAME_WIDTH, _HEIGHT))
            row.paste(frame, (left, 0))
        left += _FRAME_WIDTH + _GAP
    draw, font = ImageDraw.Draw(row), own_font(_FONT_SIZE)
    left = 2 * (_FRAME_WIDTH + _GAP) + _GAP
    places = " and ".join(map(str, record["idx"]))
    write(draw, (left, 0), f"{event['job']}  {record['type']}  frame {places} of {video}", font, _FAINT)
    lines = wrap(record["question"], font, _TEXT_WIDTH, 2)
    lines += wrap(record["answer"], font, _TEXT_WIDTH, 7 - len(lines))
    for number, line in enumerate(lines, start=1):
        write(draw, (left, number * _LINE), line, font, _INK)
    return row
