"""How long a record is, from its text and the headers of its media."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from oryx.data.sources.record import Record
from oryx.errors import ConfigError, OryxError
from oryx.processing.budget import Planner
from oryx.processing.chat import read_conversation
from oryx.processing.forecast import forecast_visual
from oryx.processing.geometry import ResizeRule
from oryx.processing.visuals import EncodedVisual, open_visual, visual_source, visual_type

if TYPE_CHECKING:
    from oryx.processing.processor import OryxProcessor


def measure(record: Record, processor: OryxProcessor) -> tuple[int, int]:
    """(positions, patches) of a record; of a needle record, the most positions that any pass takes.

    Raises:
        ConfigError, MediaError, AlignmentError: those that its encoding would, but for those of its pixels,
            and a ConfigError where the assistant says nothing; each begins with the record's place.
    """
    try:
        if record.needle is not None:
            visual, turns, margin = record.needle.measured(processor.rule)
            visuals = [visual]
        else:
            turns, margin = record.conversations, 0
            visuals = [measured_visual(visual, processor.rule) for visual in record.opened_heads()]
        length = len(processor.encode_sample(turns, visuals, supervise=None))
        _check_words(turns, len(visuals))
    except OryxError as error:
        raise type(error)(f"{record.place}: {error}") from None
    patches = sum(view.num_patches for visual in visuals for view in visual.views)
    return length + margin, patches


def measured_visual(visual: Mapping[str, Any], rule: ResizeRule) -> EncodedVisual:
    """The visual without its patches, to count its tokens. The headers of its files are enough for that."""
    (visual,) = Planner(rule).spend([visual])
    if isinstance(visual_source(visual, visual_type(visual)), list):
        open_visual(visual, rule)  # pictures are opened when they are asked for: this checks the dials alone
    seen = forecast_visual(visual, rule)
    return EncodedVisual(seen.layout, seen.views, None, seen.note)


def _check_words(turns: Sequence[Mapping[str, Any]], num_visuals: int) -> None:
    """Raises ConfigError for a conversation of which nothing would be learned."""
    answers = (turn for turn in read_conversation(turns, num_visuals) if turn.role == "assistant")
    if not any(isinstance(piece, str) and piece.strip() for turn in answers for piece in turn.pieces):
        raise ConfigError(
            "the assistant says nothing in it, so nothing would be learned; records for evaluation, whose "
            "answers are left open, are not for training."
        )
