"""From a folder of videos to needle records: clips, targets, captions, and everything kept as it comes."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oryx.data.builders.frame_store import FrameStore, Place, make_store, read_frame
from oryx.data.builders.needle.captioners import Attempt, Captioner, caption
from oryx.data.builders.needle.clips import UnsuitableError, VideoFolder
from oryx.data.builders.needle.contact_sheet import draw_contact_sheet
from oryx.data.builders.needle.folder import LOG, RECORDS, SHEET, SUMMARY, open_folder, write_file
from oryx.data.builders.needle.log import RunLog, disk_error
from oryx.data.builders.needle.questions import PROMPTS, draw_question
from oryx.data.builders.needle.report import NeedleReport, make_report
from oryx.data.builders.needle.settings import NeedleSettings
from oryx.data.builders.needle.targets import choose_targets
from oryx.data.builders.needle.workers import Workers
from oryx.data.sources.needle import CAPTION, DIFFERENCE
from oryx.errors import ConfigError, MediaError, OryxError

MAX_ROUNDS = 3
"""Times that every video of the folder may fail to give a clip, one after the other."""
MIN_MISSES = 20
"""Stretches of a small folder that may be unsuitable, one after the other: a film has black parts."""


@dataclass(frozen=True)
class Job:
    """One record to be made."""

    number: int
    clip: int
    video: str
    task: str
    idx: list[int]
    place: Place
    times: list[float]
    """Seconds of the target frames in their video."""


def build_needles(
    videos: str | Path,
    output: str | Path,
    captioner: Captioner,
    settings: NeedleSettings | None = None,
    prompts: Mapping[str, str] = PROMPTS,
    retries: int = 3,
    backoff: float = 1.0,
    max_failures: int = 10,
    progress: Callable[[int, int], None] | None = None,
) -> NeedleReport:
    """Make `settings.count` records in a folder, or those that it lacks.

    Args:
        videos: a folder of videos, inner folders included.
        output: the folder to make or to go on with; see `builders.needle.folder`.
        prompts: what the captioner is told for "caption" and "diff".
        retries, backoff: as in `captioners.caption`.
        max_failures: so many records in a row that got no caption end the run.
        progress: called with (records there are, records wanted).

    Raises:
        ConfigError: settings or folders that cannot be, or a captioner that refuses for good.
        MediaError: no video of the folder gives a clip.
        OryxError: too many failures in a row, or a full disk. What was made is kept in every case.
    """
    settings = settings or NeedleSettings()
    videos, output = Path(videos), Path(output)
    if retries < 0 or max_failures < 1:
        raise ConfigError("retries must be at least 0, and max_failures at least 1.")
    if set(prompts) != set(PROMPTS):
        raise ConfigError(f"prompts are needed for {' and '.join(PROMPTS)}, not for {', '.join(prompts)}.")
    source = VideoFolder(videos, settings.seed)
    if output.resolve().is_relative_to(videos.resolve()):
        raise ConfigError(f"the output {output} lies inside the folder of videos; choose another one.")
    asked = {**settings.to_dict(), "videos": str(videos.resolve()), "prompts": dict(prompts)}
    open_folder(output, asked)
    began = time.perf_counter()
    with RunLog(output / LOG) as log:
        places = [event["place"] for event in log.of("clip")]
        run = _Run(source, output, log, make_store(output, settings.layout, places), settings)
        stop = threading.Event()

        def work(job: Job) -> tuple[Attempt, float]:
            started = time.perf_counter()
            pictures = [read_frame(run.store, job.place, index) for index in job.idx]
            attempt = caption(captioner, pictures, prompts[job.task], retries, backoff, stop)
            return attempt, time.perf_counter() - started

        workers = Workers(work, captioner.workers)
        try:
            _fill(run, workers, captioner, max_failures, progress)
        finally:
            stop.set()
            workers.close()
            while (result := _taken(workers)) is not None:
                run.finish(*result, captioner.name)
            run.write_records()
        report = make_report(log, time.perf_counter() - began)
        write_file(output / SUMMARY, json.dumps(report.to_dict(), indent=1).encode() + b"\n")
        draw_contact_sheet(log.of("record"), log.of("clip"), run.store, output / SHEET)
    return report


def _fill(
    run: _Run,
    workers: Workers[Job, tuple[Attempt, float]],
    captioner: Captioner,
    max_failures: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Make records until there are as many as wanted."""
    jobs, count = run.jobs(), run.settings.count
    failed: list[int] = []  # jobs in a row
    end: MediaError | None = None
    while len(run.records) < count:
        if progress:
            progress(len(run.records), count)
        # One more than there are threads: its clip is read while they wait for their answers.
        while end is None and workers.num_pending < min(captioner.workers + 1, count - len(run.records)):
            try:
                workers.give(next(jobs))
            except MediaError as error:  # told when what was asked about is answered
                end = error
        if end is not None and not workers.num_pending:
            raise end
        result = workers.take()
        assert result is not None
        attempt = run.finish(*result, captioner.name)
        failed = [] if attempt.text is not None else [*failed, result[0].number]
        if len(failed) >= max_failures:
            # So many at once are no fault of theirs, unless the captioner would say the same again.
            if not captioner.is_deterministic:
                run.log.append("ended", again=failed)
            raise OryxError(
                f"{len(failed)} records in a row got no caption, the last because {attempt.error}; "
                f"{len(run.records)} of {count} records are kept, and the same command goes on from them."
            )
    if progress:
        progress(count, count)


