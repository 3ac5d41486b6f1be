"""Numbers and verdicts as words."""

from __future__ import annotations

from oryx.evaluation.comparison.differences import Difference
from oryx.evaluation.comparison.document import Inline, Strong
from oryx.evaluation.comparison.runs import Row

NONE = "-"


def letter(number: int) -> str:
    """A, B, ..., Z, A2, B2, ...: what a run is called."""
    rounds, place = divmod(number, 26)
    return chr(ord("A") + place) + (str(rounds + 1) if rounds else "")


def plural(number: int, what: str) -> str:
    """`1 run`, `2 runs`."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def number_text(row: Row | None) -> str:
    """The number of a row."""
    if row is None:
        return NONE
    return f"{100 * row.value:.1f}%" if row.is_share else f"{row.value:.4g}"


def value_text(row: Row | None) -> list[Inline]:
    """The number, its interval, how many questions."""
    if row is None:
        return [NONE, NONE, NONE]
    interval = NONE
    if row.interval is not None:
        low, high = row.interval
        interval = f"{100 * low:.1f} to {100 * high:.1f}" if row.is_share else f"{low:.4g} to {high:.4g}"
    return [number_text(row), interval, NONE if row.count is None else f"{row.count:,}"]


def difference_text(difference: Difference, is_share: bool) -> tuple[str, str]:
    """The difference, in points where it is one of shares, and its interval."""
    form = (lambda value: f"{100 * value:+.1f}") if is_share else (lambda value: f"{value:+.4g}")
    if difference.interval is None:
        return form(difference.value), NONE
    low, high = difference.interval
    return form(difference.value), f"{form(low)} to {form(high)}"


def verdict_text(difference: Difference, row: Row, other: str) -> Inline:
    """Whether the difference is more than chance, and whose favor it is in."""
    if difference.interval is None:
        return NONE
    if not difference.is_apart:
        return "no"
    is_more = difference.value > 0
    if row.higher_is_better is None:
        return Strong(f"{other} {'higher' if is_more else 'lower'}")
    return Strong(f"{other} {'better' if is_more == row.higher_is_better else 'worse'}")
