"""The card of a model measured by the skill suite: every number comes from the results or from the code."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from string import Template

from oryx.data.synthetic.drawing import COLORS, SHAPES
from oryx.data.synthetic.fonts import TRAIN_FAMILIES
from oryx.data.synthetic.questions import DIRECTIONS, PLACES, WORDINGS, plural
from oryx.data.synthetic.words import DICTIONARY_LENGTHS, word_split_of
from oryx.errors import ConfigError
from oryx.evaluation.report import SkillReport, results_table, write_text
from oryx.evaluation.skills import TESTS

_WORDS = {"color": "red", "shape": "circle", "place": PLACES[0], "shapes": plural("circle")}


def write_card(report: SkillReport, path: Path) -> Path:
    """Writes the card of a report to a file, or as README.md into a folder, and returns its path.

    Raises `ConfigError` if no result is at the default dial, or if the file cannot be written.
    """
    text = make_card(report)
    return write_text(path if path.suffix == ".md" else path / "README.md", text)


def make_card(report: SkillReport) -> str:
    """The card's Markdown. Raises `ConfigError` if no result is at the default dial."""
    plain = [r for r in report.results if r.compression is None and r.max_pixels is None and r.detail is None]
    others = [r for r in report.results if r not in plain]
    if not plain:
        raise ConfigError(
            "A card needs results at the default dial: leave out compression, pixels and detail."
        )
    sweeps = f"The dial, on the same samples:\n\n{results_table(others)}\n" if others else ""
    template = Template(resources.files(__package__).joinpath("card_template.md").read_text(encoding="utf-8"))
    return template.substitute(
        name=report.model,
        num_parameters=f"{report.num_parameters:,}",
        parts="\n".join(f"| {part.replace('_', ' ')} | {n:,} |" for part, n in report.parameters.items()),
        command=report.command,
        seed=report.seed,
        table=results_table(plain),
        tests="\n".join(f"- {r.test}: {TESTS[r.test].about}" for r in plain),
        sweeps=sweeps,
        sha256=report.model_sha256,
        dtype=report.dtype,
        device=report.device,
        versions=", ".join(f"{package} {number}" for package, number in report.versions.items()),
        letters=" to ".join(map(str, DICTIONARY_LENGTHS)),
        num_train_words=_num_words("train"),
        num_test_words=_num_words("test"),
        num_train_families=len(TRAIN_FAMILIES),
        test_families=", ".join(report.fonts["test"]) or "none that is installed here",
        colors=", ".join(COLORS),
        shapes=", ".join(SHAPES),
        places=", ".join(PLACES),
        directions=", ".join(DIRECTIONS),
        questions=" ".join(f'"{wordings[0].format(**_WORDS)}"' for wordings in WORDINGS.values()),
    )


def _num_words(split: str) -> int:
    """Words of the list in one split."""
    text = resources.files("oryx.data.synthetic").joinpath("words.txt").read_text(encoding="ascii")
    return sum(word_split_of(word) == split for word in text.split())
