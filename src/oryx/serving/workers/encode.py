"""One job in its worker: planned from headers, held against the limits, and only then decoded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oryx.errors import ConfigError, MediaError
from oryx.media.container import open_container
from oryx.media.image import describe
from oryx.media.subtitles import find_subtitles
from oryx.processing import chat
from oryx.processing.collate import EncodedSample
from oryx.processing.context import advice, check_context
from oryx.processing.forecast import Forecast, VisualForecast, forecast_visual
from oryx.processing.headers import read_header
from oryx.processing.markers import TEXT_TYPES
from oryx.processing.processor import OryxProcessor
from oryx.processing.visuals import visual_source, visual_type, with_dials
from oryx.serving.encoding import EncodingJob, EncodingLimits
from oryx.serving.media.files import check_inside
from oryx.serving.workers.checks import sources_of, too_large, visuals_of


@dataclass(frozen=True)
class PlannedJob:
    """A job that is within the limits, before a pixel is decoded."""

    messages: list[dict[str, Any]]
    """Every visual has all of its dials, budgets spent."""
    visuals: tuple[VisualForecast, ...]
    num_positions: int
    """Of the whole prompt."""


def plan_job(
    processor: OryxProcessor, job: EncodingJob, limits: EncodingLimits, root: Path | None
) -> PlannedJob:
    """What a job will be, from the headers of its media.

    Args:
        root: the media root, below which every path must still be.

    Raises:
        RequestError: more than the limits allow.
        OryxError: what the processor refuses.
    """
    check_paths(job, root)
    turns, visuals = chat.read_messages(
        job.messages, not job.continue_final_message, job.continue_final_message
    )
    dials = processor.check_dials(job.dials)
    visuals = [with_dials(visual, dials) for visual in visuals]
    turns = chat.with_system_prompt(turns, processor.system_prompt)
    encoder = processor.chat_encoder(job.prompt_style)  # type: ignore[arg-type]
    if job.budget is not None:
        num_text = len(encoder.encode(turns, [0] * len(visuals)).ids)
        planner = processor.planner
        visuals = planner.spend(visuals, job.budget, num_text, count_note=processor.count_note)
    planned = [_plan(processor, visual, place, len(visuals)) for place, visual in enumerate(visuals)]
    forecasts = tuple(forecast for _, forecast in planned)
    check_visuals(forecasts, limits)
    noted = chat.with_notes(turns, [forecast.note for forecast in forecasts])
    num_positions = len(encoder.encode(noted, [forecast.num_tokens for forecast in forecasts]).ids)
    what_to_do = advice(bool(visuals), answer="")
    check_context(num_positions, 1, _most_positions(processor, limits), what_to_do)
    messages = _with_visuals(job.messages, [visual for visual, _ in planned])
    return PlannedJob(messages, forecasts, num_positions)


def encode_job(
    processor: OryxProcessor, job: EncodingJob, limits: EncodingLimits, root: Path | None
) -> EncodedSample:
    """Ids and patches of a job. Arguments and errors are those of `plan_job`, which comes first."""
    planned = plan_job(processor, job, limits, root)
    return processor.encode_messages(
        planned.messages,
        not job.continue_final_message,
        job.continue_final_message,
        job.prompt_style,  # type: ignore[arg-type]
    )


def forecast_job(
    processor: OryxProcessor, job: EncodingJob, limits: EncodingLimits, root: Path | None
) -> dict[str, Any]:
    """What a job will cost, as `oryx plan --question ... --json` tells it."""
    planned = plan_job(processor, job, limits, root)
    planner = processor.planner
    if planner.sizes is None:
        raise ConfigError("this model's costs cannot be forecast: its sizes are of an unknown kind.")
    return Forecast(planned.visuals, planner.sizes, planned.num_positions, planner.speed).to_dict()


def check_paths(job: EncodingJob, root: Path | None) -> None:
    """Every path of a job once more, now that it is to be opened.

    Raises:
        RequestError: one that is not below the root, or no longer.
    """
    for visual in visuals_of(job):
        subtitles = visual.get("subtitles")
        subtitles = job.dials.get("subtitles") if subtitles is None else subtitles
        for source in sources_of(visual):
            if isinstance(source, Path):
                check_inside(source, root)
                beside = find_subtitles(source) if subtitles is True else None
                if beside is not None:
                    check_inside(beside, root)
        if isinstance(subtitles, Path):
            check_inside(subtitles, root)


def check_visuals(visuals: Sequence[VisualForecast], limits: EncodingLimits) -> None:
    """Raises RequestError for more frames or patches than are allowed."""
    num_frames = sum(visual.num_frames for visual in visuals if visual.kind != "image")
    if num_frames > limits.max_frames:
        raise too_large(f"{num_frames:,} frames and views", limits.max_frames)
    num_patches = sum(view.num_patches for visual in visuals for view in visual.views)
    if num_patches > limits.max_patches:
        raise too_large(f"{num_patches:,} patches", limits.max_patches)


def _plan(processor: OryxProcessor, visual: Any, place: int, number: int) -> tuple[Any, VisualForecast]:
    """The visual with its own budget spent, and what it will be."""
    try:
        (visual,) = processor.planner.spend([visual])
        return visual, forecast_visual(visual, processor.rule, read_header(visual))
    except (ConfigError, MediaError) as error:
        message = _why_no_image(visual) if isinstance(error, MediaError) else None
        if number == 1 and message is None:
            raise
        prefix = "" if number == 1 else f"visual {place + 1} of {number}: "
        raise type(error)(f"{prefix}{message or error}") from None


def _why_no_image(visual: Any) -> str | None:
    """A video that was given as a picture is told so; None for anything else."""
    if visual_type(visual) != "image":
        return None
    source = visual_source(visual, "image")
    try:
        with open_container(source, threads=False, header_only=True):
            return f"{describe(source)} is a video, not a picture: give it as a video (video_url)"
    except MediaError:
        return None


def _most_positions(processor: OryxProcessor, limits: EncodingLimits) -> int | None:
    """Positions that prompt and answer may have together."""
    sizes = processor.planner.sizes
    context = None if sizes is None else sizes.context_length
    if limits.max_positions is None:
        return context
    most = limits.max_positions + 1  # an answer has one at least
    return most if context is None else min(context, most)


def _with_visuals(messages: Sequence[Mapping[str, Any]], visuals: Iterable[Any]) -> list[dict[str, Any]]:
    """The messages with their visual parts exchanged for others, in order."""
    left = iter(visuals)

    def exchange(part: Any) -> Any:
        is_visual = isinstance(part, Mapping) and part.get("type") not in TEXT_TYPES
        return next(left) if is_visual else part

    out = []
    for message in messages:
        content = message.get("content")
        if isinstance(content, list | tuple):
            content = [exchange(part) for part in content]
        out.append({**message, "content": content})
    return out