def _taken(workers: Workers[Job, tuple[Attempt, float]]) -> tuple[Job, tuple[Attempt, float]] | None:
    """A caption that came meanwhile; of records without one the end of the run may be the cause.

    One error ends the run, and that of another thread adds nothing.
    """
    while True:
        try:
            result = workers.take(wait=False)
        except Exception:
            continue
        if result is None or result[1][0].text is not None:
            return result


class _Run:
    """What there is of a run, and what is still to be done."""

    def __init__(
        self, source: VideoFolder, output: Path, log: RunLog, store: FrameStore, settings: NeedleSettings
    ) -> None:
        self.source = source
        self.output = output
        self.log = log
        self.store = store
        self.settings = settings
        self.records = {event["job"]: event["record"] for event in log.of("record")}

    def jobs(self) -> Iterator[Job]:
        """Jobs without a record, in order: those of clips that are there, then those of new clips."""
        given_up: set[int] = set()
        for event in self.log.events:
            if event["event"] == "skipped" and not event["again"]:
                given_up.add(event["job"])
            elif event["event"] == "ended":
                given_up.difference_update(event["again"])
        clips = {event["clip"]: event for event in self.log.of("clip")}
        passed = {event["clip"] for event in self.log.of("unsuitable")}
        for clip in clips.values():
            for job in self._jobs_of(clip):
                if job.number not in self.records and job.number not in given_up:
                    yield job
        number = max([*clips, *passed], default=-1)
        misses = 0
        while True:
            number += 1
            made = self._make_clip(number)
            if made is None:
                misses += 1
                self._check_misses(misses)
                continue
            misses = 0
            yield from self._jobs_of(made)

    def finish(self, job: Job, done: tuple[Attempt, float], captioner: str) -> Attempt:
        """Write down what came of a job."""
        attempt, seconds = done
        shared = {"tries": attempt.tries, "faults": dict(attempt.faults), "seconds": round(seconds, 3)}
        if attempt.text is None:
            assert attempt.error is not None
            self.log.append(
                "skipped",
                job=job.number,
                clip=job.clip,
                video=job.video,
                idx=job.idx,
                reason=str(attempt.error),
                again=attempt.error.is_outage,
                **shared,
            )
            return attempt
        rng = random.Random(f"{self.settings.seed} job {job.number}")
        record = {
            "video_long": job.place,
            "idx": job.idx,
            "type": job.task,
            "question": draw_question(job.task, rng),
            "answer": attempt.text,
        }
        self.log.append("record", job=job.number, clip=job.clip, record=record, captioner=captioner, **shared)
        self.records[job.number] = record
        return attempt

    def write_records(self) -> None:
        """The file that the reader takes, in the order of the jobs."""
        records = [record for _, record in sorted(self.records.items())]
        text = ",\n".join(json.dumps(record) for record in records)
        write_file(self.output / RECORDS, f"[\n{text}\n]\n".encode())

    def _make_clip(self, number: int) -> dict[str, Any] | None:
        """Clip `number`, its frames kept; None if its video gives none."""
        name = self.source.draw(number)
        per_clip = self.settings.per_clip
        tasks = [(CAPTION, DIFFERENCE)[turn % 2] for turn in range(per_clip)]
        try:
            frames = self.source.read(number, self.settings)
            rng = random.Random(f"{self.settings.seed} targets {number}")
            targets = choose_targets(frames.looks, tasks, rng)
            if targets is None:
                raise UnsuitableError("its frames are empty, or too much alike")
        except MediaError as error:
            is_unusable = name in self.source.unusable
            self.log.append("unsuitable", clip=number, video=name, reason=str(error), unusable=is_unusable)
            return None
        try:
            place = self.store.write(number, frames.jpegs)
        except OSError as error:
            raise disk_error(self.output, error) from None
        jobs = [[number * per_clip + turn, task, idx] for turn, (task, idx) in enumerate(zip(tasks, targets))]
        times = [round(seconds, 3) for seconds in frames.times]
        size = sum(map(len, frames.jpegs))
        self.log.append("clip", clip=number, video=name, times=times, place=place, bytes=size, jobs=jobs)
        return self.log.events[-1]

    def _jobs_of(self, clip: Mapping[str, Any]) -> Iterator[Job]:
        for number, task, idx in clip["jobs"]:
            times = [clip["times"][index] for index in idx]
            yield Job(number, clip["clip"], clip["video"], task, idx, clip["place"], times)

    def _check_misses(self, misses: int) -> None:
        source = self.source
        is_hopeless = len(source.unusable) == len(source.names)
        if not is_hopeless and misses < max(MAX_ROUNDS * len(source.names), MIN_MISSES):
            return
        event = self.log.of("unsuitable")[-1]
        number = f"the {len(source.names)} files" if len(source.names) > 1 else "the one file"
        clips = len(self.log.of("clip"))
        more = f" after {clips} clips: the last {misses} stretches tried were unsuitable" if clips else ""
        raise MediaError(
            f"none of {number} in '{source.path}' gives a clip{more}; '{event['video']}': {event['reason']}."
        )
