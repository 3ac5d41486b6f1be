"""The rooms evaluation as JSON, Markdown and a bar chart."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from oryx.data.rooms.store import RoomStore
from oryx.evaluation.bar_chart import Bars, Section, draw_bars
from oryx.evaluation.metrics import Gain
from oryx.evaluation.output import (
    check_output,
    describe_model,
    gain_text,
    identity_of,
    installed_versions,
    ratio_text,
    share_text,
    unparsed_text,
    versions_text,
    write_lines,
    write_picture,
    write_text,
)
from oryx.evaluation.rooms.evaluate import GROUPS, NUMBERS, KindResult, RoomResult
from oryx.evaluation.rooms.questions import SINGLE_VIEW, WAYS, WITH_MARKS, WITHOUT_MARKS, RoomTest

FILES = JSON, PAGE, CHART, ANSWERS = "rooms.json", "rooms.md", "rooms.png", "rooms.answers.jsonl"

_SHOWN_WRONG = 12
NAMES = {SINGLE_VIEW: "single view", WITHOUT_MARKS: "views without marks", WITH_MARKS: "views with marks"}
_BLIND = "best rule that sees no picture"


@dataclass(frozen=True)
class RoomReport:
    """One model on one folder of rooms."""

    model: str
    model_sha256: str | None
    """See `hash_weights`; None, as what follows, of a model behind an address."""
    num_parameters: int | None
    dtype: str | None
    device: str | None
    folder: str
    catalogues: list[str]
    """Of the furniture shown."""
    command: str
    test: RoomTest
    result: RoomResult
    endpoint: str | None = None
    """The address."""
    config_sha256: str | None = None
    """See `hash_config`."""
    rooms_sha256: str | None = None
    """See `RoomStore.hash_rooms`."""
    has_dials: bool = True
    """Whether the model could be told the test's compression: not an endpoint that is no `oryx serve`."""

    @property
    def compression(self) -> int | None:
        """Of all visuals; None where the endpoint has no such dial."""
        return self.test.compression if self.has_dials else None

    def to_dict(self) -> dict[str, Any]:
        """What the JSON file holds."""
        left_out = ("test", "result", "has_dials")
        own = {key: value for key, value in asdict(self).items() if key not in left_out}
        test = {**asdict(self.test), "compression": self.compression}
        return {
            "task": "rooms",
            **own,
            **test,
            "versions": installed_versions(),
            **self.result.to_dict(),
        }

    def to_markdown(self) -> str:
        """The page."""
        test, result = self.test, self.result
        known = {way: result.visual_tokens[way] for way in WAYS}
        tokens = ", ".join(
            f"{NAMES[way]} {'-' if one is None else f'{one:.1f}'}" for way, one in known.items()
        )
        lines = [
            f"# Rooms: {self.model}",
            "",
            f"- command: `{self.command}`",
            f"- {test.rooms} rooms of {self.folder} ({', '.join(self.catalogues) or 'unknown furniture'}), "
            f"{test.views_text} views of {test.height}x{test.width} pixels, "
            f"{ratio_text(self.compression)}, seed {test.seed}",
            f"- visual tokens of a prompt, mean: {tokens}",
            "- greedy; right is the expected text, letter for letter. Intervals are 95%, with the questions "
            "on a room as a cluster: of shares Wilson's at the effective number of questions, of differences "
            "(percentage points) a bootstrap that draws whole rooms, one more that is all better and one "
            "that is all worse" + unparsed_text(result.num_unparsed),
            f"- {describe_model(vars(self))}",
            f"- {versions_text(installed_versions())}",
            "",
            ways_table(result),
            numbers_table(result),
            "Some wrong answers:",
            "",
            *_wrong(result),
        ]
        return "\n".join(lines) + "\n"

    def to_image(self) -> Image.Image:
        """The bar chart: groups first, then their kinds."""
        sections = [Section("together", [_bars(one) for one in self.result.groups if one.name != NUMBERS])]
        for group in GROUPS:
            kinds = [kind for kind in self.result.kinds if kind.group == group]
            if kinds:
                sections.append(Section(group, [_bars(kind) for kind in kinds]))
        title = f"Rooms: {self.model}, {self.test.rooms} rooms, {self.test.views_text} views"
        return draw_bars(title, NAMES, sections, _BLIND)


