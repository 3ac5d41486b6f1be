"""The page of a set of runs: who ran, then every task with its chart, its numbers and what differs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from oryx.evaluation.comparison.differences import differ, other_than, same_questions
from oryx.evaluation.comparison.document import (
    Block,
    Code,
    Fold,
    Heading,
    Inline,
    Legend,
    Page,
    Paragraph,
    Picture,
    Pictures,
    Section,
    Strong,
    Table,
    Tag,
)
from oryx.evaluation.comparison.pictures import Bar, BarRow, draw_bar_rows, draw_heat
from oryx.evaluation.comparison.runs import Row, Run, Scored
from oryx.evaluation.comparison.wording import (
    difference_text,
    letter,
    number_text,
    plural,
    value_text,
    verdict_text,
)
from oryx.evaluation.scenes.report import TITLES as QA_TITLES

TITLES: dict[str, str] = {
    "skills": "Skills",
    "needle": "Needles in haystacks",
    "rooms": "Rooms",
    **QA_TITLES,
    "lmms-eval": "lmms-eval",
}
_SHOWN_ANSWERS = 8


def build_page(runs: Sequence[Run]) -> Page:
    """The page of runs of any tasks; at least one."""
    by_task: dict[str, list[tuple[int, Run]]] = {}
    for number, run in enumerate(runs):
        by_task.setdefault(run.task, []).append((number, run))
    tasks = [task for task in TITLES if task in by_task]
    names = ", ".join(TITLES[task] for task in tasks)
    lead = f"{plural(len(runs), 'run')}: {names}. Shares are right answers; intervals are 95%."
    page = Page("Evaluation report", lead, [_who_ran(runs)])
    page.sections.extend(_task_section(task, by_task[task]) for task in tasks)
    page.sections.append(_commands(runs))
    return page


def _who_ran(runs: Sequence[Run]) -> Section:
    rows: list[list[Inline]] = []
    for number, run in enumerate(runs):
        unparsed = "-" if run.num_unparsed is None else f"{run.num_unparsed:,}"
        who: list[Inline] = [Tag(letter(number), number), Strong(run.model)]
        rows.append([*who, TITLES[run.task], Code(str(run.folder)), unparsed])
    head = ["run", "model", "task", "folder", "blank answers"]
    blocks: list[Block] = [Table(head, rows, texts=4)]
    if any(run.num_unparsed for run in runs):
        text = (
            "Blank answers say nothing, or a server never gave them: they are counted, and wrong by every "
            "rule but EM of ScanQA and SQA3D."
        )
        blocks.append(Paragraph([text], is_quiet=True))
    return Section("Runs", blocks)


def _task_section(task: str, numbered: Sequence[tuple[int, Run]]) -> Section:
    numbered = _without_lone_groups(numbered)
    blocks: list[Block] = [_legend(numbered)]
    charts = _charts(task, numbered)
    blocks += charts
    blocks += [
        Paragraph([Tag(letter(number), number), ": ", note, "."], is_quiet=True)
        for number, run in numbered
        for note in run.notes
    ]
    blocks.append(_values(numbered, bool(charts)))
    first = numbered[0]
    for other in numbered[1:]:
        blocks += _side_by_side(first, other)
    if len(numbered) > 1:
        blocks.append(_other_settings(numbered))
    if len(numbered) == 1:
        blocks += _wrong_answers(first[1])
    return Section(TITLES[task], blocks)


def _without_lone_groups(numbered: Sequence[tuple[int, Run]]) -> list[tuple[int, Run]]:
    """Skills at one dial in each run are compared whatever the dials are; these stand among the settings."""
    if any(run.task != "skills" or len({row.group for row in run.rows}) > 1 for _, run in numbered):
        return list(numbered)
    return [
        (number, replace(run, rows=[replace(row, group="") for row in run.rows])) for number, run in numbered
    ]


def _legend(numbered: Sequence[tuple[int, Run]]) -> Legend:
    names = [run.model for _, run in numbered]
    tags = []
    for number, run in numbered:
        is_clear = names.count(run.model) == 1 or run.folder.name == run.model
        name = run.model if is_clear else f"{run.model}: {run.folder.name}"
        tags.append(Tag(f"{letter(number)} {name}", number))
    return Legend(tags)


def _charts(task: str, numbered: Sequence[tuple[int, Run]]) -> list[Block]:
    rows = [row for row in _merged(numbered) if row[0].is_main and row[0].is_share]
    blocks: list[Block] = []
    heats = [
        Picture(
            f"{task}-{letter(number)}.svg",
            draw_heat(run.heat, f"Right answers of {run.model}, in percent"),
            f"Heat map of run {letter(number)}: right answers in percent",
            [Tag(letter(number), number), f" {run.model}: right answers, percent"],
        )
        for number, run in numbered
        if run.heat is not None
    ]
    if heats:
        blocks.append(Pictures(heats))
    if not rows:
        return blocks
    bars = [
        BarRow(
            first.group,
            first.label,
            [Bar(number, row.value, row.interval) for number, row in cells.items()],
            first.chance,
        )
        for first, cells in rows
    ]
    text = "Right answers with their 95% intervals"
    has_chance = any(first.chance is not None for first, _ in rows)
    chance = ["; the dashed line is the best rule that sees no picture"] if has_chance else []
    blocks.append(Picture(f"{task}.svg", draw_bar_rows(bars, text), text, [text, *chance]))
    return blocks


def _merged(numbered: Sequence[tuple[int, Run]]) -> list[tuple[Row, dict[int, Row]]]:
    """The rows of all runs: the first run's that has it -> the number of each run that has it, its row."""
    found: dict[tuple[str, str], tuple[Row, dict[int, Row]]] = {}
    for number, run in numbered:
        for row in run.rows:
            found.setdefault(row.key, (row, {}))[1][number] = row
    groups = list(dict.fromkeys(group for group, _ in found))
    return sorted(found.values(), key=lambda entry: (groups.index(entry[0].group), entry[0].order))


