"""nano, and a question to it about visuals of every kind."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engine_requests import encode
from mixed_requests import EXAMPLES

import oryx
from oryx.serving.engine import Prompt
from oryx.serving.engines.transformers import TransformersEngine


@pytest.fixture(scope="session")
def nano() -> tuple[Any, Any]:
    return oryx.load("nano", dtype="float32", device="cpu")


@pytest.fixture(scope="session")
def in_shared_engine() -> Iterator[Callable[..., Any]]:
    """What `use(engine)` returns, in an engine that tests have in common."""
    with asyncio.Runner() as runner:
        engine = TransformersEngine("nano", dtype="float32", device="cpu")
        runner.run(engine.start())
        yield lambda use: runner.run(asyncio.wait_for(use(engine), 60))
        runner.run(engine.stop())


@pytest.fixture(scope="session")
def kinds(nano) -> dict[str, Prompt]:
    """A question to nano about visuals of every kind."""
    scene = {"type": "image", "image": str(EXAMPLES / "scene.png"), "compression": 1}
    sign = {"type": "image", "image": str(EXAMPLES / "sign.png")}
    video = {"type": "video", "video": str(EXAMPLES / "order.mp4"), "max_frames": 8}
    views = {"type": "views", "views": str(EXAMPLES / "room"), "compression": 4}
    questions = {
        "text": ("What color is grass?",),
        "image": ("<image>\nWhere is the red circle?", scene),
        "images": ("First <image>\nthen <image>\nWhat does the text say?", scene, sign),
        "the same image twice": ("<image>\n<image>\nWhat are they?", sign, sign),
        "video at 4x": ("<image>\nWhat comes first?", video | {"compression": 4}),
        "video at 16x": ("<image>\nWhat comes last?", video | {"compression": 16}),
        "views": ("<image>\nHow many chairs are there?", views),
    }
    return {kind: encode(nano[1], *question) for kind, question in questions.items()}
