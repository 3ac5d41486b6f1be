"""Needles in haystacks: the records of `oryx data haystack` (docs/needle.md)."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from oryx.errors import ConfigError
from oryx.evaluation.metrics import is_contained, is_match
from oryx.processing.markers import IMAGE_MARKER

logger = logging.getLogger(__name__)


def doc_to_text(doc: dict[str, Any], lmms_eval_specific_kwargs: dict[str, Any] | None = None) -> str:
    """The question."""
    return doc["conversations"][0]["value"].removeprefix(f"{IMAGE_MARKER}\n")


def doc_to_messages(doc: dict[str, Any], lmms_eval_specific_kwargs: dict[str, Any]) -> list[dict[str, Any]]:
    """All frames of the video, whatever `max_frames` says, and the question.

    Args:
        lmms_eval_specific_kwargs: `root` is the haystacks' folder.

    Raises:
        ConfigError: the videos are in patch files.
    """
    root, video = lmms_eval_specific_kwargs["root"], doc["visuals"][0]["video"]
    if not isinstance(video, str):
        raise ConfigError("the haystacks are in patch files; write them with --layout folder.")
    frames = {"type": "video", "url": str(Path(root) / video), "max_frames": doc["num_frames"]}
    return [{"role": "user", "content": [frames, {"type": "text", "text": doc_to_text(doc)}]}]


def doc_to_target(doc: dict[str, Any]) -> str:
    """The right answer."""
    return doc["conversations"][1]["value"]


def process_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """Whether the answer is right: but for case, space and a full stop; and as a part of a longer answer."""
    place = {"frames": doc["num_frames"], "depth": doc["depth"]}
    expected = doc_to_target(doc)
    return {
        "exact": {**place, "score": float(is_match(results[0], expected))},
        "contains": {**place, "score": float(is_contained(results[0], expected))},
    }


def mean_by_length(values: Sequence[dict[str, Any]]) -> float:
    """The share of right answers; that of each length goes into the log."""
    lengths: dict[int, list[float]] = defaultdict(list)
    for value in values:
        lengths[value["frames"]].append(value["score"])
    for length, scores in sorted(lengths.items()):
        logger.warning("needle, %d frames: %.4f of %d", length, sum(scores) / len(scores), len(scores))
    return sum(value["score"] for value in values) / len(values)
