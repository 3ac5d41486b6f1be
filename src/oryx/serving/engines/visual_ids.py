"""Visuals as ids: each has a run of ids of its own beyond the vocabulary, whose embeddings lie beside it.

An engine that takes nothing but ids can so carry visuals, and what it keeps by ids, such as shared prefixes,
it keeps by media and dial.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

LAST_ID = 2**31 - 1
"""Of 32 bits, as `transformers` keeps ids in its batches."""


class IdsExhausted(Exception):  # noqa: N818 a state, not a mistake
    """No ids are left. Those given out must not name anything else while a prefix may be kept under them."""


@dataclass
class _Visual:
    key: str
    first: int
    """Its first id."""
    embeds: Tensor
    """(positions, E)."""
    num_pins: int
    idle_since: int = 0
    """Steps that were done when the last pin went."""

    @property
    def num_bytes(self) -> int:
        return self.embeds.numel() * self.embeds.element_size()


class VisualIds:
    """Embeddings of visuals by id, up to `max_bytes`, and more only while running requests need them.

    Who runs a request pins its visuals first. What no request needs and was not asked for the longest goes
    first. An id is never given out twice, so a visual that comes back gets other ids. Thread-safe.

    Args:
        first_id: below it is the vocabulary.
        max_bytes: of embeddings, where they lie.
        last_id: the largest id that may be given out.
    """

    def __init__(self, first_id: int, max_bytes: int, last_id: int = LAST_ID) -> None:
        self.first_id = first_id
        self.last_id = last_id
        self.max_bytes = max_bytes
        self._lock = threading.Lock()
        self._visuals: OrderedDict[str, _Visual] = OrderedDict()
        """The one asked for the longest ago first."""
        self._by_first: dict[int, _Visual] = {}
        self._firsts: list[int] = []
        """In ascending order."""
        self._next_id = first_id
        self._num_bytes = 0
        self._num_steps = 0

    @property
    def num_ids(self) -> int:
        """How many ids there are for all visuals."""
        return self.last_id - self.first_id + 1

    @property
    def num_visuals(self) -> int:
        return len(self._visuals)

    @property
    def num_bytes(self) -> int:
        """Bytes of all embeddings."""
        return self._num_bytes

    def pin(self, key: str) -> range | None:
        """Ids of a visual, which stays until `unpin`; None if it is not here."""
        with self._lock:
            visual = self._visuals.get(key)
            if visual is None:
                return None
            self._visuals.move_to_end(key)
            visual.num_pins += 1
            return range(visual.first, visual.first + len(visual.embeds))

    def add(self, key: str, embeds: Tensor) -> range:
        """Ids for a visual that is not here yet, pinned once. `embeds` (positions, E) belong to this now.

        Raises:
            IdsExhausted: there are not so many ids left.
        """
        with self._lock:
            assert key not in self._visuals
            first, stop = self._next_id, self._next_id + len(embeds)
            if stop - 1 > self.last_id:
                raise IdsExhausted
            self._next_id = stop
            visual = _Visual(key, first, embeds, num_pins=1)
            self._visuals[key] = self._by_first[first] = visual
            self._firsts.append(first)
            self._num_bytes += visual.num_bytes
            self._evict()
            return range(first, stop)

    def unpin(self, key: str) -> None:
        """Give one pin back. The visual stays for the step that may be running with it."""
        with self._lock:
            visual = self._visuals[key]
            visual.num_pins -= 1
            visual.idle_since = self._num_steps

    def end_step(self) -> None:
        """The model has run: whatever was unpinned before this step began is used no more."""
        with self._lock:
            self._num_steps += 1
            self._evict()

    def clear(self) -> None:
        """Forget all visuals, and give ids out from the first again. Then no prefix may be kept."""
        with self._lock:
            self._visuals.clear()
            self._by_first.clear()
            self._firsts.clear()
            self._num_bytes = 0
            self._next_id = self.first_id

    def rows(self, ids: Tensor) -> Tensor:
        """Embeddings (n, E) of ids (n,), each at least `first_id` and of a visual that is here."""
        wanted = ids.cpu().numpy()
        with self._lock:
            # A prompt names the positions of a visual in order, so what is looked up are stretches of it.
            owners = np.searchsorted(self._firsts, wanted, side="right")
            borders = np.flatnonzero((np.diff(wanted) != 1) | (np.diff(owners) != 0)) + 1
            starts = [0, *borders.tolist()]
            stops = [*borders.tolist(), len(wanted)]
            return torch.cat(
                [self._stretch(int(wanted[start]), stop - start) for start, stop in zip(starts, stops)]
            )

    def _stretch(self, first: int, length: int) -> Tensor:
        number = bisect_right(self._firsts, first) - 1
        visual = self._by_first[self._firsts[number]] if number >= 0 else None
        offset = first - visual.first if visual else 0
        if visual is None or offset + length > len(visual.embeds):
            raise LookupError(f"no visual has the ids {first} to {first + length - 1}")
        return visual.embeds[offset : offset + length]

    def _evict(self) -> None:
        if self._num_bytes <= self.max_bytes:
            return
        for visual in list(self._visuals.values()):
            if visual.num_pins == 0 and visual.idle_since < self._num_steps:
                del self._visuals[visual.key], self._by_first[visual.first]
                self._firsts.remove(visual.first)
                self._num_bytes -= visual.num_bytes
                if self._num_bytes <= self.max_bytes:
                    return