def _values(numbered: Sequence[tuple[int, Run]], has_chart: bool) -> Block:
    merged = _merged(numbered)
    has_groups = any(first.group for first, _ in merged)
    head: list[Inline] = [*(["questions"] if has_groups else []), "what"]
    for number, _ in numbered:
        head += [Tag(letter(number), number), "95%", "n"]
    if any(first.chance is not None for first, _ in merged):
        head.append("best blind rule")
    rows: list[list[Inline]] = []
    for first, cells in merged:
        line: list[Inline] = [*([first.group] if has_groups else []), first.label]
        for number, _ in numbered:
            line += value_text(cells.get(number))
        if len(head) > len(line):
            line.append("-" if first.chance is None else f"{100 * first.chance:.1f}%")
        rows.append(line)
    table = Table(head, rows, texts=2 if has_groups else 1)
    return Fold("All numbers", [table]) if has_chart else table


def _side_by_side(first: tuple[int, Run], other: tuple[int, Run]) -> list[Block]:
    (one, one_run), (two, two_run) = first, other
    rows: list[list[Inline]] = []
    kinds = set()
    apart = 0
    by_key = {row.key: row for row in two_run.rows}
    shared = [(row, by_key[row.key]) for row in one_run.rows if row.key in by_key]
    title: list[Inline] = [Tag(letter(two), two), " against ", Tag(letter(one), one)]
    if not shared:
        return [Heading(title), Paragraph(["They have nothing in common that could be compared."])]
    for row, its in shared:
        difference = differ(row, its)
        kinds.add(difference.is_paired)
        apart += difference.is_apart
        label = f"{row.group}: {row.label}" if row.group else row.label
        change, interval = difference_text(difference, row.is_share)
        values = [number_text(row), number_text(its)]
        rows.append([label, *values, change, interval, verdict_text(difference, row, letter(two))])
    runs = Tag(letter(one), one), Tag(letter(two), two)
    head: list[Inline] = ["what", *runs, "difference", "95%", "told apart"]
    how = {
        frozenset({True}): "The questions are the same, so differences are of pairs.",
        frozenset({False}): "The questions are not known to be the same, so differences are of two shares.",
    }.get(frozenset(kinds), "Where the questions are the same, differences are of pairs.")
    counted = f" {apart} of {plural(len(rows), 'difference')} told apart from none"
    chance = f"; by chance alone about {len(rows) / 20:.1f} would be." if len(rows) >= 10 else "."
    blocks: list[Block] = [
        Heading(title),
        Table(head, rows),
        Paragraph([how + counted + chance], is_quiet=True),
    ]
    answers = _other_answers(shared, *runs)
    return [*blocks, *answers]