def make_report(
    facts: Mapping[str, Any],
    folder: str,
    command: str,
    test: RoomTest,
    result: RoomResult,
    rooms_sha256: str | None = None,
    has_dials: bool = True,
) -> RoomReport:
    """The report of a result just measured.

    Args:
        facts: see `model_facts` and `endpoint_facts`.
        folder: of the rooms.
        rooms_sha256, has_dials: see `RoomReport`.
    """
    return RoomReport(
        **facts,
        folder=folder,
        catalogues=list(RoomStore(folder).settings.get("catalogues", [])),
        command=command,
        test=test,
        result=result,
        rooms_sha256=rooms_sha256,
        has_dials=has_dials,
    )


def save_report(report: RoomReport, folder: Path) -> list[Path]:
    """Writes JSON, Markdown, chart and answers, each whole or not at all, and returns their paths.

    Raises `ConfigError` for what `check_output` refuses, and where the disk does.
    """
    conditions = {"device": report.device, "rooms_sha256": report.rooms_sha256}
    check_output(folder, FILES, report.command, identity_of(vars(report)), conditions=conditions)
    return [
        write_text(folder / JSON, json.dumps(report.to_dict(), indent=1) + "\n"),
        write_text(folder / PAGE, report.to_markdown()),
        write_picture(folder / CHART, report.to_image()),
        write_lines(folder / ANSWERS, map(asdict, report.result.answers)),
    ]


def ways_table(result: RoomResult) -> str:
    """The questions that name no number, all three ways, in Markdown: each group, then its kinds."""
    lines = [
        f"| questions | n | {' | '.join(NAMES.values())} | gain of marks | gain of views | {_BLIND} |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in _in_order(result):
        if one.group != NUMBERS:
            shares = " | ".join(share_text(one.ways[way]) for way in NAMES)
            gains = f"{_gain(one.marks_gain)} | {_gain(one.views_gain)}"
            lines.append(f"| {_title(one)} | {one.num_questions} | {shares} | {gains} | {_blind(one)} |")
    return "\n".join(lines) + "\n"


def numbers_table(result: RoomResult) -> str:
    """The questions about numbers, in Markdown; empty if none were asked."""
    rows = [
        f"| {_title(one)} | {one.num_questions} | {share_text(one.ways[WITH_MARKS])} | {_blind(one)} |"
        for one in _in_order(result)
        if one.group == NUMBERS
    ]
    head = [f"| about numbers | n | {NAMES[WITH_MARKS]} | {_BLIND} |", "|---|---|---|---|"]
    return "\n".join([*head, *rows]) + "\n" if rows else ""


def _in_order(result: RoomResult) -> Sequence[KindResult]:
    return [
        one
        for group in result.groups
        for one in (group, *(kind for kind in result.kinds if kind.group == group.name))
    ]


def _title(one: KindResult) -> str:
    return f"**{one.name}**" if one.blind_rule is None else one.name


def _gain(gain: Gain | None) -> str:
    return "-" if gain is None else gain_text(gain)


def _blind(one: KindResult) -> str:
    return f"{one.blind_share:.1%}" + (f" ({one.blind_rule})" if one.blind_rule else "")


def _bars(one: KindResult) -> Bars:
    shares = {way: (share.share, *share.interval) for way, share in one.ways.items()}
    return Bars(one.name.replace("_", " "), shares, one.blind_share)


def _wrong(result: RoomResult) -> list[str]:
    across = [one for one in result.wrong if one.way == WITH_MARKS]
    return [
        f"- {one.kind}, room {one.room}: {one.question} {one.expected!r}, not {one.answer!r}"
        for one in across[:_SHOWN_WRONG]
    ] or ["None."]
