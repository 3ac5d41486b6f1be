"""Results folders of `oryx eval skills`, `needle`, `rooms`, `scanqa` and `sqa3d`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from oryx.errors import ConfigError
from oryx.evaluation.comparison.runs import Heat, Row, Run, Scored, read_lines, read_results, without_twins
from oryx.evaluation.needle.report import JSON as NEEDLE_JSON
from oryx.evaluation.output import OF_WEIGHTS, describe_model, identity_of, options_of
from oryx.evaluation.rooms.questions import WITH_MARKS
from oryx.evaluation.rooms.report import ANSWERS as ROOM_ANSWERS
from oryx.evaluation.rooms.report import JSON as ROOMS_JSON
from oryx.evaluation.rooms.report import NAMES as WAY_NAMES
from oryx.evaluation.rooms.scores import NUMBERS
from oryx.evaluation.scenes.report import METRICS, PROTOCOLS, RULES, file_names
from oryx.evaluation.scenes.rules import Benchmark
from oryx.evaluation.skills.report import ANSWERS as SKILL_ANSWERS
from oryx.evaluation.skills.report import RESULTS_JSON as SKILLS_JSON
from oryx.evaluation.skills.report import dial_text

_NO_ANSWERS = "its answers are not kept beside it, so that it cannot be compared question by question"

_ALL = "all questions"


def read_own(folder: Path) -> list[Run]:
    """The runs of a folder; none if it holds no results of this package.

    Raises:
        ConfigError: results that cannot be read.
    """
    runs: list[Run] = []
    for name, read in _READERS.items():
        path = folder / name
        if path.is_file():
            content = read_results(path)
            try:
                runs += read(folder, content)
            except (KeyError, TypeError, ValueError, AttributeError, IndexError):
                raise ConfigError(f"{path} cannot be read as results of oryx eval.") from None
    return runs


def _skills(folder: Path, content: dict[str, Any]) -> Iterator[Run]:
    path = folder / SKILL_ANSWERS
    answers = read_lines(path)
    by_row: dict[Any, list[tuple[Any, Scored]]] = {}
    for one in answers or []:
        scored = Scored(
            one["question"], one["expected"], one["answer"], one["score"], one["index"], content["seed"]
        )
        place = one["test"], one["index"]
        by_row.setdefault((one["test"], one["compression"], one["max_pixels"]), []).append((place, scored))
    results = content["results"]
    rows = []
    for one in results:
        own = by_row.get((one["test"], one["compression"], one["max_pixels"]))
        rows.append(
            Row(
                group=dial_text(one["compression"], one["detail"], one["max_pixels"]) or "default dial",
                label=one["test"].replace("_", " "),
                value=one["accuracy"],
                interval=tuple(one["interval"]),
                count=one["num_samples"],
                scores=None if own is None else without_twins(own, path),
            )
        )
    yield _run("skills", folder, content, content, rows, answers is not None)


def _needle(folder: Path, content: dict[str, Any]) -> Iterator[Run]:
    for model in content["models"]:
        scores: dict[int, list[tuple[Any, Scored]]] = {}
        judged = "matches" if content["score"] == "exact" else "contains"
        for one in model["answers"]:
            place = one["frames"], one["depth"], one["trial"]
            asked = one["question"], one["expected"], one["answer"]
            scored = Scored(*asked, float(one[judged]), one["needle"], one["index"])
            scores.setdefault(one["frames"], []).append((place, scored))
        rows = [
            Row(
                group="",
                label=f"{one['frames']:,} frames",
                order=one["frames"],
                value=one["share"],
                interval=tuple(one["interval"]),
                count=one["num_trials"],
                scores=without_twins(scores[one["frames"]], folder / NEEDLE_JSON),
            )
            for one in model["totals"]
        ]
        shares = {(one["frames"], one["depth"]): one["share"] for one in model["cells"]}
        lengths, depths = sorted(content["frames"]), content["depths"]
        heat = Heat(
            rows=[f"{depth:.3g}%" for depth in depths],
            columns=[f"{length:,}" for length in lengths],
            row_title="depth",
            column_title="frames of the video",
            shares=np.array([[shares[length, depth] for length in lengths] for depth in depths]),
        )
        yield _run("needle", folder, content, model, rows, True, heat)


def _rooms(folder: Path, content: dict[str, Any]) -> Iterator[Run]:
    path = folder / ROOM_ANSWERS
    answers = read_lines(path)
    scores: dict[tuple[str, str], list[tuple[Any, Scored]]] = {}
    groups = {one["name"]: one["group"] for one in content["kinds"]}
    for one in answers or []:
        scored = Scored(
            one["question"], one["expected"], one["answer"], float(one["right"]), one["room"], content["seed"]
        )
        way = WITH_MARKS if one["way"] == NUMBERS else one["way"]
        for name in (one["kind"], groups[one["kind"]]):
            scores.setdefault((name, way), []).append(((one["way"], one["index"]), scored))
    rows = []
    for is_group, ones in ((True, content["groups"]), (False, content["kinds"])):
        for one in ones:
            for way, share in one["ways"].items():
                own = scores.get((one["name"], way))
                rows.append(
                    Row(
                        group=WAY_NAMES[way],
                        label=f"about {NUMBERS}" if one["name"] == NUMBERS else one["name"].replace("_", " "),
                        value=share["share"],
                        interval=tuple(share["interval"]),
                        count=share["num_trials"],
                        chance=one["blind_share"],
                        scores=None if own is None else without_twins(own, path),
                        is_main=is_group,
                    )
                )
    rows.sort(key=lambda row: [*WAY_NAMES.values()].index(row.group))
    yield _run("rooms", folder, content, content, rows, answers is not None)


def _questions_3d(benchmark: Benchmark, folder: Path, content: dict[str, Any]) -> Iterator[Run]:
    path = folder / file_names(benchmark)[2]
    answers = read_lines(path)
    scores: dict[tuple[str, str], list[tuple[Any, Scored]]] = {}
    for one in answers or []:
        expected = " | ".join(one["references"])
        for rule, is_right in one["right"].items():
            scored = Scored(one["question"], expected, one["answer"], float(is_right), one["scene"])
            for name in (_ALL, one["kind"]):
                scores.setdefault((name, rule), []).append((one["id"], scored))
    rows = []
    for one in ({"name": _ALL, **content}, *content["kinds"]):
        for rule, share in one["matches"].items():
            own = scores.get((one["name"], rule))
            rows.append(
                Row(
                    group=one["name"],
                    label=RULES[rule],
                    value=share["share"],
                    interval=tuple(share["interval"]),
                    count=share["num_trials"],
                    scores=None if own is None else without_twins(own, path),
                    is_main=one["name"] == _ALL,
                )
            )
    for protocol, metrics in content["captions"].items():
        for metric, score in metrics.items():
            if score is not None:
                # Rounded, for BLEU's guards leave 1e-15 where nothing fits.
                value, low, high = (round(100 * one, 4) for one in (score["value"], *score["interval"]))
                rows.append(
                    Row(
                        group=f"{_ALL}, {PROTOCOLS[protocol]}",
                        label=METRICS[metric],
                        value=value,
                        interval=(low, high),
                        count=content["num_questions"],
                        is_share=False,
                    )
                )
    run = _run(benchmark, folder, content, content, rows, answers is not None)
    needs = sorted({need for lacks in content["lacks"].values() for need in lacks.values()})
    notes = [
        f"some caption metrics need {need}; the same command adds them".replace("`", "") for need in needs
    ]
    settings = {**run.settings, "records": str(content["records_sha256"])[:12]}
    yield replace(run, settings=settings, notes=[*run.notes, *notes])


def _run(
    task: str,
    folder: Path,
    content: Mapping[str, Any],
    model: Mapping[str, Any],
    rows: list[Row],
    has_answers: bool,
    heat: Heat | None = None,
) -> Run:
    facts = {"endpoint": None, **model}  # results of earlier versions have no endpoint
    command = str(content["command"])
    settings = {
        option: " ".join(values) or "yes"
        for option, values in options_of(command).items()
        if option and option not in OF_WEIGHTS
    }
    if facts.get("config_sha256"):
        settings["configuration"] = str(facts["config_sha256"])[:12]
    machine = {name: str(facts[name]) for name in ("device", "dtype") if facts[name] is not None}
    return Run(
        task=task,
        folder=folder,
        model=str(facts["model"]),
        identity=identity_of({**facts, "config_sha256": None}),
        settings=settings,
        machine={**machine, **{name: str(number) for name, number in content["versions"].items()}},
        facts=describe_model(facts),
        command=command,
        rows=rows,
        heat=heat,
        num_unparsed=_unparsed(model),
        notes=[] if has_answers else [_NO_ANSWERS],
    )


def _unparsed(model: Mapping[str, Any]) -> int | None:
    if "num_unparsed" in model:
        return int(model["num_unparsed"])
    counts = [one.get("num_unparsed") for one in model.get("results", [])]
    return None if not counts or None in counts else sum(counts)


_READERS: dict[str, Callable[[Path, dict[str, Any]], Iterator[Run]]] = {
    SKILLS_JSON: _skills,
    NEEDLE_JSON: _needle,
    ROOMS_JSON: _rooms,
    file_names("scanqa")[0]: partial(_questions_3d, "scanqa"),
    file_names("sqa3d")[0]: partial(_questions_3d, "sqa3d"),
}
RESULTS = tuple(_READERS)
"""Names of the files that hold results."""
