"""A look at every record of a source: whether its media open and decode, and how long it is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from oryx.data.sources.base import Source
from oryx.data.sources.counting import Finding, Measuring, look_at
from oryx.data.sources.media import Frames, is_folder, open_picture, open_video
from oryx.data.sources.needle import Needle
from oryx.data.sources.record import MEDIA_KEYS, Record
from oryx.errors import ConfigError, OryxError
from oryx.media.image import open_image
from oryx.media.probe import probe_video
from oryx.media.video import read_frames
from oryx.media.views import list_views

if TYPE_CHECKING:
    from oryx.processing.processor import OryxProcessor


@dataclass
class SourceReport:
    """What a source holds."""

    title: str
    licence: str
    num_records: int
    num_tokens: int = 0
    """Positions of all whole records."""
    broken: list[str] = field(default_factory=list)
    """What is wrong with the others, each beginning with its place."""

    @property
    def num_whole(self) -> int:
        return self.num_records - len(self.broken)

    @property
    def mean_length(self) -> float:
        """Positions of a whole record."""
        return self.num_tokens / max(self.num_whole, 1)


def check_source(
    source: Source,
    processor: OryxProcessor,
    quick: bool = False,
    row_length: int | None = None,
    num_workers: int = 0,
    advance: Callable[[], None] = lambda: None,
) -> SourceReport:
    """Look at all records of a source.

    Args:
        quick: read headers alone; broken pixels stay unseen.
        row_length: longer records are broken too.
        num_workers: processes that look.
        advance: called after each record.
    """
    report = SourceReport(source.settings.title, source.settings.licence, len(source))
    look: Callable[[int], Finding] = Measuring(source, processor) if quick else _Decoding(source, processor)
    for finding in look_at(source, look, num_workers):
        problem = finding.problem
        if not problem and row_length is not None and finding.length > row_length:
            problem = (
                f"{source.place(finding.index)}: it has {finding.length} positions, more than "
                f"batch.row_length ({row_length})."
            )
        if problem:
            report.broken.append(problem)
        else:
            report.num_tokens += finding.length
        advance()
    return report


@dataclass(frozen=True)
class _Decoding:
    """Looks at a record as training does, and at the stored frames that it would not choose."""

    source: Source
    processor: OryxProcessor

    def __call__(self, index: int) -> Finding:
        measured = Measuring(self.source, self.processor)(index)
        if measured.problem:
            return measured
        record = self.source.read(index)
        try:
            sample = _encode(record, self.processor)
            if len(sample) > measured.length:
                raise ConfigError(
                    f"it has {len(sample)} positions, {measured.length} by its headers: its frames differ "
                    "in size."
                )
        except OryxError as error:
            return Finding(index, problem=f"{record.place}: {error}")
        return Finding(index, measured.length, measured.patches)


def _encode(record: Record, processor: OryxProcessor) -> Any:
    for visual in record.visuals:
        for key in MEDIA_KEYS:
            if isinstance(visual.get(key), Frames):
                _decode_frames(visual[key])
    if record.needle is not None:
        _decode_long_video(record.needle)
    drawn = record.draw("check", 0)
    return processor.encode_sample(drawn.conversations, drawn.opened())


def _decode_long_video(needle: Needle) -> None:
    """All frames that are stored; of a film, those that some pass shows."""
    if isinstance(needle.video, Frames | list):
        _decode_frames(needle.video)
    elif is_folder(needle.video):
        _decode_frames(list_views(needle.video))
    else:
        source = open_video(needle.video)
        shown = needle.spread(probe_video(source).num_frames)
        with closing(read_frames(source, sorted({*shown, *needle.targets}))) as frames:
            for _ in frames:
                pass


def _decode_frames(frames: Any) -> None:
    for number, frame in enumerate(frames):
        try:
            open_image(open_picture(frame))
        except OryxError as error:
            raise type(error)(f"frame {number}: {error}") from None
