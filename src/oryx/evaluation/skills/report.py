"""The skill suite's results with all that is needed to get them again, as JSON and as Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from oryx.checkpoints.verify import count_parameters
from oryx.data.synthetic.fonts import FontFile, choose_fonts
from oryx.errors import ConfigError
from oryx.evaluation.bar_chart import Bars, Section, draw_bars
from oryx.evaluation.output import (
    check_output,
    describe_model,
    hash_files,
    identity_of,
    installed_versions,
    unparsed_text,
    versions_text,
    write_lines,
    write_picture,
    write_text,
)
from oryx.evaluation.skills.evaluate import SkillResult

FILES = ("skills.json", "skills.md", "skills.png", "skills.answers.jsonl")
RESULTS_JSON, RESULTS_TABLE, CHART, ANSWERS = FILES
CONDITIONS = ("device", "fonts", "fonts_sha256", "pictures_sha256")
"""What the results depend on beside the settings."""
_SPLITS = ("train", "test")


@dataclass(frozen=True)
class SkillReport:
    """One run of the skill suite: the model, the settings, the machine, the results."""

    model: str
    model_sha256: str | None
    """See `hash_weights`; None, as what follows, of a model behind an address."""
    num_parameters: int | None
    parameters: dict[str, int]
    """By part of the model."""
    dtype: str | None
    device: str | None
    samples: int
    seed: int
    fonts: dict[str, list[str]]
    """Families found for "train" and "test": the word tests draw from these."""
    command: str
    versions: dict[str, str]
    results: list[SkillResult]
    endpoint: str | None = None
    """The address."""
    config_sha256: str | None = None
    """See `hash_config`."""
    fonts_sha256: str | None = None
    """See `hash_fonts`."""
    pictures_sha256: str | None = None
    """Of the store of pictures; None without one."""

    def to_dict(self) -> dict[str, Any]:
        """What the JSON file holds."""
        return {"task": "skills", **asdict(self), "results": [result.to_dict() for result in self.results]}

    @property
    def answers(self) -> list[dict[str, Any]]:
        """What the file of answers holds, an object a line."""
        return [
            {
                "test": result.test,
                "compression": result.compression,
                "max_pixels": result.max_pixels,
                **asdict(answer),
            }
            for result in self.results
            for answer in result.answers
        ]

    def to_image(self) -> Image.Image:
        """The tests as bars, each dial for itself."""
        by_dial: dict[str, list[Bars]] = {}
        for result in self.results:
            bars = Bars(result.test.replace("_", " "), {"": (result.accuracy, *result.interval)})
            by_dial.setdefault(_dial_text(result), []).append(bars)
        title = f"Skills: {self.model}, {self.samples} samples a test"
        return draw_bars(
            title, {"": "right, with its 95% interval"}, [Section(*one) for one in by_dial.items()]
        )


def make_report(
    facts: Mapping[str, Any],
    model: Any,
    results: Sequence[SkillResult],
    command: str,
    font_folders: Sequence[str] = (),
    pictures_sha256: str | None = None,
) -> SkillReport:
    """The report of results just measured.

    Args:
        facts: see `model_facts` and `endpoint_facts`.
        model: the loaded model; None if it is behind an address.
        results: of `evaluate_skills`; at least one.
        command: a command line that measures this again; see `command_line`.
        font_folders: as given to `evaluate_skills`.
        pictures_sha256: of the store given to it.
    """
    counts = {} if model is None else count_parameters(model)
    parts = {part: number for part, number in counts.items() if part != "total"}
    return SkillReport(
        **facts,
        parameters=parts,
        samples=results[0].num_samples,
        seed=results[0].seed,
        fonts=font_families(font_folders),
        fonts_sha256=hash_fonts(font_folders),
        command=command,
        versions=installed_versions(),
        results=list(results),
        pictures_sha256=pictures_sha256,
    )


def results_table(results: Sequence[SkillResult]) -> str:
    """A Markdown table with one line per result; shares in percent."""
    lines = [
        "| test | dial | max pixels | right | 95% interval | same answer | token F1 | n | visual tokens |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        low, high = result.interval
        dial = dial_text(result.compression, result.detail) or "default"
        pixels = "-" if result.max_pixels is None else str(result.max_pixels)
        tokens = "-" if result.visual_tokens is None else f"{result.visual_tokens:.1f}"
        lines.append(
            f"| {result.test} | {dial} | {pixels} | {result.accuracy:.1%} | {low:.1%} to {high:.1%} "
            f"| {result.same_answer:.1%} | {result.token_f1:.1%} | {result.num_samples} | {tokens} |"
        )
    return "\n".join(lines) + "\n"


def report_page(report: SkillReport) -> str:
    """The Markdown page of a report: how it was measured, the table, some wrong answers."""
    lines = [
        f"# Skills of {report.model}",
        "",
        f"- command: `{report.command}`",
        f"- {describe_model(vars(report))}",
        f"- seed {report.seed}, greedy, scored as each test says"
        + unparsed_text(sum(result.num_unparsed for result in report.results)),
        f"- fonts never trained on: {', '.join(report.fonts['test']) or 'none installed'}",
        f"- {versions_text(report.versions)}",
        "",
        results_table(report.results),
        "## Some wrong answers",
        "",
    ]
    wrong = [
        f"- {result.test}: {item.question} {item.expected!r}, not {item.answer!r}"
        for result in report.results
        for item in result.wrong
    ]
    return "\n".join([*lines, *(wrong or ["None."])]) + "\n"


def save_report(report: SkillReport, folder: Path) -> list[Path]:
    """Writes JSON, Markdown, chart and answers, each whole or not at all, and returns their paths.

    Raises `ConfigError` for what `check_output` refuses, and where the folder cannot be written.
    """
    conditions = {name: getattr(report, name) for name in CONDITIONS}
    check_output(folder, FILES, report.command, identity_of(vars(report)), conditions=conditions)
    return [
        write_text(folder / RESULTS_JSON, json.dumps(report.to_dict(), indent=2) + "\n"),
        write_text(folder / RESULTS_TABLE, report_page(report)),
        write_picture(folder / CHART, report.to_image()),
        write_lines(folder / ANSWERS, report.answers),
    ]


def dial_text(compression: int | None, detail: str | None, max_pixels: int | None = None) -> str:
    """How the dial was turned, as in "4x, low"; empty where it was not."""
    turned = [f"{compression}x"] if compression is not None else []
    turned += [detail] if detail is not None else []
    return ", ".join(turned + ([f"{max_pixels:,} pixels"] if max_pixels is not None else []))


def _dial_text(result: SkillResult) -> str:
    return dial_text(result.compression, result.detail, result.max_pixels) or "default dial"


def font_families(font_folders: Sequence[str]) -> dict[str, list[str]]:
    """Families found for "train" and "test": the tests of words draw from these."""
    return {
        split: list(dict.fromkeys(font.family for font in _fonts(split, font_folders))) for split in _SPLITS
    }


def hash_fonts(font_folders: Sequence[str]) -> str | None:
    """`hash_files` of the fonts of `font_families`."""
    fonts = [font for split in _SPLITS for font in _fonts(split, font_folders)]
    return hash_files(Path(font.path) for font in fonts if font.path)  # Pillow's own has none


def _fonts(split: str, font_folders: Sequence[str]) -> list[FontFile]:
    try:
        return choose_fonts(split, None, font_folders)
    except ConfigError:  # none installed: the tests that need them were not run
        return []
