"""The needle evaluation of one model, or of two beside each other, as JSON, Markdown and a heat map."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from oryx.evaluation.heat_map import HeatMap, draw_heat_maps
from oryx.evaluation.metrics import Gain
from oryx.evaluation.needle.evaluate import NeedleResult, NeedleShare, NeedleTest
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
    write_picture,
    write_text,
)

FILES = JSON, PAGE, MAP = "needle.json", "needle.md", "needle.png"
_WRONG = 10


@dataclass(frozen=True)
class NeedleModel:
    """One model and what it answered."""

    model: str
    model_sha256: str | None
    """See `hash_weights`; None, as what follows, of a model behind an address."""
    num_parameters: int | None
    dtype: str | None
    device: str | None
    result: NeedleResult
    endpoint: str | None = None
    """The address."""
    config_sha256: str | None = None
    """See `hash_config`."""


@dataclass(frozen=True)
class NeedlePage:
    """One evaluation."""

    test: NeedleTest
    haystack: str
    needles: str
    seed: int
    command: str
    models: tuple[NeedleModel, ...]
    needles_sha256: str | None = None
    """See `number_needles`."""
    haystack_sha256: str | None = None
    """See `hash_files`; None of one that is drawn."""
    has_dials: bool = True
    """Whether the model could be told the test's compression: not an endpoint that is no `oryx serve`."""

    @property
    def compression(self) -> int | None:
        """Of all visuals; None where the endpoint has no such dial."""
        return self.test.compression if self.has_dials else None

    def gains(self) -> dict[int, Gain]:
        """Frames -> how much more often the first of two models is right; clusters are the needles."""
        if len(self.models) != 2:
            return {}
        gains = {}
        for length in sorted(self.test.frames):
            first, second = (
                [answer for answer in model.result.answers if answer.frames == length]
                for model in self.models
            )
            gains[length] = Gain.of(
                [answer.is_right(self.test.score) for answer in first],
                [answer.is_right(self.test.score) for answer in second],
                [answer.needle for answer in first],
            )
        return gains

    def to_dict(self) -> dict[str, Any]:
        """What the JSON file holds."""
        return {
            "task": "needle",
            **asdict(self.test),
            "compression": self.compression,
            "haystack": self.haystack,
            "haystack_sha256": self.haystack_sha256,
            "needles": self.needles,
            "needles_sha256": self.needles_sha256,
            "seed": self.seed,
            "command": self.command,
            "versions": installed_versions(),
            "models": [
                {key: value for key, value in asdict(model).items() if key != "result"}
                | {"num_unparsed": model.result.num_unparsed}
                | asdict(model.result)
                for model in self.models
            ],
            "gains": [{"frames": length, **asdict(gain)} for length, gain in self.gains().items()],
        }

    def to_markdown(self) -> str:
        """The page."""
        lines = [
            f"# Needles in haystacks: {', '.join(model.model for model in self.models)}",
            "",
            f"- command: `{self.command}`",
            f"- haystack: {self.haystack}; needles: {self.needles}; {self.test.trials} at each depth of each "
            f"length, the same for all lengths and models; seed {self.seed}",
            f"- {ratio_text(self.compression)}{_tokens_text(self.models)}; greedy; right is "
            f"{_SCORES[self.test.score]}; intervals are 95%, Wilson's",
            f"- {versions_text(installed_versions())}",
            "",
        ]
        for model in self.models:
            lines += [
                f"## {model.model}",
                "",
                describe_model(vars(model)) + unparsed_text(model.result.num_unparsed),
                "",
                share_table(model.result, self.test),
                cost_table(model.result),
                "Some wrong answers:",
                "",
                *_wrong(model.result, self.test.score),
                "",
            ]
        if gains := self.gains():
            lines += [
                f"## {self.models[0].model} over {self.models[1].model}",
                "",
                gain_table(gains),
                "Intervals are of a bootstrap that draws needles, one more that is all better and one that "
                "is all worse.",
                "",
            ]
        return "\n".join(lines)

    def to_image(self) -> Image.Image:
        """The heat maps, frames by depth."""
        maps = []
        for model in self.models:
            shares = np.array(
                [
                    [model.result.share(length, depth).share for length in sorted(self.test.frames)]
                    for depth in self.test.depths
                ]
            )
            tokens = _most_tokens([model])
            trials = f"{self.test.trials} trial{'s' * (self.test.trials != 1)} a square"
            ratio = "" if self.compression is None else f" at {self.compression}x"
            told = "" if tokens is None else f"{tokens:g} tokens a frame{ratio}; "
            note = told + trials
            maps.append(HeatMap(_short(model.model), note, shares))
        rows = [f"{depth:.3g}%" for depth in self.test.depths]
        columns = [f"{length:,}" for length in sorted(self.test.frames)]
        return draw_heat_maps(maps, rows, columns, "depth", "frames of the video")


