"""What an arm is: one small training and what is measured of it, in plain values that results keep."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from oryx.evaluation.claims.connectors import Connector
from oryx.evaluation.claims.views import Views

NEW, NANO = "new", "nano"
Part = Literal["vision_tower", "compressor", "projector", "language_model"]
PARTS: tuple[Part, ...] = ("vision_tower", "compressor", "projector", "language_model")
Material = Literal["boards", "films", "needles", "short_videos", "rooms_marked", "rooms_plain"]
ROOM_MATERIALS: tuple[Material, ...] = ("rooms_marked", "rooms_plain")


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One number: the share of right answers to fresh questions."""

    name: str
    material: Material = "boards"
    task: str = "letter"
    """Of a board or a film; of needles and rooms see `measuring`."""
    views: Views | None = None
    """How pictures and films are shown; those of the training where left out."""
    questions: int = 400
    chance: float = 0.0
    """Right by guessing."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One training, repeated for each seed."""

    name: str
    about: str
    measures: tuple[Measure, ...]
    start: str = NEW
    """Random weights, the shipped nano, or the name of the arm whose weights it goes on from."""
    tower_of: str | None = None
    """The arm whose tower is taken; it is frozen then."""
    classifies: bool = False
    """The tower alone is trained, by classification."""
    train: tuple[Part, ...] = PARTS
    fresh: tuple[Part, ...] = ()
    """Parts that begin at random weights all the same."""
    connector: Connector = "dynamic"
    material: Material = "boards"
    views: Views | None = None
    steps: int = 500
    learning_rate: float = 2e-3
    row_length: int = 512
    rows: int = 4

    @property
    def needs(self) -> tuple[str, ...]:
        """Arms that must be trained before."""
        named = (self.start if self.start not in (NEW, NANO) else None, self.tower_of)
        return tuple(dict.fromkeys(name for name in named if name is not None))

    def shortened(self, steps: float, questions: int) -> Arm:
        """The same arm with this share of the steps and at most so many questions."""
        measures = tuple(
            dataclasses.replace(measure, questions=min(measure.questions, questions))
            for measure in self.measures
        )
        return dataclasses.replace(self, steps=max(2, round(self.steps * steps)), measures=measures)

    def settings(self) -> dict[str, Any]:
        """The arm as JSON holds it; how boards, films, needles and rooms are drawn is not in it."""
        return plain(self)


def plain(value: Any) -> Any:
    """Dataclasses, tuples and mappings as JSON gives them back."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {"kind": type(value).__name__} | {
            item.name: plain(getattr(value, item.name)) for item in dataclasses.fields(value)
        }
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


@dataclass(frozen=True)
class Measured:
    """What one measure gave."""

    accuracy: float
    num_questions: int
    visual_tokens: float
    """Mean positions that the visuals of a question take in the sequence."""
    pixels: float
    """Mean pixels that the tower sees for a question."""
    chance: float
    """Right by guessing, or by the best rule that sees no picture."""
    details: dict[str, Any] = field(default_factory=dict)
