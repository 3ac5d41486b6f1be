"""Where each patch and each visual token goes: index tables, made on the CPU from grids alone.

Legend: P packed patches, G views (grids), N visuals, R patches in a region, V compressed tokens,
S visual positions (compressed tokens plus begin, newline, separator and end).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import torch
from torch import Tensor

from oryx.errors import AlignmentError
from oryx.processing.geometry import IMAGE, REGIONS, VIDEO

# Rows of the table [compressed tokens..., begin, newline, separator, end], counted from its end.
BEGIN, NEWLINE, SEPARATOR, END = range(4)
NUM_SPECIAL = 4


@dataclass(frozen=True)
class Packing:
    """Views of equal length stand side by side, so that each group is one batched attention.

    `order` (P,) takes patches into this order and `inverse` (P,) takes them back (both None when they already
    stand so); `groups` holds (first patch, number of views, patches per view).
    """

    order: Tensor | None
    inverse: Tensor | None
    groups: tuple[tuple[int, int, int], ...]

    @property
    def lengths(self) -> list[int]:
        return [length for _, count, length in self.groups for _ in range(count)]


def pack_by_length(lengths: list[int]) -> Packing:
    """Group views by their number of patches. `lengths` (G,) sums to P."""
    starts = [0]
    for length in lengths:
        starts.append(starts[-1] + length)
    by_length: dict[int, list[int]] = defaultdict(list)
    for view, length in enumerate(lengths):
        by_length[length].append(view)
    groups, views, first = [], [], 0
    for length, members in by_length.items():
        groups.append((first, len(members), length))
        views += members
        first += len(members) * length
    if views == list(range(len(lengths))):
        return Packing(None, None, tuple(groups))
    order = torch.cat([torch.arange(starts[v], starts[v + 1]) for v in views])
    return Packing(order, torch.argsort(order), tuple(groups))


def region_index(grids: list[list[int]], compressions: list[int]) -> list[tuple[Tensor, Tensor]]:
    """Which patches form each region, per region size.

    Returns (patches (V_r, R), tokens (V_r,)) for every R in use: row i of `patches` holds the patches of the
    region that becomes compressed token `tokens[i]`. Tokens are numbered view by view, row by row.
    """
    tables: dict[int, list[Tensor]] = defaultdict(list)
    targets: dict[int, list[Tensor]] = defaultdict(list)
    first_patch = first_token = 0
    for view, ((height, width), ratio) in enumerate(zip(grids, compressions, strict=True)):
        if ratio not in REGIONS:
            raise AlignmentError(f"view {view} has compression {ratio}; allowed: {sorted(REGIONS)}.")
        rows, columns = REGIONS[ratio]
        if height % rows or width % columns:
            raise AlignmentError(
                f"view {view} has a grid of {height} x {width} patches, which regions of {rows} x {columns} "
                f"(compression {ratio}) do not tile."
            )
        index = torch.arange(first_patch, first_patch + height * width)
        index = index.view(height // rows, rows, width // columns, columns).transpose(1, 2)
        index = index.reshape(-1, rows * columns)
        tables[ratio].append(index)
        targets[ratio].append(torch.arange(first_token, first_token + len(index)))
        first_patch += height * width
        first_token += len(index)
    return [(torch.cat(tables[r]), torch.cat(targets[r])) for r in tables]


def span_index(
    grids: list[list[int]], compressions: list[int], visual_lengths: list[int], visual_kinds: list[int]
) -> tuple[Tensor, list[int]]:
    """The token order of every visual (published rule), as rows of [compressed tokens..., specials].

    Image: begin, views joined by a separator, end. Video and views of a scene: begin, every view followed by
    a separator, end. Each row of tokens is followed by a newline. Returns the index (S,) and the number of
    positions of each visual (N,).
    """
    if sum(visual_lengths) != len(grids):
        raise AlignmentError(f"visuals claim {sum(visual_lengths)} views, but there are {len(grids)} grids.")
    num_tokens = sum(h * w // r for (h, w), r in zip(grids, compressions, strict=True))
    begin, newline, separator, end = (
        torch.tensor([num_tokens + k]) for k in (BEGIN, NEWLINE, SEPARATOR, END)
    )
    pieces: list[Tensor] = []
    spans: list[int] = []
    first, view = 0, 0
    for length, kind in zip(visual_lengths, visual_kinds, strict=True):
        if kind not in (IMAGE, VIDEO):
            raise AlignmentError(
                f"visual {len(spans)} has kind {kind}; allowed: {IMAGE} image, {VIDEO} video."
            )
        parts = [begin]
        for position in range(length):
            (height, width), ratio = grids[view], compressions[view]
            rows, columns = height // REGIONS[ratio][0], width // REGIONS[ratio][1]
            tokens = torch.arange(first, first + rows * columns).view(rows, columns)
            if kind == IMAGE and position:
                parts.append(separator)
            parts.append(torch.cat([tokens, newline.expand(rows, 1)], dim=1).flatten())
            if kind == VIDEO:
                parts.append(separator)
            first += rows * columns
            view += 1
        parts.append(end)
        pieces += parts
        spans.append(sum(map(len, parts)))
    return torch.cat(pieces), spans
