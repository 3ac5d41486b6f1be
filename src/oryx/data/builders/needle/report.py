"""What a run made, in numbers."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from oryx.data.builders.needle.log import RunLog
from oryx.data.sources.needle import CAPTION, DIFFERENCE


@dataclass(frozen=True)
class NeedleReport:
    """Totals over all runs that filled the folder, but for the seconds."""

    records: int
    captions: int
    differences: int
    clips: int
    videos: int
    """Videos that gave a clip."""
    frames: int
    frame_bytes: int
    """Of all frames on disk."""
    words: float
    """Mean words of an answer."""
    different_answers: float
    """Different answers, as a share of all: 1 unless the captioner repeats itself."""
    faults: dict[str, int]
    """Reason -> answers thrown away for it, those included that a later try made good."""
    skipped: list[dict[str, Any]]
    """Records that got no caption: job, video, idx, reason, and whether a run that makes more tries again."""
    unusable: dict[str, str]
    """Files that gave no clip, with the reason."""
    unsuitable: int
    """Stretches of video that were passed over."""
    captioners: list[str]
    seconds: float
    """Of this run."""

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)


def make_report(log: RunLog, seconds: float) -> NeedleReport:
    """The report of the events in a log."""
    made = {event["job"]: event for event in log.of("record")}
    skipped = {event["job"]: event for event in log.of("skipped") if event["job"] not in made}
    clips, unsuitable = log.of("clip"), log.of("unsuitable")
    videos = {event["video"] for event in clips}
    answers = [event["record"]["answer"] for event in made.values()]
    tasks = Counter(event["record"]["type"] for event in made.values())
    faults: Counter[str] = Counter()
    for event in [*log.of("record"), *log.of("skipped")]:
        faults.update(event["faults"])
    return NeedleReport(
        records=len(made),
        captions=tasks[CAPTION],
        differences=tasks[DIFFERENCE],
        clips=len(clips),
        videos=len(videos),
        frames=sum(len(event["times"]) for event in clips),
        frame_bytes=sum(event["bytes"] for event in clips),
        words=statistics.fmean(len(answer.split()) for answer in answers) if answers else 0.0,
        different_answers=len(set(answers)) / len(answers) if answers else 0.0,
        faults=dict(faults.most_common()),
        skipped=[
            {key: event[key] for key in ("job", "video", "idx", "reason", "again")}
            for event in skipped.values()
        ],
        unusable={
            event["video"]: event["reason"]
            for event in unsuitable
            if event.get("unusable") and event["video"] not in videos
        },
        unsuitable=len(unsuitable),
        captioners=sorted({event["captioner"] for event in made.values()}),
        seconds=round(seconds, 2),
    )
