"""Broken records of a run: written down, told, and counted up to a limit that ends it."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from oryx.data.sources.cache import cache_folder
from oryx.errors import OryxError

logger = logging.getLogger(__name__)

HINT = "`oryx data check` lists all broken records; data.max_broken lets a run skip some"


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
    """The broken records that a run met while it read batches, over all of its processes and restarts.

    Batch b is the same in every run of a recipe, so what was broken in it is written down by its number. A
    run that goes on from batch b counts what was written before b and forgets the rest.

    Args:
        name: of the run's data; processes that share the cache folder share the journal.
        known: records that were found broken before the first batch.
        limit: how many broken records there may be in all.
    """

    def __init__(self, name: str, known: Sequence[str], limit: int) -> None:
        self.name = name
        self.known = tuple(known)
        self.limit = limit
        self._file: Path | None = None
        self._own: list[tuple[int, str]] = []

    def begin(self, rank: int, first: int) -> None:
        """A process goes on (or begins) with batch `first`."""
        self._file = cache_folder() / f"broken-{self.name}-{rank}.jsonl"
        self._own = [(batch, problem) for batch, problem in _read(self._file) if batch < first]
        self._write()

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
        self._write()
        check_limit(self.broken(batch), self.limit)

    def broken(self, batch: int) -> list[str]:
        """All broken records up to a batch, each once, in the order in which they were met."""
        met = list(self._own)
        if self._file is not None:
            for file in sorted(self._file.parent.glob(f"broken-{self.name}-*.jsonl")):
                met += _read(file) if file != self._file else []
        met = sorted((number, problem) for number, problem in met if number <= batch)
        return list(dict.fromkeys([*self.known, *(problem for _, problem in met)]))

    def _write(self) -> None:
        assert self._file is not None
        lines = "".join(json.dumps({"batch": b, "problem": p}) + "\n" for b, p in self._own)
        try:
            if lines or self._file.exists():
                self._file.parent.mkdir(parents=True, exist_ok=True)
                self._file.write_text(lines, encoding="utf-8")
        except OSError as error:
            logger.warning("broken records are not kept for the next start of this run (%s)", error)


def _read(file: Path) -> list[tuple[int, str]]:
    try:
        entries: list[Any] = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        return [(entry["batch"], entry["problem"]) for entry in entries]
    except (OSError, ValueError, KeyError, TypeError):
        return []
