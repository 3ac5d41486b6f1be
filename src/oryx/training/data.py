"""Packed batches by number: batch b is a pure function of the recipe and of b, so a run resumes anywhere."""

from __future__ import annotations

from collections.abc import Callable

from oryx.processing.processor import OryxProcessor
from oryx.training.batch import STATS, Batches, BatchStats
from oryx.training.loader import BatchLoader, ResumingSampler
from oryx.training.recipe import Recipe
from oryx.training.records import RecordBatches
from oryx.training.synthetic import SyntheticBatches

__all__ = [
    "STATS",
    "BatchLoader",
    "BatchStats",
    "Batches",
    "RecordBatches",
    "ResumingSampler",
    "SyntheticBatches",
    "make_batches",
]


def make_batches(
    recipe: Recipe, processor: OryxProcessor, report: Callable[[str], None] = lambda _: None
) -> Batches:
    """The batches of a recipe. Raises `ConfigError` for data that cannot be read."""
    if recipe.data.used_sources:
        return RecordBatches(recipe, processor, report)
    return SyntheticBatches(processor, recipe.data, recipe.batch)
