"""What a page holds, before it is Markdown or HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias


class Code(str):
    """Text that is shown as code."""


class Strong(str):
    """Text that stands out."""


@dataclass(frozen=True)
class Tag:
    """Text that names the run with this number, in its color."""

    text: str
    run: int


Inline: TypeAlias = str | Tag
"""Plain text, `Code`, `Strong` or `Tag`; none of it is markup."""


@dataclass(frozen=True)
class Paragraph:
    """A line of text."""

    parts: Sequence[Inline]
    is_quiet: bool = False
    """A note beside the matter."""


@dataclass(frozen=True)
class Heading:
    """A heading below that of the section."""

    parts: Sequence[Inline]


@dataclass(frozen=True)
class Legend:
    """Which color is which run."""

    tags: Sequence[Tag]


@dataclass(frozen=True)
class Table:
    """Cells under a head; those after the first `texts` columns are numbers."""

    head: Sequence[Inline]
    rows: Sequence[Sequence[Inline]]
    texts: int = 1


@dataclass(frozen=True)
class Picture:
    """An SVG picture: a fragment for a page, and its name as a file."""

    name: str
    svg: str
    text: str
    """What it shows, for those who do not see it."""
    caption: Sequence[Inline] = ()


@dataclass(frozen=True)
class Pictures:
    """Pictures beside each other, where there is room."""

    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Fold:
    """What is out of the way until somebody opens it."""

    title: str
    blocks: Sequence[Block]


Block: TypeAlias = Paragraph | Heading | Legend | Table | Picture | Pictures | Fold


@dataclass(frozen=True)
class Section:
    """Blocks under a heading."""

    title: str
    blocks: list[Block] = field(default_factory=list)


@dataclass(frozen=True)
class Page:
    """The whole."""

    title: str
    lead: str
    sections: list[Section] = field(default_factory=list)

    @property
    def pictures(self) -> list[Picture]:
        """All of them, in their order."""
        blocks: list[Block] = [block for section in self.sections for block in section.blocks]
        found: list[Picture] = []
        for block in blocks:
            if isinstance(block, Picture):
                found.append(block)
            elif isinstance(block, Pictures):
                found += block.pictures
        return found