def _other_answers(shared: Sequence[tuple[Row, Row]], one: Tag, two: Tag) -> list[Block]:
    """Some questions that one run answers better than the other."""
    rows: list[list[Inline]] = []
    seen: set[tuple[str, str]] = set()
    for row, its in shared:
        pairs = same_questions(row.scores, its.scores) or []
        found = [pair for pair in pairs if pair[0].score != pair[1].score]
        for pair in found[: _per_row(len(shared))]:
            key = pair[0].question, pair[0].expected
            if key not in seen and len(rows) < 3 * _SHOWN_ANSWERS:
                seen.add(key)
                rows.append(_answer_row(row, *pair))
    if not rows:
        return []
    head: list[Inline] = ["what", "question", "expected", one, two]
    return [Fold("Some questions that only one of the two gets right", [Table(head, rows, texts=5)])]


def _per_row(num_rows: int) -> int:
    return max(1, 3 * _SHOWN_ANSWERS // num_rows)


def _answer_row(row: Row, one: Scored, two: Scored) -> list[Inline]:
    said = [
        Strong(scored.answer) if scored.score > other.score else scored.answer
        for scored, other in ((one, two), (two, one))
    ]
    return [row.label, one.question, one.expected, *said]


def _wrong_answers(run: Run) -> list[Block]:
    rows: list[list[Inline]] = []
    for row in run.rows:
        wrong = [scored for scored in (row.scores or {}).values() if scored.score < 1]
        for scored in wrong[: _per_row(len(run.rows))]:
            if len(rows) < 3 * _SHOWN_ANSWERS:
                rows.append([row.label, scored.question, scored.expected, scored.answer])
    head: list[Inline] = ["what", "question", "expected", "answer"]
    return [Fold("Some wrong answers", [Table(head, rows, texts=4)])] if rows else []


def _other_settings(numbered: Sequence[tuple[int, Run]]) -> Block:
    other = other_than([run for _, run in numbered])
    if len({run.identity for _, run in numbered}) > 1:
        other = {"weights": [_weights(run) for _, run in numbered], **other}
    if not other:
        return Paragraph([Strong("Settings: "), "the same, weights and versions too."])
    head: list[Inline] = ["what is not the same", *(Tag(letter(number), number) for number, _ in numbered)]
    rows: list[list[Inline]] = [[Code(name), *map(Code, values)] for name, values in other.items()]
    return Table(head, rows, texts=1 + len(numbered))


def _weights(run: Run) -> str:
    """The beginning of a SHA-256; a model behind an address whole."""
    return run.identity if " at " in run.identity else run.identity[:24]


def _commands(runs: Sequence[Run]) -> Section:
    blocks: list[Block] = []
    for number, run in enumerate(runs):
        machine = ", ".join(f"{name} {value}" for name, value in run.machine.items())
        blocks.append(Paragraph([Tag(letter(number), number), " ", Code(run.command)]))
        blocks.append(Paragraph([f"{run.facts.replace('`', '')}; {machine}"], is_quiet=True))
    return Section("How to measure this again", blocks)
