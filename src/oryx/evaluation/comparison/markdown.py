"""A page as Markdown; its pictures are files beside it."""

from __future__ import annotations

import re

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

MARK = "<!-- made by oryx eval report -->"


def to_markdown(page: Page, folder: str) -> str:
    """The page; `folder` is where its pictures lie, as seen from it."""
    lines = [MARK, f"# {_text(page.title)}", "", _text(page.lead), ""]
    for section in page.sections:
        lines += [f"## {_text(section.title)}", ""]
        for block in section.blocks:
            lines += [*_block(block, folder), ""]
    return "\n".join(lines).rstrip() + "\n"


def _block(block: Block, folder: str) -> list[str]:
    match block:
        case Paragraph():
            return ["".join(map(_inline, block.parts))]
        case Heading():
            return ["### " + "".join(map(_inline, block.parts))]
        case Legend():
            return [", ".join(map(_inline, block.tags))]
        case Table():
            head = [_inline(cell) for cell in block.head]
            rule = ["---" if number < block.texts else "---:" for number in range(len(head))]
            rows = [[_inline(cell) for cell in row] for row in block.rows]
            return [f"| {' | '.join(cells)} |" for cells in (head, rule, *rows)]
        case Picture():
            caption = ["", "".join(map(_inline, block.caption))] if block.caption else []
            return [f"![{_text(block.text)}]({folder}/{block.name})", *caption]
        case Pictures():
            return [line for one in block.pictures for line in [*_block(one, folder), ""]][:-1]
        case Fold():
            inner = [line for one in block.blocks for line in [*_block(one, folder), ""]]
            return ["<details>", f"<summary>{_text(block.title)}</summary>", "", *inner, "</details>"]


def _inline(part: Inline) -> str:
    if isinstance(part, Tag):
        return f"**{_text(part.text)}**"
    if isinstance(part, Code):
        return _code(part)
    if isinstance(part, Strong):
        return f"**{_text(part.strip())}**" if part.strip() else ""
    return _text(part)


def _code(text: str) -> str:
    line = _line(text).strip().replace("|", "\\|")
    if not line:
        return ""
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line}{space}{fence}"


def _text(text: str) -> str:
    """Nothing in it is markup: names and answers come from anywhere."""
    line = _line(text).replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([\\`*_\[\]|~])", r"\\\1", line)


def _line(text: str) -> str:
    return re.sub(r"\s+", " ", text)
