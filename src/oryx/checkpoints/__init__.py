"""Checkpoints on disk: the published layouts, the native one, and the way between them."""

from oryx.checkpoints.convert import convert
from oryx.checkpoints.published import PUBLISHED_TYPES, PublishedCheckpoint

__all__ = ["PUBLISHED_TYPES", "PublishedCheckpoint", "convert"]
