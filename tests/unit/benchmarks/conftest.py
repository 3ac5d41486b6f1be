"""Benchmarks are scripts beside the package; tests read them as modules."""

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


@pytest.fixture
def load(monkeypatch):
    """Name -> the benchmark's module."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module


@pytest.fixture
def run(monkeypatch, load, tmp_path):
    """(name, arguments) -> runs the benchmark's `main`, whose report goes to report.json in `tmp_path`."""

    def run(name, *arguments):
        given = [name, "--output", str(tmp_path / "report.json"), *map(str, arguments)]
        monkeypatch.setattr("sys.argv", given)
        load(name).main()

    return run
