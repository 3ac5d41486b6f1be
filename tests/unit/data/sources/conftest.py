"""One small set of records, to be written in every format, and a cache of its own for each test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from factories import make_processor

from oryx.data.sources.opening import open_source
from oryx.data.sources.record import Record
from oryx.data.sources.settings import SourceSettings


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of the test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "oryx" / "data"


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The library, with a cache of the test's own; skips without it."""
    library = pytest.importorskip("datasets")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "hf")
    library.disable_progress_bars()
    return library


@pytest.fixture
def records() -> Callable[..., list[Record]]:
    """(path or settings) -> all records of a source."""

    def read(path: Any, **settings: Any) -> list[Record]:
        source = open_source(SourceSettings(path=str(path), **settings))
        return [source.read(index) for index in range(len(source))]

    return read


@pytest.fixture
def encoded() -> Callable[[Record], dict[str, Any]]:
    """The record as the model gets it, in plain values."""
    processor = make_processor()

    def encode(record: Record) -> dict[str, Any]:
        drawn = record.draw("key", 0)
        sample = processor.encode_sample(drawn.conversations, drawn.opened())
        return {
            "ids": sample.ids.tolist(),
            "labels": None if sample.labels is None else sample.labels.tolist(),
            "patches": None if sample.patches is None else sample.patches.tolist(),
            "grids": sample.grids.tolist(),
            "compressions": sample.compressions.tolist(),
        }

    return encode
