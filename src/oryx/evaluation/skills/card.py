"""The card of a model measured by the skill suite: every number comes from the results or from the code."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from string import Template

from oryx.data.pictures import load_names
from oryx.data.synthetic.drawing import COLORS, SHAPES
from oryx.data.synthetic.fonts import TRAIN_FAMILIES
from oryx.data.synthetic.questions import DIRECTIONS, PLACES, WORDINGS, plural
from oryx.data.synthetic.words import DICTIONARY_LENGTHS, word_split_of
from oryx.errors import ConfigError
from oryx.evaluation.output import versions_text, write_text
from oryx.evaluation.skills.evaluate import TESTS, SkillResult
from oryx.evaluation.skills.report import SkillReport, results_table
from oryx.files import check_writable

Dial = tuple[int | None, int | None, str | None]
"""Compression, cap on the pixels and detail of a result; all None at the default dial."""

_WORDS = {
    "color": "red",
    "shape": "circle",
    "place": PLACES[0],
    "shapes": plural("circle"),
    "phrase": "a cat",
    "name": "cat",
    "number": "2",
    "index": "7",
    "first": "3",
    "second": "12",
}
_MARK = "\n## What it can do\n\nMeasured by `oryx eval skills"
"""In every card, by which it is known as one."""
_PLURAL_WORDS = _WORDS | {"phrase": "some grapes", "name": "grapes"}
_PLURAL_QUESTIONS = ("are_there", "where_things")


def check_card(path: Path, model: str, dials: Iterable[Dial], pages: Sequence[Path] = ()) -> None:
    """Refuses, before anything is measured, a model's card that could not be made of results at these dials.

    Raises `ConfigError` if none of them is the default, if the file cannot be written, is no card or one with
    sections that the new one would not have, or a page cannot be read.
    """
    _check_default(dials)
    _check_file(_card_file(path), _template(is_nano(model)) + _read_pages(pages))


def write_card(report: SkillReport, path: Path, pages: Sequence[Path] = ()) -> Path:
    """Writes the card of a report to a file, or as README.md into a folder, and returns its path.

    Raises `ConfigError` if no result is at the default dial, or for what `check_card` says of the file and
    the pages.
    """
    file, card = _card_file(path), make_card(report, pages)
    _check_file(file, card)
    return write_text(file, card)


def make_card(report: SkillReport, pages: Sequence[Path] = ()) -> str:
    """The card's Markdown.

    Args:
        pages: Markdown files, such as those of other evaluations, which end the card, a section each.

    Raises:
        ConfigError: no result is at the default dial, or a page cannot be read.
    """
    _check_default(_dial(result) for result in report.results)
    plain = [result for result in report.results if _is_default(_dial(result))]
    others = [result for result in report.results if not _is_default(_dial(result))]
    sweeps = f"The dial, on the same samples:\n\n{results_table(others)}\n" if others else ""
    return Template(_template(is_nano(report.model))).substitute(
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
        versions=versions_text(report.versions),
        letters=" to ".join(map(str, DICTIONARY_LENGTHS)),
        num_train_words=_num_words("train"),
        num_test_words=_num_words("test"),
        num_train_families=len(TRAIN_FAMILIES),
        test_families=", ".join(report.fonts["test"]) or "none that is installed here",
        colors=", ".join(COLORS),
        shapes=", ".join(SHAPES),
        places=", ".join(PLACES),
        directions=", ".join(DIRECTIONS),
        things=", ".join(load_names()),
        sections=_read_pages(pages),
        questions=" ".join(f'"{_ask(kind)}"' for kind in WORDINGS),
    )


def _ask(kind: str) -> str:
    return WORDINGS[kind][0].format(**(_PLURAL_WORDS if kind in _PLURAL_QUESTIONS else _WORDS))


def is_nano(model: str) -> bool:
    """Whether a model is nano, by name or by the folder that it is shipped in.

    Nothing else is claimed to be: a folder's name says nothing of what its weights were made of.
    """
    shipped = Path(str(resources.files("oryx"))) / "assets" / "nano"
    return model == "nano" or Path(model).expanduser().resolve() == shipped.resolve()


def _template(of_nano: bool) -> str:
    """The card with or without the lines between the comments, which say what only nano is."""
    text = resources.files(__package__).joinpath("card_template.md").read_text(encoding="utf-8")
    return re.sub(r"<!-- nano -->\n(.*?)<!-- end -->\n", r"\1" if of_nano else "", text, flags=re.DOTALL)


def _read_pages(paths: Sequence[Path]) -> str:
    """A section of each page; pages of one title, such as credits of several folders, are one section."""
    sections: dict[str, str] = {}
    for path in paths:
        title, _, body = _read_page(path).partition("\n")
        there = sections.get(title)
        sections[title] = body if there is None else f"{there.rstrip()}\n\n{body.lstrip()}"
    return "".join(f"\n{title}\n{body}" for title, body in sections.items())


def _read_page(path: Path) -> str:
    """A Markdown file with every heading one level down."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else "it is no UTF-8 text"
        raise ConfigError(f"{path} cannot be read as a page of the card ({reason}).") from None
    return re.sub(r"^(#+ )", r"#\1", text.strip(), flags=re.MULTILINE) + "\n"


def _card_file(path: Path) -> Path:
    return path if path.suffix == ".md" else path / "README.md"


def _check_file(path: Path, card: str) -> None:
    """Refuses a file that this card cannot take the place of."""
    check_writable(path)
    if not os.path.lexists(path):
        return
    try:
        there = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        there = ""
    if _MARK not in there:
        raise ConfigError(f"{path} is no card of a model; choose another --card.")
    lost = [section for section in _sections(there) if section not in _sections(card)]
    if lost:
        raise ConfigError(
            f"{path} has sections that the new card would not have ({', '.join(lost)}): give pages that have "
            "them with --card-page, or choose another --card."
        )


def _sections(card: str) -> list[str]:
    """Their titles, but for what follows a colon: that of the needles' page names the models measured."""
    return [title.partition(":")[0].strip() for title in re.findall(r"^## (.+)$", card, re.MULTILINE)]


def _dial(result: SkillResult) -> Dial:
    return result.compression, result.max_pixels, result.detail


def _is_default(dial: Dial) -> bool:
    return dial == (None, None, None)


def _check_default(dials: Iterable[Dial]) -> None:
    if not any(map(_is_default, dials)):
        raise ConfigError(
            "A card needs results at the default dial: leave out compression, pixels and detail."
        )


def _num_words(split: str) -> int:
    """Words of the list in one split."""
    text = resources.files("oryx.data.synthetic").joinpath("words.txt").read_text(encoding="ascii")
    return sum(word_split_of(word) == split for word in text.split())
