"""What a question on the page will cost, from headers alone, and the sentence when it cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oryx.cli.forecast import stand_ins
from oryx.cli.media import read_media
from oryx.errors import ConfigError, MediaError
from oryx.processing.budget import Planner
from oryx.processing.forecast import Forecast
from oryx.processing.headers import read_header
from oryx.processing.markers import IMAGE_MARKER, with_markers
from oryx.processing.visuals import with_dials
from oryx.web.settings import Settings

if TYPE_CHECKING:
    from oryx.processing.processor import OryxProcessor


@dataclass(frozen=True)
class Media:
    """What was dropped."""

    paths: tuple[str, ...] = ()
    as_views: bool = False
    """The pictures are views of one scene."""


@dataclass(frozen=True)
class Limits:
    """How much one question may bring along."""

    max_files: int = 64
    max_frames: int = 256
    """Of each video."""
    max_pixels: int = 64_000_000
    """Height times width of a picture or of a video's frames, before it is resized."""


@dataclass(frozen=True)
class Plan:
    """A question's media with every dial set, and what they cost."""

    visuals: tuple[dict[str, Any], ...]
    forecast: Forecast


Exchange = tuple[str, str]
"""A question and its answer."""


class PagePlanner:
    """Plans questions for one model.

    Args:
        planner: with the model's numbers.
        processor: counts the text.
    """

    def __init__(self, planner: Planner, processor: OryxProcessor, limits: Limits | None = None) -> None:
        self.planner = planner
        self.processor = processor
        self.limits = limits or Limits()

    def plan(
        self, media: Media, settings: Settings, question: str = "", earlier: Sequence[Exchange] = ()
    ) -> Plan:
        """The plan of a question in a conversation that has begun with `earlier`.

        Raises:
            OryxError: a medium that cannot be read, a dial that cannot be, a budget that cannot be met, or a
                prompt and answer longer than the model reads; files are called by their names alone.
        """
        try:
            return self._plan(media, settings, question, earlier)
        except (ConfigError, MediaError) as error:
            raise type(error)(without_folders(str(error), media.paths)) from None

    def _plan(self, media: Media, settings: Settings, question: str, earlier: Sequence[Exchange]) -> Plan:
        visuals = [with_dials(visual, settings.dials) for visual in find_visuals(media, self.limits)]
        turns: list[Any] = [*turns_of(earlier, question, len(visuals)), {"from": "gpt", "value": None}]
        style: Any = settings.prompt_style
        num_text = self.processor.count_text(turns, len(visuals), style)
        visuals = self.planner.spend(
            visuals, settings.budget, num_text, settings.max_new_tokens, self.processor.count_note
        )
        forecast = self.planner.forecast(visuals)
        prompt = self.processor.encode_sample(turns, stand_ins(forecast.visuals), None, style)
        forecast = replace(forecast, prompt_tokens=len(prompt))
        self.planner.check(forecast, settings.max_new_tokens)
        return Plan(tuple(visuals), forecast)


def find_visuals(media: Media, limits: Limits) -> list[dict[str, Any]]:
    """A visual dict for each medium, or one for all views, without dials.

    Raises:
        MediaError: one that cannot be read, or more files or pixels than allowed.
    """
    if len(media.paths) > limits.max_files:
        raise MediaError(f"{len(media.paths)} files are too many; at most {limits.max_files} are read.")
    visuals = read_media(media.paths, {}, media.as_views and bool(media.paths))
    for visual in visuals:
        header = read_header(visual)
        height, width = max(header.sizes, key=lambda size: size[0] * size[1])
        if height * width > limits.max_pixels:
            raise MediaError(
                f"{header.name} is {height:,} x {width:,} pixels (height x width); "
                f"at most {limits.max_pixels:,} are read here."
            )
    return visuals


def turns_of(earlier: Sequence[Exchange], question: str, num_visuals: int) -> list[dict[str, str]]:
    """The turns of a conversation up to a question; all visuals belong to the first one.

    Raises:
        AlignmentError: the first question writes `<image>` more or less often than there are visuals.
    """
    turns: list[dict[str, str]] = []
    for asked, said in earlier:
        turns += [{"from": "human", "value": asked}, {"from": "gpt", "value": _plain(said)}]
    turns.append({"from": "human", "value": question})
    for index, turn in enumerate(turns):
        if turn["from"] == "human":
            value = turn["value"]
            turn["value"] = _plain(value) if index else with_markers(value, num_visuals)
    return turns


def _plain(text: str) -> str:
    """A marker that stands for no visual."""
    return text.replace(IMAGE_MARKER, IMAGE_MARKER.strip("<>"))


def without_folders(sentence: str, paths: Sequence[str]) -> str:
    """A sentence about files that names them without the folders that they were uploaded to."""
    for folder in sorted({str(Path(path).parent) for path in paths}, key=len, reverse=True):
        sentence = sentence.replace(folder + "/", "").replace(folder, "the upload")
    return sentence
