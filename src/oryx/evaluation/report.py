"""The skill suite's results with all that is needed to get them again, as JSON and as Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from oryx.checkpoints.verify import count_parameters
from oryx.data.synthetic.fonts import choose_fonts
from oryx.errors import ConfigError
from oryx.evaluation.output import check_output, installed_versions, model_facts, write_text
from oryx.evaluation.skills import SkillResult

FILES = RESULTS_JSON, RESULTS_TABLE = "skills.json", "skills.md"


@dataclass(frozen=True)
class SkillReport:
    """One run of the skill suite: the model, the settings, the machine, the results."""

    model: str
    model_sha256: str
    """See `hash_weights`."""
    num_parameters: int
    parameters: dict[str, int]
    """By part of the model."""
    dtype: str
    device: str
    samples: int
    seed: int
    fonts: dict[str, list[str]]
    """Families found for "train" and "test": the word tests draw from these."""
    command: str
    versions: dict[str, str]
    results: list[SkillResult]

    def to_dict(self) -> dict[str, Any]:
        """What the JSON file holds."""
        return {"task": "skills", **asdict(self)}


def make_report(
    name: str,
    sha256: str,
    model: Any,
    results: Sequence[SkillResult],
    command: str,
    font_folders: Sequence[str] = (),
) -> SkillReport:
    """The report of results just measured.

    Args:
        name: the model's name, as the user gave it.
        sha256: of its weights; see `hash_weights`.
        model: the loaded model.
        results: of `evaluate_skills`; at least one.
        command: a command line that measures this again; see `command_line`.
        font_folders: as given to `evaluate_skills`.
    """
    parts = {part: number for part, number in count_parameters(model).items() if part != "total"}
    return SkillReport(
        **model_facts(name, sha256, model),
        parameters=parts,
        samples=results[0].num_samples,
        seed=results[0].seed,
        fonts={split: _families(split, font_folders) for split in ("train", "test")},
        command=command,
        versions=installed_versions(),
        results=list(results),
    )


def results_table(results: Sequence[SkillResult]) -> str:
    """A Markdown table with one line per result; shares in percent."""
    lines = [
        "| test | dial | max pixels | right | 95% interval | token F1 | n | visual tokens |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        low, high = result.interval
        turned = [f"{result.compression}x"] if result.compression is not None else []
        dial = ", ".join(turned + ([result.detail] if result.detail is not None else [])) or "default"
        pixels = "-" if result.max_pixels is None else str(result.max_pixels)
        lines.append(
            f"| {result.test} | {dial} | {pixels} | {result.accuracy:.1%} | {low:.1%} to {high:.1%} "
            f"| {result.token_f1:.1%} | {result.num_samples} | {result.visual_tokens:.1f} |"
        )
    return "\n".join(lines) + "\n"


def report_page(report: SkillReport) -> str:
    """The Markdown page of a report: how it was measured, the table, some wrong answers."""
    versions = ", ".join(f"{package} {number}" for package, number in report.versions.items())
    lines = [
        f"# Skills of {report.model}",
        "",
        f"- command: `{report.command}`",
        f"- weights: SHA-256 `{report.model_sha256}`, {report.num_parameters:,} parameters",
        f"- {report.dtype} on {report.device}, seed {report.seed}, greedy, scored as each test says",
        f"- fonts never trained on: {', '.join(report.fonts['test']) or 'none installed'}",
        f"- {versions}",
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
    """Writes the JSON and the Markdown page, each whole or not at all, and returns their paths.

    Raises `ConfigError` for what `check_output` refuses, and where the folder cannot be written.
    """
    check_output(folder, FILES, report.command, report.model_sha256)
    texts = {
        RESULTS_JSON: json.dumps(report.to_dict(), indent=2) + "\n",
        RESULTS_TABLE: report_page(report),
    }
    return [write_text(folder / name, text) for name, text in texts.items()]


def _families(split: str, font_folders: Sequence[str]) -> list[str]:
    try:
        return list(dict.fromkeys(font.family for font in choose_fonts(split, None, font_folders)))
    except ConfigError:  # none installed: the tests that need them were not run
        return []
