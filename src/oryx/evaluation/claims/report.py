"""What came out, as JSON, Markdown and pictures: each claim, what was measured, the verdict."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from oryx.evaluation.bar_chart import Bars, Section, draw_bars
from oryx.evaluation.claims.statements import PAPER, Claim, Side
from oryx.evaluation.claims.store import ArmResult
from oryx.evaluation.claims.verdicts import (
    HOLDS,
    LEARNED,
    MARGIN,
    NOT_MEASURED,
    Shares,
    Verdict,
    compare,
    overall,
)
from oryx.evaluation.output import write_picture, write_text

RESULTS_JSON, RESULTS_PAGE = "claims.json", "claims.md"
HEADING = "# Claims\n\nCommand: `oryx eval claims"
"""How each page that `save_report` writes begins."""

Results = Mapping[tuple[str, int], ArmResult]
"""(arm, seed) -> its result."""


@dataclass(frozen=True)
class Finding:
    """What came of one claim."""

    claim: Claim
    verdict: str
    comparisons: list[Verdict | None]
    """None where something is not measured."""
    skipped: str = ""
    """Why it was not looked at, if it was not."""

    @property
    def num_seeds(self) -> int:
        """That have all that its comparisons need."""
        return min(len(verdict.differences) if verdict is not None else 0 for verdict in self.comparisons)

    def told(self, num_seeds: int) -> str:
        """The verdict and what it rests on, of so many seeds that are to be measured."""
        holds = sum(verdict is not None and verdict.verdict == HOLDS for verdict in self.comparisons)
        so_far = f"; {self.num_seeds} of {num_seeds} seeds measured" if self.num_seeds < num_seeds else ""
        return f"**{self.verdict}** ({holds} of {len(self.comparisons)} comparisons hold{so_far})"


@dataclass(frozen=True)
class ClaimsReport:
    """All that is measured of some claims by now."""

    findings: list[Finding]
    results: Results
    seeds: tuple[int, ...]
    command: str
    quick: bool

    @classmethod
    def of(
        cls,
        claims: Sequence[Claim],
        results: Results,
        seeds: Sequence[int],
        command: str,
        skipped: Mapping[str, str],
        quick: bool = False,
    ) -> ClaimsReport:
        """The report of results.

        Args:
            skipped: letter of a claim -> the sentence that says why it was left out.
        """
        shares = shares_of(results)
        findings = []
        for claim in claims:
            verdicts = [compare(comparison, shares) for comparison in claim.comparisons]
            findings.append(Finding(claim, overall(verdicts), verdicts, skipped.get(claim.letter, "")))
        return cls(findings, results, tuple(seeds), command, quick)

    def to_dict(self) -> dict[str, Any]:
        """What the JSON file holds; weights, versions and times stand with each arm."""
        return {
            "task": "claims",
            "paper": PAPER,
            "command": self.command,
            "quick": self.quick,
            "seeds": list(self.seeds),
            "margin": MARGIN,
            "learned": LEARNED,
            "minutes": round(self.minutes, 1),
            "claims": [
                {
                    "claim": finding.claim.letter,
                    "title": finding.claim.title,
                    "text": finding.claim.text,
                    "where": finding.claim.where,
                    "verdict": finding.verdict,
                    "seeds_measured": finding.num_seeds,
                    "skipped": finding.skipped,
                    "comparisons": [
                        {"about": comparison.about, "verdict": NOT_MEASURED}
                        if verdict is None
                        else dataclasses.asdict(verdict)
                        for comparison, verdict in zip(finding.claim.comparisons, finding.comparisons)
                    ],
                }
                for finding in self.findings
            ],
            "arms": [result.to_json() for _, result in sorted(self.results.items())],
        }

    @property
    def minutes(self) -> float:
        """By the clock on the wall, for all arms and seeds, of which several ran side by side."""
        return sum(result.minutes for result in self.results.values())


def shares_of(results: Results) -> dict[Side, Shares]:
    """(arm, measure) -> its shares of all seeds."""
    shares: dict[Side, dict[int, float]] = {}
    chances: dict[Side, list[float]] = {}
    for (arm, seed), result in results.items():
        for name, measured in result.measures.items():
            shares.setdefault((arm, name), {})[seed] = measured.accuracy
            chances.setdefault((arm, name), []).append(measured.chance)
    return {side: Shares(by_seed, statistics.fmean(chances[side])) for side, by_seed in shares.items()}


def draw_figure(claim: Claim, shares: Mapping[Side, Shares]) -> Image.Image | None:
    """Bars with the spread over the seeds; None where nothing is measured."""
    series = {name: name for bars in claim.figure.bars.values() for name in bars}
    drawn = []
    for name, sides in claim.figure.bars.items():
        there = {label: shares[side] for label, side in sides.items() if side in shares}
        if there:
            drawn.append(
                Bars(
                    name,
                    {
                        label: (one.mean, max(0.0, one.mean - one.spread), min(1.0, one.mean + one.spread))
                        for label, one in there.items()
                    },
                    chance={label: one.chance for label, one in there.items()},
                )
            )
    if not drawn:
        return None
    heading = "right; lines: ± standard deviation over the seeds"
    title = f"({claim.letter}) {claim.figure.title}"
    return draw_bars(title, series, [Section(heading, drawn)], "guessing")


def results_page(report: ClaimsReport, pictures: str = "") -> str:
    """The Markdown of a report, without a heading of its own.

    Args:
        pictures: what stands before a picture's name in links, such as "pictures/".
    """
    seeds = ("Seed " if len(report.seeds) == 1 else "Seeds ") + ", ".join(map(str, report.seeds))
    lines = [
        f"Command: `{report.command}`. {seeds}; {len(report.results)} trainings, "
        f"{report.minutes / 60:.1f} hours of one core in all, some of them beside other work.",
        "",
    ]
    if report.quick:
        lines += ["A quick run: it shows that everything works, and decides nothing.", ""]
    lines += ["| | claim | verdict |", "|---|---|---|"]
    for finding in report.findings:
        told = finding.skipped or finding.told(len(report.seeds))
        lines.append(f"| {finding.claim.letter} | {finding.claim.text} | {told} |")
    shares = shares_of(report.results)
    for finding in report.findings:
        lines += ["", *_section(finding, report, shares, pictures)]
    return "\n".join(lines) + "\n"


def save_report(report: ClaimsReport, folder: Path) -> list[Path]:
    """Writes JSON, Markdown and a picture for each claim that is measured; returns their paths.

    Raises:
        ConfigError: the folder cannot be written.
    """
    written = [
        write_text(folder / RESULTS_JSON, json.dumps(report.to_dict(), indent=1) + "\n"),
        write_text(folder / RESULTS_PAGE, f"# Claims\n\n{results_page(report)}"),
    ]
    return written + save_pictures(report, folder)


def save_pictures(report: ClaimsReport, folder: Path) -> list[Path]:
    """Writes the pictures alone."""
    shares = shares_of(report.results)
    written = []
    for finding in report.findings:
        picture = draw_figure(finding.claim, shares)
        if picture is not None:
            written.append(write_picture(folder / picture_name(finding.claim), picture))
    return written


def picture_name(claim: Claim) -> str:
    """The file of a claim's bars."""
    return f"claims-{claim.letter}.png"


