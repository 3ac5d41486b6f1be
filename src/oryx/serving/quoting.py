"""Text of others in the log: it may hold anything, line breaks that look like further entries too."""

from __future__ import annotations

MARGIN = "  | "
MAX_TEXT = 10_000
"""Characters of a text of several lines."""


def quoted_line(text: str) -> str:
    """A text as one line of ASCII."""
    return text.encode("unicode_escape").decode("ascii")


def quoted(text: str) -> str:
    """A text of several lines, such as a traceback, each behind a margin that no entry of the log has.

    Its end is what is left of one that is too long.
    """
    lines = text[-MAX_TEXT:].rstrip("\n").split("\n")
    return "\n".join(MARGIN + quoted_line(line) for line in lines)
