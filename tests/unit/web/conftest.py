"""The page's parts over `nano`, loaded once."""

from __future__ import annotations

from pathlib import Path

import pytest

import oryx
from oryx.web.local import LocalAsker
from oryx.web.planning import Limits, Media, PagePlanner

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture(scope="session")
def nano():
    return oryx.load("nano")


@pytest.fixture
def plans(nano) -> PagePlanner:
    _, processor = nano
    return PagePlanner(processor.planner, processor, Limits(max_pixels=10**6))


@pytest.fixture
def asker(nano, plans) -> LocalAsker:
    return LocalAsker(*nano, plans)


@pytest.fixture(scope="session")
def scene() -> Media:
    return Media((str(EXAMPLES / "scene.png"),))


@pytest.fixture(scope="session")
def video() -> Media:
    return Media((str(EXAMPLES / "order.mp4"),))


@pytest.fixture(scope="session")
def room() -> Media:
    return Media(tuple(str(EXAMPLES / "room" / f"view{number}.png") for number in range(1, 5)), True)
