"""Broken records of a run: written down, told, and counted up to a limit that ends it."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from oryx.errors import OryxError
from oryx.files import write_whole

logger = logging.getLogger(__name__)

HINT = "`oryx data check` lists all broken records; data.max_broken lets a run skip some"
PREFIX = "broken-"
"""Of the files in a run's folder, one for each process."""
BEFORE = -1
"""Batch number of what was found broken before the first batch."""


def check_limit(broken: Sequence[str], limit: int) -> None:
    """Raises OryxError for more broken records than may be skipped, naming the last."""
    if len(broken) <= limit:
        return
    if limit == 0:
        raise OryxError(f"{broken[-1].rstrip('.')} ({HINT}).")
    raise OryxError(
        f"{len(broken)} records are broken, more than data.max_broken allows ({limit}); the last: "
        f"{broken[-1].rstrip('.')} ({HINT})."
    )


class Journal:
    """The broken records of a run, over all of its processes and restarts: `broken-RANK.jsonl` in its folder.

    Batch b is the same in every run of a recipe, so what was broken in it is written down by its number. A
    run that goes on from batch b counts what was written before b and forgets the rest.

    Args:
        known: records that were found broken before the first batch.
        limit: how many broken records there may be in all.
    """

    def __init__(self, known: Sequence[str], limit: int) -> None:
        self.known = tuple(known)
        self.limit = limit
        self._file: Path | None = None
        self._own: list[tuple[int, str]] = []

    def begin(self, folder: Path, rank: int, num_processes: int, first: int) -> None:
        """A process of so many goes on (or begins) with batch `first` of the run in `folder`."""
        self._file = folder / f"{PREFIX}{rank}.jsonl"
        known = [(BEFORE, problem) for problem in self.known] if rank == 0 else []
        self._own = [*known, *_before(first, self._file)]
        _write(self._file, self._own)
        for file in folder.glob(f"{PREFIX}*.jsonl"):
            # Of processes that there are no more: each file has one that trims it.
            number = file.stem.removeprefix(PREFIX)
            if number.isdigit() and int(number) >= num_processes and int(number) % num_processes == rank:
                _write(file, _before(first, file))

    def add(self, batch: int, problems: Sequence[str]) -> None:
        """Batch `batch` left these out.

        Raises:
            OryxError: these are too many by now.
        """
        if not problems:
            return
        for problem in problems:
            logger.warning("skipped %s", problem)
        self._own += [(batch, problem) for problem in problems]
        if self._file is not None:
            _write(self._file, self._own)
        check_limit(self.broken(batch), self.limit)

    def broken(self, batch: int) -> list[str]:
        """All broken records up to a batch, each once, in the order in which they were met."""
        met = list(self._own)
        if self._file is not None:
            for file in sorted(self._file.parent.glob(f"{PREFIX}*.jsonl")):
                met += _read(file) if file != self._file else []
        met = sorted((number, problem) for number, problem in met if number <= batch)
        return list(dict.fromkeys([*self.known, *(problem for _, problem in met)]))


def _write(file: Path, entries: Sequence[tuple[int, str]]) -> None:
    lines = "".join(json.dumps({"batch": b, "problem": p}) + "\n" for b, p in entries)
    try:
        if lines or file.exists():
            write_whole(file, lines.encode())
    except OSError as error:
        logger.warning("broken records are not kept for the next start of this run (%s)", error)


def _before(first: int, file: Path) -> list[tuple[int, str]]:
    """What a file says of the batches before `first`."""
    return [(batch, problem) for batch, problem in _read(file) if BEFORE < batch < first]


def _read(file: Path) -> list[tuple[int, str]]:
    try:
        entries: list[Any] = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        return [(int(entry["batch"]), str(entry["problem"])) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError):
        return []