_SCORES = {
    "exact": "the expected text, but for case, space and a full stop",
    "contains": "any answer that contains the expected words",
}


def share_table(result: NeedleResult, test: NeedleTest) -> str:
    """Right answers by depth and length, in Markdown; the last line is of all depths, with its interval."""
    lengths = sorted(test.frames)
    lines = [
        "| depth | " + " | ".join(f"{length:,} frames" for length in lengths) + " |",
        "|---|" + "---|" * len(lengths),
    ]
    for depth in test.depths:
        cells = (_cell(result.share(length, depth)) for length in lengths)
        lines.append(f"| {depth:.3g}% | " + " | ".join(cells) + " |")
    totals = (result.share(length, None) for length in lengths)
    shares = (share_text(total, f", n = {total.num_trials}") for total in totals)
    return "\n".join([*lines, "| all | " + " | ".join(shares) + " |"]) + "\n"


def gain_table(gains: Mapping[int, Gain]) -> str:
    """How much more often one model is right than another, by length, in Markdown."""
    lines = ["| frames | more right answers, points (95%) |", "|---|---|"]
    for length, gain in gains.items():
        lines.append(f"| {length:,} | {gain_text(gain)} |")
    return "\n".join(lines) + "\n"


def cost_table(result: NeedleResult) -> str:
    """Tokens, seconds and peak memory of each length, in Markdown."""
    lines = [
        "| frames | tokens a frame | visual tokens | prompt | encoding | a question "
        "| peak, encoding | peak, answering |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for cost in result.costs:
        cells = (
            _told(cost.tokens_per_frame, "g"),
            _told(cost.visual_tokens, ","),
            _told(cost.prompt_tokens, ","),
            _told(cost.encode_seconds, ".1f", " s"),
            _told(cost.answer_seconds, ".2f", " s"),
            _told(cost.encode_peak_bytes, ",.0f", " MiB", 2**20),
            _told(cost.answer_peak_bytes, ",.0f", " MiB", 2**20),
        )
        lines.append(f"| {cost.frames:,} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def save_page(page: NeedlePage, folder: Path) -> list[Path]:
    """Writes JSON, Markdown and heat map, each whole or not at all, and returns their paths.

    Raises:
        ConfigError: what `check_output` refuses, or a disk that does.
    """
    identities = (identity_of(vars(model)) for model in page.models)
    conditions = {
        "device": page.models[0].device,
        "haystack_sha256": page.haystack_sha256,
        "needles_sha256": page.needles_sha256,
    }
    check_output(folder, FILES, page.command, *identities, conditions=conditions)
    return [
        write_text(folder / JSON, json.dumps(page.to_dict(), indent=1) + "\n"),
        write_text(folder / PAGE, page.to_markdown()),
        write_picture(folder / MAP, page.to_image()),
    ]


def _cell(share: NeedleShare) -> str:
    return f"{share.share:.0%} ({share.num_right}/{share.num_trials})"


def _most_tokens(models: Sequence[NeedleModel]) -> float | None:
    known = [cost.tokens_per_frame for model in models for cost in model.result.costs]
    return max((tokens for tokens in known if tokens is not None), default=None)


def _tokens_text(models: Sequence[NeedleModel]) -> str:
    most = _most_tokens(models)
    if most is None:
        return "; tokens a frame are not known"
    return f", at most {most:g} tokens a frame (measured, newlines and separator included)"


def _told(number: float | None, form: str, unit: str = "", scale: int = 1) -> str:
    return "-" if number is None else f"{number / scale if scale > 1 else number:{form}}{unit}"


def _wrong(result: NeedleResult, score: str) -> list[str]:
    wrong = [answer for answer in result.answers if not answer.is_right(score)]
    return [
        f"- {answer.frames:,} frames, {answer.depth:.3g}%: {answer.question} {answer.expected!r}, "
        f"not {answer.answer!r}"
        for answer in wrong[:_WRONG]
    ] or ["None."]


def _short(name: str) -> str:
    """The end of a long path."""
    return name if len(name) <= 24 else "..." + name[-21:]
