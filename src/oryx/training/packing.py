"""Samples to rows, and rows to batches: by their lengths alone, before anything is decoded."""

from __future__ import annotations

import bisect
import itertools
import random
from collections.abc import Iterable, Sequence

OPEN_ROWS = 64
"""Rows that wait for a sample that fits, when finite data is packed."""
GOOD_FILL = 0.96
"""Rows are full enough with this share of their positions in use."""
BALANCED_GROUPS = 32
"""Rows are compared with those of so many groups of batches, to find ones that cost the same."""


def choose_full(lengths: Sequence[int], rooms: Sequence[int]) -> list[int]:
    """Indices of samples that fill rows with so much room, with about equal chances for short and long ones.

    By Wald's identity the samples up to the one at which their total reaches the room, that one included, are
    a fair choice, whatever their lengths. It is taken, then as many of the first ones as go into the rows
    with it, or somewhat fewer if the rows get fuller so; the gaps get what fits of all others, the longest
    first. First-fit gives these, in this order, the rows that they were given here.
    """
    totals = enumerate(itertools.accumulate(lengths), start=1)
    first = range(next((count for count, total in totals if total >= sum(rooms)), len(lengths)))
    fair = [*first[-1:], *first[:-1]]
    fullest: list[int] = []
    number, most = len(fair), 0
    while number >= 0:
        chosen = _first_fit(fair[:number], lengths, rooms)
        if len(chosen) < number:
            number -= 1
            continue
        chosen = _first_fit(sorted({*range(len(lengths))}.difference(chosen)), lengths, rooms, chosen)
        used = sum(lengths[index] for index in chosen)
        if used > most:
            fullest, most = chosen, used
        if used >= GOOD_FILL * sum(rooms) or number < len(fair) / 2:
            break
        number -= max(1, len(fair) // 12)  # fewer first ones leave more to choose from for the rest
    return fullest


def _first_fit(
    indices: Sequence[int], lengths: Sequence[int], rooms: Sequence[int], before: Sequence[int] = ()
) -> list[int]:
    """Those `before` and what fits of `indices`, the longest first, in the order in which they take rows."""
    free = list(rooms)
    chosen = []
    for index in [*before, *sorted(indices, key=lambda index: -lengths[index])]:
        row = next((row for row, left in enumerate(free) if left >= lengths[index]), None)
        if row is not None:
            free[row] -= lengths[index]
            chosen.append(index)
    return chosen


def pack_stream(lengths: Sequence[int], row_length: int) -> list[list[int]]:
    """All samples in rows: each goes into the fullest open row with room; of too many the fullest closes.

    At the end, the samples of the open rows are put in anew, the longest first.
    """
    done, left = _best_fit(range(len(lengths)), lengths, row_length, OPEN_ROWS)
    waiting = [index for row in left for index in row]
    again, _ = _best_fit(sorted(waiting, key=lambda index: -lengths[index]), lengths, row_length)
    return done + (again if len(again) < len(left) else left)


def _best_fit(
    indices: Iterable[int], lengths: Sequence[int], row_length: int, most_open: int | None = None
) -> tuple[list[list[int]], list[list[int]]]:
    """(rows that were closed, rows that are open at the end), or all rows as closed ones without a limit."""
    done: list[list[int]] = []
    rows: list[list[int]] = []
    free: list[tuple[int, int]] = []  # (free positions, row) of the open rows, ascending
    for index in indices:
        place = bisect.bisect_left(free, (lengths[index], -1))
        if place < len(free):
            left, row = free.pop(place)
            rows[row].append(index)
        else:
            left, row = row_length, len(rows)
            rows.append([index])
        bisect.insort(free, (left - lengths[index], row))
        if most_open is not None and len(free) > most_open:
            done.append(rows[free.pop(0)[1]])
    if most_open is None:
        return rows, []
    return done, [rows[row] for row in sorted(row for _, row in free)]


def shuffle_near(items: list[list[int]], rng: random.Random, window: int | None) -> None:
    """Shuffle in place; with a window, only within stretches of so many."""
    if window is None:
        rng.shuffle(items)
        return
    for start in range(0, len(items), window):
        part = items[start : start + window]
        rng.shuffle(part)
        items[start : start + window] = part


def balance(
    rows: Sequence[list[int]], costs: Sequence[int], num_rows: int, group: int, rng: random.Random
) -> list[list[int]]:
    """The rows in an order in which each `group` of consecutive batches of `num_rows` rows cost the same.

    So processes that take the batches of a group at once do not wait for each other. Each batch still has
    rows of all costs, if it has several: one of each of `num_rows` classes. Rows that fill no group come
    last.

    Args:
        costs: of a sample, by its number in `rows`.
    """

    def cost(row: list[int]) -> int:
        return sum(costs[index] for index in row)

    span = num_rows * group
    ordered: list[list[int]] = []
    rest: list[list[int]] = []
    for start in range(0, len(rows), span * BALANCED_GROUPS):
        part = list(rows[start : start + span * BALANCED_GROUPS])
        num_groups = len(part) // span
        rest += part[num_groups * span :]
        part = sorted(part[: num_groups * span], key=cost)
        # classes[c][g]: rows of class c that cost about the same, for the batches of one group.
        classes = []
        for first in range(0, len(part), num_groups * group or 1):
            chunks = [
                part[first + place * group : first + (place + 1) * group] for place in range(num_groups)
            ]
            rng.shuffle(chunks)
            classes.append(chunks)
        for place in range(num_groups):
            batches: list[list[list[int]]] = [[] for _ in range(group)]
            totals = [0] * group
            for chunks in classes:
                # The costliest of the class goes to the batch that has cost the least so far.
                order = sorted(range(group), key=lambda batch: totals[batch])
                for batch, row in zip(order, sorted(chunks[place], key=cost, reverse=True)):
                    batches[batch].append(row)
                    totals[batch] += cost(row)
            ordered += [row for batch in batches for row in batch]
    return ordered + rest