def _section(
    finding: Finding, report: ClaimsReport, shares: Mapping[Side, Shares], pictures: str
) -> list[str]:
    claim = finding.claim
    lines = [f"### ({claim.letter}) {claim.title}: {finding.verdict}", ""]
    lines += [f"Claim ({PAPER}, {claim.where}): {claim.text}", "", f"Measured: {claim.method}", ""]
    if finding.skipped:
        return [*lines, finding.skipped]
    lines += ["| comparison | difference, 95% interval | of each seed | |", "|---|---|---|---|"]
    for comparison, verdict in zip(claim.comparisons, finding.comparisons):
        if verdict is None:
            lines.append(f"| {comparison.about} | | | {NOT_MEASURED} |")
            continue
        by_seed = ", ".join(f"{100 * value:+.1f}" for value in verdict.differences)
        told = f"{100 * verdict.mean:+.1f}"
        if verdict.interval is not None:
            told += f" ({100 * verdict.interval[0]:+.1f} to {100 * verdict.interval[1]:+.1f})"
        reason = f": {verdict.reason}" if verdict.reason else ""
        lines.append(f"| {verdict.about} | {told} | {by_seed} | **{verdict.verdict}**{reason} |")
    there = [side for side in claim.sides if side in shares]
    if there:
        lines += [
            "",
            f"![{claim.figure.title}]({pictures}{picture_name(claim)})",
            "",
            *_arm_table(there, report, shares),
        ]
    return lines


def _arm_table(sides: Sequence[Side], report: ClaimsReport, shares: Mapping[Side, Shares]) -> list[str]:
    """Each arm and measure: its share, and what it cost."""
    lines = [
        "| arm | asked | right, mean ± deviation | guessing | questions a seed | positions | pixels "
        "| minutes a seed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for arm, name in sides:
        own = [result for (other, _), result in sorted(report.results.items()) if other == arm]
        measured = [result.measures[name] for result in own if name in result.measures]
        share = shares[arm, name]
        lines.append(
            f"| {arm} | {name} | {share.mean:.1%} ± {share.spread:.1%} | {share.chance:.0%} "
            f"| {measured[0].num_questions} | {statistics.fmean(one.visual_tokens for one in measured):,.0f} "
            f"| {statistics.fmean(one.pixels for one in measured):,.0f} "
            f"| {statistics.fmean(result.minutes for result in own):.1f} |"
        )
    return lines
