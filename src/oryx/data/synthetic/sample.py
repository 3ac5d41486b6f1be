"""What every skill draws: one training sample, in the form that `OryxProcessor.encode_conversation` takes."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from oryx.data.marks import Mark


@dataclass(frozen=True)
class Sample:
    """One conversation about its visuals.

    `skill` is the name of the skill that drew it, `visuals` one dict per `<image>` (with `"marks"` where
    asked for), `conversations` a list of {"from": "human" | "gpt", "value": text}, ending with the assistant.
    """

    skill: str
    visuals: list[dict[str, Any]]
    conversations: list[dict[str, str]]


def image_visual(
    image: Image.Image, compression: int, detail: str, marks: Sequence[Mark] | None
) -> dict[str, Any]:
    """The visual dict of one picture; `marks` None leaves the key out."""
    visual: dict[str, Any] = {"type": "image", "image": image, "compression": compression, "detail": detail}
    return visual if marks is None else {**visual, "marks": list(marks)}


def video_visual(frames: list[Image.Image], compression: int, marks: Sequence[Mark] | None) -> dict[str, Any]:
    """The visual dict of a list of frames; `marks` None leaves the key out."""
    visual: dict[str, Any] = {"type": "video", "video": frames, "compression": compression}
    return visual if marks is None else {**visual, "marks": list(marks)}


def converse(
    rng: random.Random, turns: Sequence[tuple[str, str]], joined: float = 0.0, num_visuals: int = 1
) -> list[dict[str, str]]:
    """(question, answer) pairs as a conversation whose first turn holds the visuals.

    `joined` is the chance that no line break stands after a visual.
    """
    head = num_visuals * ("<image>" if joined and rng.random() < joined else "<image>\n")
    conversations = []
    for number, (question, answer) in enumerate(turns):
        text = question if number else f"{head}{question}"
        conversations.append({"from": "human", "value": text})
        conversations.append({"from": "gpt", "value": answer})
    return conversations


def between(rng: random.Random, bounds: tuple[float, float]) -> float:
    """A uniform number between the two bounds."""
    low, high = bounds
    return low + (high - low) * rng.random()


def whole_between(rng: random.Random, bounds: tuple[int, int]) -> int:
    """A uniform whole number between the two bounds, both included."""
    low, high = bounds
    return low + int((high - low + 1) * rng.random())
