"""Marks: words tied to points of a visual, used as grounding supervision in training."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mark:
    """`text` is seen at the point (y, x) of one view: the visual token there learns to say it."""

    view: int
    """Index of the frame. An image has only view 0: its native view, or its only one."""
    y: float
    """Height of the point from the top, 0 to 1 of the view."""
    x: float
    """Distance of the point from the left, 0 to 1 of the view."""
    text: str
    """The word; its first token is the target."""
