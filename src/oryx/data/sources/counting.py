"""How long every record of a source is: counted once from text and headers, in parallel, and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

import oryx
from oryx.data.sources.base import Source, digest
from oryx.data.sources.cache import KEPT_FROM, cache_folder, read_arrays, write_arrays
from oryx.data.sources.measuring import measure
from oryx.errors import OryxError
from oryx.locks import take_lock

if TYPE_CHECKING:
    from oryx.processing.processor import OryxProcessor

_CHUNK = 64
_BROKEN = -1


@dataclass
class Counts:
    """Of every record of a source."""

    lengths: np.ndarray
    """(N,) int64 positions; -1 for a broken record."""
    patches: np.ndarray
    """(N,) int64."""
    broken: dict[int, str] = field(default_factory=dict)
    """Number of a broken record -> what is wrong, beginning with its place."""


@dataclass(frozen=True)
class Finding:
    """What a look at one record gave."""

    index: int
    length: int = _BROKEN
    patches: int = 0
    problem: str = ""
    """Why it is broken; "" if it is whole."""


def count_source(
    source: Source,
    processor: OryxProcessor,
    num_workers: int = 0,
    found: Callable[[Finding], None] = lambda _: None,
) -> Counts:
    """Lengths of all records; what was counted before with the same files and processor is not read again.

    Broken records are looked at again each time, since they may have been repaired.

    Args:
        num_workers: processes that count.
        found: told of every record as soon as it was looked at; what it raises ends the counting.
    """
    if len(source) < KEPT_FROM:
        return _count(source, processor, num_workers, found)
    name = f"counts-{digest([source.fingerprint(), processor_fingerprint(processor)])}"
    with only_one_process(name):  # the others find its result
        arrays = read_arrays(name)
        if arrays is None or len(arrays["lengths"]) != len(source):
            counts, before = _count(source, processor, num_workers, found), None
        else:
            before = arrays["broken"].tolist()
            counts = Counts(arrays["lengths"], arrays["patches"])
            _enter(counts, look_at(source, Measuring(source, processor), 0, before), found)
        if before != list(counts.broken):  # else a file of a million records is written by every process
            write_arrays(
                name,
                lengths=counts.lengths,
                patches=counts.patches,
                broken=np.array(list(counts.broken), dtype=np.int64),
            )
    return counts


def look_at(
    source: Source,
    look: Callable[[int], Finding],
    num_workers: int,
    indices: Sequence[int] | None = None,
) -> Iterator[Finding]:
    """`look(index)` of each record, in order, in so many processes (0: in this one, which streams need)."""
    chosen: Sequence[int] = range(len(source)) if indices is None else indices
    if num_workers == 0 or len(chosen) < 4 * _CHUNK or source.window is not None:
        yield from map(look, chosen)
        return
    loader = DataLoader(
        _Looks(look, chosen),
        batch_size=_CHUNK,
        num_workers=num_workers,
        collate_fn=list,
        generator=torch.Generator(),
    )
    for chunk in loader:
        yield from chunk


@dataclass(frozen=True)
class Measuring:
    """Looks at a record by its headers."""

    source: Source
    processor: OryxProcessor

    def __call__(self, index: int) -> Finding:
        try:
            length, patches = measure(self.source.read(index), self.processor)
        except OryxError as error:
            return Finding(index, problem=str(error))
        return Finding(index, length, patches)


def processor_fingerprint(processor: OryxProcessor) -> str:
    """A text that changes when the same record may have another length."""
    tokenizer = processor.tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    words = backend.to_str() if backend is not None else repr(sorted(tokenizer.get_vocab().items()))
    return digest([oryx.__version__, processor.to_dict(), hashlib.sha256(words.encode()).hexdigest()])


@contextmanager
def only_one_process(name: str) -> Iterator[None]:
    """Processes that want the same wait for each other; where no file can be locked, nobody waits."""
    lock = None
    with suppress(OSError):  # where nothing can be kept, everybody counts
        cache_folder().mkdir(parents=True, exist_ok=True)
        lock = take_lock(cache_folder() / f"{name}.lock", "", patience=-1)
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


def _count(
    source: Source, processor: OryxProcessor, num_workers: int, found: Callable[[Finding], None]
) -> Counts:
    counts = Counts(np.full(len(source), _BROKEN), np.zeros(len(source), dtype=np.int64))
    _enter(counts, look_at(source, Measuring(source, processor), num_workers), found)
    return counts


def _enter(counts: Counts, findings: Iterable[Finding], found: Callable[[Finding], None]) -> None:
    for finding in findings:
        counts.lengths[finding.index] = finding.length
        counts.patches[finding.index] = finding.patches
        if finding.problem:
            counts.broken[finding.index] = finding.problem
        found(finding)


class _Looks(Dataset):
    def __init__(self, look: Callable[[int], Finding], indices: Sequence[int]) -> None:
        self.look = look
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, place: int) -> Any:
        return self.look(self.indices[place])
