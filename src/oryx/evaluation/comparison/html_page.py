"""A page as one HTML file that needs nothing else: style and pictures are inside, and there is no script."""

from __future__ import annotations

from html import escape
from importlib import resources

from oryx import __version__
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
    Strong,
    Table,
    Tag,
)
from oryx.evaluation.comparison.markdown import MARK

NUM_COLORS = 6
"""Of the style sheet: `r0`, `r1`, ..."""


def to_html(page: Page) -> str:
    """The page."""
    sections = []
    for number, section in enumerate(page.sections):
        blocks = "\n".join(map(_block, section.blocks))
        sections.append(f'<section id="s{number}">\n<h2>{escape(section.title)}</h2>\n{blocks}\n</section>')
    links = " ".join(
        f'<a href="#s{number}">{escape(section.title)}</a>' for number, section in enumerate(page.sections)
    )
    return "\n".join(
        [
            f"<!doctype html>{MARK}",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape(page.title)}</title>",
            f"<style>\n{style()}</style>",
            "</head>",
            "<body>",
            f"<header>\n<h1>{escape(page.title)}</h1>\n<p>{escape(page.lead)}</p>\n<nav>{links}</nav>\n</header>",
            "<main>",
            *sections,
            "</main>",
            f"<footer>oryx {escape(__version__)}</footer>",
            "</body>",
            "</html>",
            "",
        ]
    )


def style() -> str:
    """The style sheet, also of pictures that are files of their own."""
    return resources.files(__package__).joinpath("report.css").read_text(encoding="utf-8")


def _block(block: Block) -> str:
    match block:
        case Paragraph():
            quiet = ' class="quiet"' if block.is_quiet else ""
            return f"<p{quiet}>{''.join(map(_inline, block.parts))}</p>"
        case Heading():
            return f"<h3>{''.join(map(_inline, block.parts))}</h3>"
        case Legend():
            return f'<p class="legend">{"".join(map(_inline, block.tags))}</p>'
        case Table():
            head = "".join(
                f'<th scope="col"{_number(block, place)}>{_inline(cell)}</th>'
                for place, cell in enumerate(block.head)
            )
            rows = "\n".join(
                f"<tr>{''.join(_cell(block, place, cell) for place, cell in enumerate(row))}</tr>"
                for row in block.rows
            )
            return (
                f'<div class="scroll" tabindex="0"><table>\n<thead><tr>{head}</tr></thead>\n'
                f"<tbody>\n{rows}\n</tbody>\n</table></div>"
            )
        case Picture():
            caption = (
                f"<figcaption>{''.join(map(_inline, block.caption))}</figcaption>" if block.caption else ""
            )
            return f"<figure>{caption}{block.svg}</figure>"
        case Pictures():
            return f'<div class="beside">{"".join(map(_block, block.pictures))}</div>'
        case Fold():
            inner = "\n".join(map(_block, block.blocks))
            return f"<details><summary>{escape(block.title)}</summary>\n{inner}\n</details>"


def _cell(table: Table, place: int, cell: Inline) -> str:
    if place == 0:
        return f'<th scope="row">{_inline(cell)}</th>'
    return f"<td{_number(table, place)}>{_inline(cell)}</td>"


def _number(table: Table, place: int) -> str:
    return ' class="number"' if place >= table.texts else ""


def _inline(part: Inline) -> str:
    if isinstance(part, Tag):
        return f'<span class="tag r{part.run % NUM_COLORS}">{escape(part.text)}</span>'
    text = escape(part)
    if isinstance(part, Code):
        return f"<code>{text}</code>"
    return f"<strong>{text}</strong>" if isinstance(part, Strong) else text
