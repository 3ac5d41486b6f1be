"""Requests of all kinds, to compare engines on."""

import itertools
import random
from pathlib import Path

from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"
PICTURES = ("word.png", "sign.png", "page.png", "object.png", "scene.png")
QUESTIONS = (
    "What does the text say?",
    "What color is the object?",
    "Where is the red circle?",
    "How many objects are there?",
    "Describe the image.",
    "What comes first?",
    "Describe the video.",
)
RATIOS = (1, 2, 4, 8, 16)
MAX_TOKENS = 16


def mixed_requests(number: int) -> list[list[dict]]:
    """The parts of a user's message, text and visuals in turn: all kinds, every ratio, no two alike."""
    rng = random.Random(5)
    kinds = itertools.cycle(("text", "image", "images", "video", "views"))
    requests = []
    for index, kind in zip(range(number), kinds):
        question = {"type": "text", "text": rng.choice(QUESTIONS)}
        size = (rng.randint(40, 120), rng.randint(40, 120))
        ratio = RATIOS[index // 5 % len(RATIOS)]
        pictures = [Image.open(EXAMPLES / name).convert("RGB").resize(size) for name in PICTURES]
        rng.shuffle(pictures)
        if kind == "text":
            parts = [{"type": "text", "text": f"{index}. "}, question]
        elif kind == "image":
            parts = [{"type": "image", "image": pictures[0], "compression": ratio}, question]
        elif kind == "images":
            one, two = ({"type": "image", "image": picture} for picture in pictures[:2])
            parts = [one, {"type": "text", "text": "and\n"}, two, question]
        elif kind == "video":
            video = str(EXAMPLES / rng.choice(("order.mp4", "moving.mp4")))
            parts = [
                {"type": "video", "video": video, "compression": ratio, "max_frames": 3 + index % 5},
                question,
            ]
        else:
            parts = [{"type": "views", "views": pictures[: 2 + index % 3], "compression": ratio}, question]
        requests.append(parts)
    return requests
