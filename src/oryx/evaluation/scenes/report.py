"""The results on ScanQA or SQA3D as JSON and Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from oryx.errors import ConfigError
from oryx.evaluation.output import (
    check_output,
    describe_model,
    identity_of,
    installed_versions,
    versions_text,
    write_lines,
    write_text,
)
from oryx.evaluation.scenes.captions import CAPTION_METRICS, Score
from oryx.evaluation.scenes.evaluate import MATCHES, QaResult, rules_of
from oryx.evaluation.scenes.rules import Benchmark
from oryx.json_file import read_json

TITLES = {"scanqa": "ScanQA", "sqa3d": "SQA3D"}
RULES = {"em": "EM", "em_cleaned": "EM, cleaned", "em_refined": "EM-R", "loose": "loose"}
PROTOCOLS = {"scanqa": "ScanQA's script", "llava3d": "LLaVA-3D's", "leo": "LEO's"}
METRICS = {
    **{f"bleu_{order}": f"BLEU-{order}" for order in (1, 2, 3, 4)},
    "meteor": "METEOR",
    "rouge_l": "ROUGE-L",
    "cider": "CIDEr",
}
_SHOWN_WRONG = 12


@dataclass(frozen=True)
class QaReport:
    """One model on one file of records."""

    benchmark: Benchmark
    facts: dict[str, Any]
    """See `model_facts` and `endpoint_facts`."""
    records: str
    records_sha256: str
    num_left_out: int
    """Questions whose views are missing."""
    max_new_tokens: int
    command: str
    result: QaResult

    def to_dict(self) -> dict[str, Any]:
        """What the JSON file holds."""
        own = {
            key: value for key, value in asdict(self).items() if key not in ("benchmark", "facts", "result")
        }
        return {
            "task": self.benchmark,
            **self.facts,
            **own,
            "versions": installed_versions(),
            **self.result.to_dict(),
        }

    def to_markdown(self) -> str:
        """The page."""
        result, facts = self.result, self.facts
        left_out = f"; {self.num_left_out} left out, whose views are missing" if self.num_left_out else ""
        lines = [
            f"# {TITLES[self.benchmark]}: {facts['model']}",
            "",
            f"- command: `{self.command}`",
            f"- {result.num_questions} questions on {result.num_scenes} scenes{left_out}; records SHA-256 "
            f"`{self.records_sha256}`",
            f"- greedy, at most {self.max_new_tokens} tokens; of {result.num_unparsed} answers nothing is "
            "left once they are cleaned: wrong by every rule but EM, which takes them as they are",
            *_tokens(result),
            "- scores are shown times a hundred; intervals are 95%, with the questions on a scene as a "
            "cluster: of shares Wilson's at the effective number of questions, of the others a bootstrap of "
            "whole scenes",
            f"- {describe_model(facts)}",
            f"- {versions_text(installed_versions())}",
            "",
            match_table(self.benchmark, result),
            *(f"- {RULES[rule]}: {MATCHES[rule]}" for rule in rules_of(self.benchmark)),
            "",
            caption_table(result),
            "ScanQA's script takes answers as they are and PTB tokens, LLaVA-3D's cleaned answers and PTB "
            "tokens, LEO's cleaned answers split at spaces.",
            "",
            "Some wrong answers:",
            "",
            *_wrong(result),
        ]
        return "\n".join(lines) + "\n"


def file_names(benchmark: Benchmark) -> tuple[str, str, str]:
    """(JSON, page, answers) of a results folder."""
    return f"{benchmark}.json", f"{benchmark}.md", f"{benchmark}.answers.jsonl"


def save_report(report: QaReport, folder: Path) -> list[Path]:
    """Write JSON, Markdown and answers, each whole or not at all, and return their paths.

    Raises `ConfigError` for what `check_results` refuses, and where the disk does.
    """
    names = file_names(report.benchmark)
    conditions = {"device": report.facts["device"], "records_sha256": report.records_sha256}
    identity, lacks = identity_of(report.facts), report.result.lacks
    check_results(folder, report.benchmark, report.command, identity, conditions, lacks)
    return [
        write_text(folder / names[0], json.dumps(report.to_dict(), indent=1, ensure_ascii=False) + "\n"),
        write_text(folder / names[1], report.to_markdown()),
        write_lines(folder / names[2], map(asdict, report.result.answers)),
    ]


def check_results(
    folder: Path,
    benchmark: Benchmark,
    command: str,
    identity: str,
    conditions: Mapping[str, Any],
    lacks: Mapping[str, Mapping[str, str]],
) -> None:
    """Refuses what `check_output` does, and a folder whose results have metrics that would be lost.

    Args:
        command, identity, conditions: see `check_output`.
        lacks: of the results that are to be written; see `QaResult`.

    Raises:
        ConfigError: such a folder.
    """
    names = file_names(benchmark)
    check_output(folder, names, command, identity, conditions=conditions)
    path = folder / names[0]
    if not path.exists():
        return
    there = read_json(path).get("lacks", {})
    lost = {
        METRICS[metric]: need
        for protocol, needs in lacks.items()
        for metric, need in needs.items()
        if metric not in there.get(protocol, {})
    }
    if lost:
        raise ConfigError(
            f"{path} has {', '.join(lost)}, for which this machine needs {' and '.join(set(lost.values()))}; "
            "choose another --output."
        )


def match_table(benchmark: Benchmark, result: QaResult) -> str:
    """Right answers by each rule in Markdown: of all questions, then of each kind."""
    rules = rules_of(benchmark)
    lines = [
        f"| questions | n | {' | '.join(RULES[rule] for rule in rules)} |",
        f"|---|---|{'---|' * len(rules)}",
    ]
    rows = [("**all**", result.num_questions, result.matches)]
    rows += [(kind.name, kind.num_questions, kind.matches) for kind in result.kinds]
    for name, number, matches in rows:
        cells = [_numbers(matches[rule].share, matches[rule].interval) for rule in rules]
        lines.append(f"| {name} | {number} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def caption_table(result: QaResult) -> str:
    """Caption metrics of each protocol in Markdown."""
    lines = [f"| metric | {' | '.join(PROTOCOLS.values())} |", f"|---|{'---|' * len(PROTOCOLS)}"]
    for metric in CAPTION_METRICS:
        cells = [_score(result.captions[name][metric], result.lacks[name].get(metric)) for name in PROTOCOLS]
        lines.append(f"| {METRICS[metric]} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _score(score: Score | None, lacks: str | None) -> str:
    return f"needs {lacks}" if score is None else _numbers(score.value, score.interval)


def _numbers(value: float, interval: tuple[float, float]) -> str:
    return f"{100 * value:.1f} ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})"


def _tokens(result: QaResult) -> Sequence[str]:
    mean = result.visual_tokens
    return [] if mean is None else [f"- visual tokens of a prompt, mean: {mean:.1f}"]


def _wrong(result: QaResult) -> Sequence[str]:
    return [
        f"- {one.id}: {one.question} {' or '.join(map(repr, one.references))}, not {one.answer!r}"
        for one in result.wrong[:_SHOWN_WRONG]
    ] or ["None."]
